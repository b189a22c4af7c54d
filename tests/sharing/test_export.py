"""A shared network is the trained Run: the same tensors, logits and predictions, whoever loads it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

import methods
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import execute
from benchmarks.sharing import timm_form
from benchmarks.sharing.export import share
from benchmarks.training.networks.trained_run import predict
from methods.backbones import BackboneError, TimmBackbones
from methods.plain.model import Plain
from methods.trained import Trained, read
from results.errors import ResultsError
from results.settings import Run
from results.store import REFERENCE, WEIGHTS, ResultStore
from tests.helpers.fakes.fake_hub import FakeHub
from tests.helpers.small_training import SWIN, small_run

VARIANTS = [*methods.available(), "bilinear_cnn:svm"]
Command = Callable[..., tuple[int, str]]


@dataclass(frozen=True)
class Shared:
    """A trained Run, and the folder that it was shared to."""

    store: ResultStore
    run: Run
    folder: Path
    by_timm: bool

    @property
    def run_folder(self) -> Path:
        return self.store.root / self.run.id


def trained(store: ResultStore, name: str) -> Run:
    run = small_run(name, stored_size=40)
    execute.execute([run], store, Environment(), Console(quiet=True))
    return run


def made(folder: Path, name: str) -> Shared:
    store = ResultStore(folder / "results")
    run = trained(store, name)
    return Shared(store, run, folder / "mine", share(store, run.id, folder / "mine"))


@pytest.fixture(scope="module", params=VARIANTS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    return made(tmp_path_factory.mktemp("shared"), request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    return made(tmp_path_factory.mktemp("plain"), "plain")


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def images_to_test(run: Run, folder: Path) -> list[Path]:
    """The Run's test images as files, in the order of its predictions."""
    dataset = Environment().open(run.dataset, run.dataset_options)
    rows = [row for row in range(len(dataset)) if not dataset.is_train[row]]
    for row in rows:
        file = folder / f"{dataset.paths[row]}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.image(row)).save(file)
    return [folder / f"{dataset.paths[row]}.png" for row in rows]


def test_any_method_comes_back_with_its_tensors_and_logits(shared: Shared) -> None:
    stored = load_file(shared.run_folder / WEIGHTS)
    places = [shared.folder, shared.folder / "model.safetensors", shared.run_folder, shared.run_folder / WEIGHTS]
    built = [methods.build(trained=path) for path in places]
    for module in built:
        state = module.state_dict()
        assert state.keys() == stored.keys()
        assert all(torch.equal(state[name], stored[name]) for name in stored)
        assert type(module) is methods.load(shared.run.method)
    with torch.no_grad():
        first, *others = (module(images()) for module in built)
    assert all(torch.equal(first, other) for other in others)


def test_predictions_are_those_of_the_evaluation_and_of_the_run(shared: Shared, tmp_path: Path) -> None:
    files = images_to_test(shared.run, tmp_path)
    by_folder = predict(shared.store, str(shared.folder), files, "cpu")
    assert by_folder == predict(shared.store, shared.run.id, files, "cpu")
    known = shared.store.predictions(shared.run.id)
    assert known is not None
    known = known[known["selection"] == "last"].set_index("image")
    for answer, file in zip(by_folder, files, strict=True):
        row = known.loc[file.relative_to(tmp_path).with_suffix("").as_posix()]
        assert answer["classes"][0][1] == pytest.approx(row["confidence"], abs=1e-5)


def test_timm_loads_a_plain_network_with_the_same_logits_and_images(plain: Shared) -> None:
    net = timm.create_model(f"local-dir:{plain.folder}", pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(images()), methods.build(trained=plain.folder)(images()))
    settings = timm.data.resolve_model_data_config(net)
    assert list(settings["input_size"]) == [3, 32, 32]
    assert settings["crop_mode"] == "squash"
    assert int(32 / settings["crop_pct"]) == 40
    assert net.pretrained_cfg["label_names"] == read(plain.folder).class_names


def test_timm_loads_an_uploaded_folder_from_the_hub(plain: Shared, fake: FakeHub) -> None:
    for path in plain.folder.iterdir():
        fake.offer_file("me/birds", path.name, path.read_bytes())
    net = timm.create_model("hf-hub:me/birds", pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(images()), methods.build(trained=plain.folder)(images()))


