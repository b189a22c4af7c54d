"""What would fail at once is refused at planning: a line for each fault, exit code 2, and nothing is started."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import run_all
from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.planning import checks
from benchmarks.training.train import Trainer
from methods.interface import Sampling
from methods.networks import create_network
from methods.plain.model import Plain
from tests.helpers.image_bytes import WHOLE
from tests.helpers.small_training import Interrupts, small_entry, small_run

Lines = Callable[..., list[str]]
IMAGES = {"dataset_options.classes": 3, "dataset_options.train_per_class": 4}
RECIPE = {"image_size": 32, "stored_size": 160, "batch_size": 4, "pretrained": "none"}


def settings(values: dict[str, object]) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def drawn(backbone: str = "test_resnet", **changes: object) -> list[str]:
    """Words after `compare`: small batches of drawn images, of three classes."""
    return ["--dataset", "synthetic", "--backbone", backbone, *settings(IMAGES | RECIPE | changes)]


def of_birds(root: Path) -> list[object]:
    """The same on the images of `birds`."""
    return ["--dataset", "my_birds", "--data-root", root, "--backbone", "test_resnet", *settings(RECIPE)]


@pytest.fixture
def lines_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lines:
    """The lines of a command that is refused, without a folder of results being made."""

    def run(*words: object) -> list[str]:
        results = tmp_path / "results"
        asked = [str(word) for word in (*words, "--device", "cpu", "--results", results)]
        monkeypatch.setattr(sys, "argv", ["run_all.py", *asked])
        with pytest.raises(SystemExit) as ended:
            run_all.main()
        assert ended.value.code == 2
        assert not results.exists()
        return capsys.readouterr().err.removeprefix("error: ").splitlines()

    return run


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """A data root with a folder of two classes, two training images and a test image each."""
    folder = tmp_path / "data" / "my_birds"
    for place in ("train/wren", "train/kite", "test/wren", "test/kite"):
        (folder / place).mkdir(parents=True)
        for number in range(2 if place.startswith("train") else 1):
            (folder / place / f"{number}.jpg").write_bytes(WHOLE["jpeg"])
    return folder.parent


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["", "dry run"])
def test_weights_of_another_network_are_refused_once_for_all_runs(
    dry: list[str], lines_of: Lines, tmp_path: Path
) -> None:
    save_file(create_network("test_vit", 160, {}).state_dict(), tmp_path / "other.safetensors")
    words = [*drawn(pretrained="other.safetensors"), "--weights", tmp_path, "--methods", "plain,sef", *dry]
    (line,) = lines_of("compare", *words)
    assert "other.safetensors: is of another network" in line
    assert "(6 Runs, the first: plain · synthetic · test_resnet · seed 0)" in line


def test_a_checkpoint_of_another_network_is_refused_too(lines_of: Lines, tmp_path: Path) -> None:
    torch.save({"state_dict": create_network("test_vit", 160, {}).state_dict()}, tmp_path / "other.pth")
    (line,) = lines_of(
        "compare", *drawn(pretrained="other.pth"), "--weights", tmp_path, "--methods", "plain", "--dry-run"
    )
    assert "other.pth: is of another network" in line


def test_weights_that_end_before_the_layer_that_a_method_takes_are_refused_unless_allowed(
    lines_of: Lines, fgbench: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    state = create_network("test_resnet", 32, {}).state_dict()
    held = {key: value for key, value in state.items() if not key.startswith("layer4.")}
    save_file(held, tmp_path / "test_resnet_to_layer3.safetensors")
    words = [*drawn(pretrained="auto", stored_size=64, image_size=64), "--weights", tmp_path, "--methods", "plain"]
    (line,) = lines_of("compare", *words, "--dry-run")
    assert line.startswith(
        "test_resnet_to_layer3.safetensors does not hold 15 parameters of test_resnet before the tap"
    )
    assert fgbench("compare", *words, "--set", "allow_unfilled=true", "--dry-run")[0] == 0
    assert fgbench("compare", *words, "--set", "options.tap=16", "--dry-run")[0] == 0


def test_weights_that_are_not_finite_where_a_method_takes_them_are_refused(
    lines_of: Lines, fgbench: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    state = create_network("test_resnet", 32, {}).state_dict()
    state["layer4.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, tmp_path / "test_resnet.safetensors")
    words = [*drawn(pretrained="auto", stored_size=64, image_size=64), "--weights", tmp_path, "--methods", "plain"]
    (line,) = lines_of("compare", *words, "--dry-run")
    assert line.startswith("test_resnet.safetensors: 1 tensors of test_resnet hold NaN or infinite values")
    assert fgbench("compare", *words, "--set", "options.tap=16", "--dry-run")[0] == 0


def test_batches_of_more_classes_than_there_are_can_not_be_formed(
    lines_of: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(images_per_class=1))
    (line,) = lines_of("compare", *drawn(), "--methods", "plain", "--dry-run")
    assert line.startswith("plain on synthetic: batches of 4 classes can't be drawn from 3 classes; set batch_size")


def test_batches_of_another_size_than_the_method_samples_can_not_be_formed(
    lines_of: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(images_per_class=3))
    (line,) = lines_of("compare", *drawn(), "--methods", "plain", "--dry-run")
    assert line.startswith("plain on synthetic: batch_size 4 is not a multiple of 3 images a class; 3 or 6 are; set")


def test_a_size_of_batches_is_refused_before_the_data_is_here(lines_of: Lines) -> None:
    words = ["--methods", "api_net", "--dataset", "fgvc_aircraft", "--backbone", "resnet50", "--set", "batch_size=30"]
    *_, line = lines_of("compare", *words, "--dry-run")
    assert line.startswith(
        "api_net on fgvc_aircraft: batch_size 30 is not a multiple of 4 images a class; 28 or 32 are"
    )


def test_micro_batches_that_would_part_images_of_a_pair_are_refused(
    lines_of: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plain, "sampling", Sampling(even=True))
    (line,) = lines_of("compare", *drawn(), "--batch-size", "1", "--methods", "plain", "--dry-run")
    assert line.startswith("plain: 2 images of a batch belong together; set --batch-size to 2 or more")


def test_tensorboard_without_its_package_is_refused(lines_of: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    (line,) = lines_of("compare", *drawn(), "--methods", "plain", "--tensorboard", "--dry-run")
    assert line.startswith("--tensorboard needs a package: pip install tensorboard, or leave it out (3 Runs")


@pytest.mark.parametrize(
    "asked",
    [drawn(batch_size=1), [*drawn(), "--batch-size", "1"], [*drawn(), "--accumulate", "4"]],
    ids=["batch", "micro-batch", "pieces"],
)
def test_batch_norm_can_not_learn_from_one_image_with_a_map_of_one_pixel(asked: list[str], lines_of: Lines) -> None:
    (line,) = lines_of("compare", *asked, "--methods", "plain", "--dry-run")
    assert line.startswith("plain on test_resnet: Expected more than 1 value per channel when training")
    assert "single images" in line


@pytest.mark.parametrize(
    "words", [drawn(image_size=64), drawn("test_vit", image_size=160)], ids=["larger", "layer norm"]
)
def test_one_image_at_a_time_is_not_refused_where_a_network_learns_from_it(
    words: list[str], fgbench: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    words = [*words, "--batch-size", "1", "--results", str(tmp_path / "none"), "--device", "cpu"]
    code, said = fgbench("compare", *words, "--methods", "plain", "--dry-run")
    assert (code, "to do" in said) == (0, True)


def test_another_micro_batch_than_an_interrupted_training_was_begun_with_is_refused(
    fgbench: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    run, suite = small_run(), tmp_path / "small.yaml"
    folder = tmp_path / "results" / run.id
    folder.mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        Trainer(run, Environment(execution=Execution(checkpoint_seconds=0)), folder, Interrupts(2)).train()
    suite.write_text(json.dumps({"about": "x", "train": [small_entry()]}), encoding="utf-8")
    words = ["run", str(suite), "--dry-run", "--device", "cpu", "--results", str(tmp_path / "results")]
    assert fgbench(*words)[0] == 0
    with pytest.raises(UserError, match="begun without --batch-size, and 3 would give other results"):
        fgbench(*words, "--batch-size", "3")


def test_nesterov_without_momentum_is_refused(lines_of: Lines) -> None:
    words = settings({"optimizer.name": "sgd", "optimizer.nesterov": "true", "optimizer.momentum": 0})
    (line,) = lines_of("compare", *drawn(), *words, "--methods", "plain", "--dry-run")
    assert "nesterov needs momentum: set momentum to 0.9, or nesterov to false" in line


def test_each_image_that_is_none_is_named_once_however_many_runs_would_read_it(lines_of: Lines, birds: Path) -> None:
    (birds / "my_birds" / "train" / "wren" / "0.jpg").write_bytes(b"")
    (birds / "my_birds" / "test" / "kite" / "0.jpg").write_bytes(b"<!DOCTYPE html><html>")
    first, *named = lines_of("compare", *of_birds(birds), "--methods", "plain,bilinear_cnn")
    assert first == "2 faults; nothing was started"
    assert [Path(line.partition(" ")[0]).relative_to(birds / "my_birds").as_posix() for line in sorted(named)] == [
        "test/kite/0.jpg",
        "train/wren/0.jpg",
    ]
    assert all("(6 Runs, the first: plain · my_birds · test_resnet · seed 0)" in line for line in named)


def test_of_many_images_that_are_none_ten_are_named_and_the_others_counted(lines_of: Lines, birds: Path) -> None:
    for number in range(12):
        (birds / "my_birds" / "train" / "wren" / f"empty{number}.jpg").write_bytes(b"")
    found = lines_of("compare", *of_birds(birds), "--methods", "plain", "--dry-run")
    assert len(found) == 1 + 10 + 1
    assert found[-1].startswith("2 more images of my_birds can't be read: data verify my_birds names them")


@pytest.mark.parametrize(
    ("backbone", "size", "said"),
    [
        ("test_vit", 100, "test_vit cuts images into patches of 16 px"),
        ("inception_v3", 32, "InceptionV3 gives no maps at ['classified', 'final'] of an image of 32 px"),
    ],
)
def test_a_size_that_a_network_refuses_is_refused(backbone: str, size: int, said: str, lines_of: Lines) -> None:
    (line,) = lines_of("compare", *drawn(backbone, image_size=size), "--methods", "plain", "--dry-run")
    assert line.startswith(said)


def test_a_profile_of_a_size_that_a_network_refuses_is_refused(lines_of: Lines) -> None:
    words = ["--methods", "plain", "--backbone", "test_vit", "--image-size", "100,160", "--dry-run"]
    (line,) = lines_of("profile", *words)
    assert "set image_size to 96 or 112" in line


def test_all_faults_are_told_together_each_in_a_line(
    lines_of: Lines, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (birds / "my_birds" / "train" / "wren" / "0.jpg").write_bytes(b"")
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    first, *named = lines_of("compare", *of_birds(birds), "--methods", "plain", "--tensorboard", "--batch-size", "1")
    assert first == "3 faults; nothing was started"
    assert [any(word in line for line in named) for word in ("0.jpg is empty", "--tensorboard", "single images")] == [
        True
    ] * 3


def test_reproduce_and_run_refuse_as_compare_does(lines_of: Lines, tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        """
about: two Runs on images too small for their network
train:
  - methods: [plain]
    datasets: [{name: synthetic, options: {classes: 2, train_per_class: 4, test_per_class: 2, size: 32}}]
    backbones: [{name: inception_v3, pretrained: none}]
    seeds: 2
    set: {recipe: {image_size: 32, stored_size: 32, epochs: 1, batch_size: 4}}
""",
        encoding="utf-8",
    )
    (of_run,) = lines_of("run", suite)
    small = ["--set", "image_size=32", "--set", "stored_size=32", "--set", "pretrained=none"]
    named = ["--dataset", "synthetic", "--backbone", "inception_v3"]
    (of_reproduce,) = lines_of("reproduce", "plain", *named, *small, "--seeds", "2", "--dry-run")
    for line in (of_run, of_reproduce):
        assert line.startswith("InceptionV3 gives no maps")
        assert "(2 Runs, the first: plain · synthetic · inception_v3 · seed 0)" in line


def test_a_run_that_is_done_is_not_looked_at(
    fgbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["compare", *drawn(), "--set", "epochs=1", "--methods", "plain", "--seeds", "1", "--only", "job=train"]
    words += ["--device", "cpu", "--results", str(tmp_path / "results"), "--in-process"]
    assert fgbench(*words)[0] == 0
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    assert fgbench(*words, "--tensorboard", "--dry-run")[0] == 0
    with pytest.raises(UserError, match="--tensorboard needs a package"):
        fgbench(*words, "--tensorboard", "--dry-run", "--seeds", "2")
