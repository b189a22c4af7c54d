"""A Run is tied to its images, class names, split and weights: what has changed is told, and nothing is reused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.environment import Environment, Execution, opened_once
from benchmarks.errors import UserError
from benchmarks.execution import worker
from benchmarks.planning import expand
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from benchmarks.training.listener import Silent
from benchmarks.training.networks.build_method import build_method
from benchmarks.training.train import Trainer
from methods.weight_files import SHIPPED_WEIGHTS
from results.record import Record
from results.settings import Run
from results.store import ResultStore
from tests.helpers.small_training import Interrupts

Command = Callable[..., tuple[int, str]]
CLASSES = ("Auk", "Coot")
RECIPE = {"image_size": 32, "stored_size": 32, "batch_size": 4, "epochs": 1, "validation": 0}
WEIGHTS = "test_resnet_birds.safetensors"


def draw(folder: Path, seed: int = 0) -> None:
    """Two classes, four images each, one of them for the test."""
    random = np.random.default_rng(seed)
    lines = ["path,label,split"]
    for label in CLASSES:
        for number in range(4):
            path = Path("images", label, f"{number}.png")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / path)
            lines.append(f"{path},{label},{'train' if number else 'test'}")
    (folder / "images.csv").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with `my_birds`."""
    draw(tmp_path / "data" / "my_birds")
    return tmp_path / "data"


@pytest.fixture
def train(fgbench: Command, store: ResultStore, data: Path) -> Command:
    """Trains plain on `my_birds`, or shows what would be done: exit code, and what was printed."""

    def command(*words: object, root: Path = data) -> tuple[int, str]:
        asked = [f"--set={key}={value}" for key, value in (RECIPE | {"pretrained": "none"}).items()]
        what = ("--methods", "plain", "--dataset", "my_birds", "--backbone", "test_resnet", "--seeds", 1)
        return fgbench(
            "compare",
            *what,
            *asked,
            "--only=job=train",
            "--in-process",
            "--data-root",
            root,
            "--results",
            store.root,
            "--device=cpu",
            *words,
        )

    return command


def planned(
    data: Path, pretrained: str = "none", weights: Path | None = None, **changes: object
) -> tuple[Run, Environment]:
    """The same training, as planned now."""
    opened_once.cache_clear()
    entry = {
        "methods": ["plain"],
        "datasets": ["my_birds"],
        "backbones": [{"name": "test_resnet", "pretrained": pretrained}],
        "seeds": 1,
        "set": {"recipe": RECIPE},
    }
    here = Environment(data, weights)
    (run,) = expand.expand(Suite.model_validate({"about": "for tests", "train": [entry | changes]}), here, Changes())
    assert isinstance(run, Run)
    return run, here


def carried_out(run: Run, store: ResultStore, here: Environment) -> Record:
    """As a process of its own does it, later than it was planned."""
    opened_once.cache_clear()
    return worker.carry_out(run, store, here, Silent())


def relabel(data: Path) -> None:
    """The same split, but the first class has another name."""
    table = data / "my_birds" / "images.csv"
    table.write_text(table.read_text().replace(",Auk,", ",Albatross,"), encoding="utf-8")


def swap_splits(data: Path) -> None:
    table = data / "my_birds" / "images.csv"
    swapped = (
        table.read_text().replace("0.png,Auk,test", "0.png,Auk,train").replace("1.png,Auk,train", "1.png,Auk,test")
    )
    table.write_text(swapped, encoding="utf-8")


# Planning: what is not the same is not reused


def test_a_finished_run_is_reused_and_one_on_other_images_of_the_same_names_is_not(
    train: Command, store: ResultStore, data: Path
) -> None:
    assert train()[0] == 0
    (first,) = store.own()
    assert train()[0] == 0
    assert store.own() == [first]
    draw(data / "my_birds", seed=1)
    for words in ("--dry-run",), ():
        code, said = train(*words)
        assert code == 0
        assert "not reused, but kept: 1 finished Run with other images (my_birds: images " in said
    assert len(store.own()) == 2
    draw(data / "my_birds")
    assert "done" in train("--dry-run")[1], "the first images are back"


def test_renamed_classes_are_another_run(train: Command, store: ResultStore, data: Path) -> None:
    train()
    relabel(data)
    assert "not reused, but kept: 1 finished Run with other class names (my_birds: " in train()[1]
    assert [record.split["class_names"][0] for record in store.own()].count("Albatross") == 1