@pytest.mark.parametrize(
    ("backbone", "options", "linear"),
    [
        ("test_resnet", {"norm_scale": False}, "fc"),
        ("tf_efficientnet_lite0", {}, "classifier"),
        ("swin_tiny_patch4_window7_224", SWIN["options"], "head.fc"),
        ("test_convnext", {}, None),  # a norm after the pooling
    ],
)
def test_only_what_timm_computes_alike_is_left_to_it(
    backbone: str, options: dict[str, Any], linear: str | None
) -> None:
    settings = {"backbone": backbone, "backbone_options": options, "class_names": ["a", "b"]}
    known = Trained.model_validate({"method": "plain", **settings, "image_size": 32, "stored_size": 36})
    method = Plain(TimmBackbones(backbone, 32, options=options), 2).eval()
    assert timm_form.linear_layer(known, method) == linear


def test_what_contradicts_the_training_is_refused(plain: Shared) -> None:
    agreeing = {"name": "plain", "backbone": "test_resnet", "num_classes": 3, "variant": "paper", "image_size": 32}
    methods.build(trained=plain.folder, **agreeing)
    others = {"name": "sef", "backbone": "resnet50", "num_classes": 4, "variant": "dropout", "image_size": 64}
    for key, value in {**others, "pretrained": "timm", "dropout": 0.5}.items():
        with pytest.raises(ValueError, match=f"was not trained with {key}="):
            methods.build(trained=plain.folder, **{key: value})
    with pytest.raises(ValueError, match="name a method, a backbone and num_classes, or a trained network"):
        methods.build("plain")


def test_a_folder_without_a_whole_network_is_refused(plain: Shared, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with pytest.raises(BackboneError, match="holds no trained network"):
        methods.build(trained=copy)
    shutil.copytree(plain.folder, copy)
    model = copy / "model.safetensors"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BackboneError, match="is not the file that was stored with its settings"):
        methods.build(trained=copy)
    model.unlink()
    with pytest.raises(BackboneError, match="is missing"):
        methods.build(trained=copy)
    config = copy / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"form": 1', '"form": 2'), encoding="utf-8")
    with pytest.raises(BackboneError, match="was written by a newer fgbench"):
        methods.build(trained=copy)
    config.write_text('{"architecture": "resnet50"}', encoding="utf-8")
    with pytest.raises(BackboneError, match="was not written by fgbench"):
        methods.build(trained=copy)


def test_sharing_again_replaces_and_other_files_are_left_alone(plain: Shared, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    (folder / ".git").mkdir(parents=True)
    for _ in range(2):
        assert share(plain.store, plain.run.id, folder)
    assert {path.name for path in folder.iterdir()} == {".git", "README.md", "config.json", "model.safetensors"}
    unfinished = folder / ".model.safetensors.q3x_7k2a.safetensors"
    unfinished.touch()
    share(plain.store, plain.run.id, folder)
    assert not unfinished.exists(), "a share that was killed left it"
    (folder / "thesis.tex").touch()
    unfinished.touch()
    with pytest.raises(UserError, match=r"holds other files \(thesis.tex\)"):
        share(plain.store, plain.run.id, folder)
    assert unfinished.exists(), "another program's, as far as anybody knows"


def test_a_run_that_keeps_no_weights_or_does_not_fit_is_not_shared(plain: Shared, tmp_path: Path) -> None:
    store, run_id = ResultStore(tmp_path / "results"), plain.run.id
    committed = tmp_path / "results" / REFERENCE / run_id
    shutil.copytree(plain.run_folder, committed)
    (committed / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"keeps no weights \(committed results keep none\); run it again"):
        share(store, run_id, tmp_path / "mine")
    shutil.copytree(plain.run_folder, store.root / run_id)
    (store.root / run_id / "history.csv").write_text("epoch,loss,test_top1\n", encoding="utf-8")
    with pytest.raises(ResultsError, match="is not the file that was stored with the record"):
        share(store, run_id, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_commands_share_a_run_and_predict_with_it(plain: Shared, fgbench: Command, tmp_path: Path) -> None:
    (bird, *_) = images_to_test(plain.run, tmp_path / "images")
    mine, results = tmp_path / "mine", ["--results", plain.store.root]
    code, said = fgbench("publish", plain.run.id[:30], "--share", mine, *results)
    assert code == 0
    assert f"timm.create_model('local-dir:{mine}'" in said
    answers = [
        fgbench("predict", asked, bird, "--json", *results)
        for asked in (plain.run.id, mine, mine / "model.safetensors")
    ]
    assert answers[0][0] == 0
    assert answers[1] == answers[2] == answers[0]
    assert fgbench("predict", plain.run_folder, bird, "--json", "--results", tmp_path) == answers[0]
    _, table = fgbench("predict", mine, bird, *results)
    assert table.count(str(bird)) == 1, "a long path stands above its rows, not in each"
    with pytest.raises(UserError, match="--share takes one RUN, not 2"):
        fgbench("publish", "a", "b", "--share", mine, *results)
    with pytest.raises(UserError, match="there is no trained network"):
        fgbench("predict", tmp_path / "nowhere", bird, *results)