def test_another_data_root_counts_only_if_its_files_are_the_same(
    train: Command, store: ResultStore, data: Path, tmp_path: Path
) -> None:
    train()
    shutil.copytree(data, tmp_path / "copy")
    draw(tmp_path / "other" / "my_birds", seed=1)
    assert "done" in train("--dry-run", root=tmp_path / "copy")[1]
    assert "to do" in train("--dry-run", root=tmp_path / "other")[1]


def test_files_that_were_only_touched_are_the_same(train: Command, data: Path) -> None:
    train()
    for file in data.rglob("*.png"):
        os.utime(file, (0, 0))
    assert "done" in train("--dry-run")[1]


def test_records_from_before_the_check_are_used_and_marked(train: Command, store: ResultStore, data: Path) -> None:
    run, _ = planned(data)
    old = run.model_copy(update={"images_sha256": None, "classes_sha256": None})
    record = worker.blank(old, torch.device("cpu"))
    record.split = {"class_names": list(CLASSES)}
    store.write(record)
    code, said = train("--dry-run")
    assert code == 0
    assert "done" in said
    assert "1 Run that is done predates the check of images and class names" in said
    relabel(data)
    said = train("--dry-run")[1]
    assert "to do" in said
    assert "predates" not in said
    assert "not reused, but kept: 1 finished Run with other images and class names" in said
    assert "images unchecked then" in said


# Loading: what has changed since it was planned is told


def test_images_that_were_replaced_after_planning_are_counted_and_the_first_is_named(
    store: ResultStore, data: Path
) -> None:
    run, here = planned(data)
    for name in ("Auk/2.png", "Coot/1.png"):
        shutil.copy(data / "my_birds/images/Coot/0.png", data / "my_birds/images" / name)
    record = carried_out(run, store, here)
    assert record.status == "failed"
    assert record.error is not None
    assert "the images of my_birds changed since this Run was planned" in record.error
    assert "2 of 8 differ, first images/Auk/2.png" in record.error


@pytest.mark.parametrize(
    ("change", "what"), [(relabel, "class names"), (swap_splits, "split")], ids=["class names", "split"]
)
def test_a_table_that_changed_after_planning_is_told(
    change: Callable[[Path], None], what: str, store: ResultStore, data: Path
) -> None:
    run, here = planned(data)
    change(data)
    record = carried_out(run, store, here)
    assert record.status == "failed"
    assert f"the {what} of my_birds changed since this Run was planned" in (record.error or "")


def test_weights_that_were_replaced_after_planning_are_not_trained_on(
    store: ResultStore, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "weights" / "test_resnet.safetensors"
    file.parent.mkdir()
    shutil.copy(SHIPPED_WEIGHTS / WEIGHTS, file)
    run, here = planned(data, "test_resnet.safetensors", file.parent)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    record = carried_out(run, store, here)
    assert record.status == "failed"
    assert "the weights in test_resnet.safetensors changed since this Run was planned" in (record.error or "")


def test_the_weights_of_a_second_network_are_part_of_the_run(data: Path, tmp_path: Path) -> None:
    file, second = tmp_path / "weights" / "test_resnet.safetensors", "test_efficientnet"
    file.parent.mkdir()
    shutil.copy(SHIPPED_WEIGHTS / WEIGHTS, file)

    def write_second(seed: int) -> None:
        torch.manual_seed(seed)
        save_file(timm.create_model(second).state_dict(), file.with_name(f"{second}.safetensors"))

    write_second(0)
    asked = {"methods": ["bilinear_cnn"], "set": {"recipe": RECIPE | {"epochs": 2}, "options": {"second": second}}}
    run, _ = planned(data, file.name, file.parent, **asked)
    assert list(run.second_weights) == [second]
    build_method(run, 2, file.parent, torch.device("cpu"))
    write_second(1)
    assert planned(data, file.name, file.parent, **asked)[0].hash != run.hash
    with pytest.raises(UserError, match=f"the weights in {second}.safetensors changed since this Run was planned"):
        build_method(run, 2, file.parent, torch.device("cpu"))


def test_a_training_does_not_resume_on_other_images(train: Command, store: ResultStore, data: Path) -> None:
    run, here = planned(data)
    folder = store.folder(run.id)
    with pytest.raises(KeyboardInterrupt):
        Trainer(run, replace(here, execution=Execution(checkpoint_seconds=0)), folder, Interrupts(batches=2)).train()
    draw(data / "my_birds", seed=1)
    assert "not continued, but kept: 1 interrupted Run with other images (my_birds: " in train("--dry-run")[1]
    opened_once.cache_clear()
    with pytest.raises(UserError, match="the images of my_birds changed since this Run was planned"):
        Trainer(run, here, folder, Silent())
    draw(data / "my_birds")
    opened_once.cache_clear()
    assert Trainer(run, here, folder, Silent()).train().state.resumed == 1
