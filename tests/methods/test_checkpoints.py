"""Checkpoints as people have them: the weights are found in them, or the true reason is given."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from methods import checkpoints
from methods.backbones import BackboneError, TimmBackbones

State = dict[str, Tensor]
IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def state(name: str = "test_resnet") -> State:
    torch.manual_seed(3)
    return timm.create_model(name, num_classes=7).state_dict()


def features(file: Path, name: str = "test_resnet") -> tuple[Tensor, str]:
    """The last map of an image, and where in the file the weights were."""
    source = TimmBackbones(name, 64, file)
    (last,) = source.features(["final"]).eval()(IMAGE)
    return last, source.loaded[name].taken


@pytest.fixture
def plain(tmp_path: Path) -> Tensor:
    """The last map that the plain file gives."""
    save_file(state(), tmp_path / "plain.safetensors")
    return features(tmp_path / "plain.safetensors")[0]


def named(prefix: str) -> State:
    return {prefix + key: value for key, value in state().items()}


HELD: dict[str, tuple[Callable[[], Any], str]] = {
    "state_dict": (lambda: {"state_dict": state(), "epoch": 3, "optimizer": {"state": {}}}, "state_dict"),
    "model_state_dict": (lambda: {"model_state_dict": state()}, "model_state_dict"),
    "net": (lambda: {"net": state(), "acc": 0.9}, "net"),
    "the average alone": (lambda: {"ema": {"module": state()}}, "ema.module"),
    "timm's training": (lambda: {"state_dict": state(), "args": argparse.Namespace(lr=0.1)}, "state_dict"),
    "module.": (lambda: named("module."), "without the prefix 'module.'"),
    "model.": (lambda: {"state_dict": named("model.")}, "state_dict without the prefix 'model.'"),
    "backbone.": (
        lambda: {"state_dict": named("backbone.") | {"head.weight": torch.zeros(2)}},
        "state_dict without the prefix 'backbone.'",
    ),
    "_orig_mod.": (lambda: named("_orig_mod."), "without the prefix '_orig_mod.'"),
    "module.encoder.": (lambda: {"model": named("module.encoder.")}, "model without the prefix 'module.encoder.'"),
    "a Run of this project": (lambda: named("backbone.net."), "without the prefix 'backbone.net.'"),
    "one network twice": (lambda: named("net.") | named("model.net."), "without the prefix 'net.'"),
}


@pytest.mark.parametrize(("content", "taken"), HELD.values(), ids=list(HELD))
def test_wrapped_or_prefixed_weights_give_the_features_of_the_plain_file(
    plain: Tensor, content: Callable[[], Any], taken: str, tmp_path: Path
) -> None:
    torch.save(content(), tmp_path / "last.ckpt")
    found, words = features(tmp_path / "last.ckpt")
    assert torch.equal(found, plain)
    assert words == taken


def test_what_a_file_is_shows_in_its_bytes_not_in_its_name(plain: Tensor, tmp_path: Path) -> None:
    save_file(state(), tmp_path / "renamed.pth")
    torch.save(state(), tmp_path / "renamed.safetensors")
    torch.save(state(), tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    for name in ("renamed.pth", "renamed.safetensors", "old.pth.tar"):
        assert torch.equal(features(tmp_path / name)[0], plain)


def test_of_raw_weights_and_their_moving_average_the_average_is_taken_and_said(plain: Tensor, tmp_path: Path) -> None:
    raw = {key: value + 1 for key, value in state().items()}
    torch.save({"state_dict": raw, "state_dict_ema": state()}, tmp_path / "both.pth")
    found, taken = features(tmp_path / "both.pth")
    assert torch.equal(found, plain)
    assert taken == "state_dict_ema, the moving average, not state_dict"


def test_a_file_with_two_networks_that_fit_is_refused(tmp_path: Path) -> None:
    other = {key: value + 1 for key, value in state().items()}
    torch.save({"student": state(), "teacher": other}, tmp_path / "pair.pth")
    with pytest.raises(BackboneError, match=r"several networks that fit \(student, teacher\); save one"):
        features(tmp_path / "pair.pth")


def original_convnext_names(own: State) -> State:
    """The names of the authors' code for timm's."""
    renamed = {}
    for key, value in own.items():
        words = key.split(".")
        if words[0] == "stem":
            words = ["downsample_layers", "0", *words[1:]]
        elif words[0] == "stages" and words[2] == "downsample":
            words = ["downsample_layers", words[1], *words[3:]]
        elif words[0] == "stages":
            words = ["stages", words[1], *words[3:]]
        new = ".".join(words).replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("head.norm", "norm")
        renamed[new] = value
    return renamed


@pytest.mark.parametrize("prefix", ["", "module."])
def test_timms_conversion_of_other_names_works_below_a_prefix_too(prefix: str, tmp_path: Path) -> None:
    own = state("test_convnext")
    save_file(own, tmp_path / "own.safetensors")
    theirs = {prefix + key: value for key, value in original_convnext_names(own).items()}
    torch.save({"model": theirs}, tmp_path / "theirs.pth")
    expected, _ = features(tmp_path / "own.safetensors", "test_convnext")
    assert torch.equal(features(tmp_path / "theirs.pth", "test_convnext")[0], expected)


def stages(net: nn.Module) -> nn.Module:
    """A torchvision network up to its last map."""
    if isinstance(net, torchvision.models.RegNet):
        return nn.Sequential(net.stem, net.trunk_output)
    return nn.Sequential(*list(net.children())[:-2])


@pytest.mark.parametrize(("theirs", "name"), [("resnet18", "resnet18"), ("regnet_y_400mf", "regnety_004")])
def test_torchvisions_file_of_the_same_network_gives_its_features(theirs: str, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = getattr(torchvision.models, theirs)(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "theirs.pth")
    found, _ = features(tmp_path / "theirs.pth", name)
    torch.testing.assert_close(found, stages(net)(IMAGE))


def test_torchvisions_names_that_timm_does_not_know_are_shown(tmp_path: Path) -> None:
    torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(BackboneError, match=r"another network.*'features\.0\.0\.weight'.*'conv_stem\.weight'"):
        features(tmp_path / "theirs.pth", "mobilenetv3_small_100")


def torchscript(file: Path) -> None:
    scripted = torch.jit.script(nn.Linear(2, 2))
    torch.jit.save(scripted, file)


def cut_off(file: Path) -> None:
    torch.save(state(), file)
    file.write_bytes(file.read_bytes()[:2000])


REASONS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "TorchScript": (torchscript, r"TorchScript archive.*torch\.jit\.load"),
    "lists": (lambda file: torch.save({"a": [1.0], "b": [2.0]}, file), "a dict of 2 values of type list"),
    "wrapped lists": (lambda file: torch.save({"state_dict": {"a": [1.0]}}, file), "a dict of 1 values of type list"),
    "tensors without names": (lambda file: torch.save([torch.ones(2)] * 3, file), "a list of 3 values of type Tensor"),
    "one tensor": (lambda file: torch.save(torch.ones(2), file), "no state dict.*one Tensor"),
    "other classes": (
        lambda file: torch.save({"state_dict": state(), "when": datetime.date(2024, 1, 1)}, file),
        r"more than tensors \(datetime\.date\).*save its state dict alone",
    ),
    "a whole module": (lambda file: torch.save(nn.Linear(2, 2), file), r"more than tensors \(torch\.nn\.modules"),
    "Git LFS": (
        lambda file: file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"),
        "pointer of Git LFS.*git lfs pull",
    ),
    "a web page": (lambda file: file.write_text("<!DOCTYPE html>\n<title>not found</title>" * 9), "is text.*fetch it"),
    "empty": (lambda file: file.touch(), "is empty"),
    "cut off": (cut_off, "cut off; fetch it again"),
    "other bytes": (lambda file: file.write_bytes(b"\x93NUMPY\x01\x00" * 9), "damaged; fetch it again"),
}


@pytest.mark.parametrize(("write", "reason"), REASONS.values(), ids=list(REASONS))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_what_is_no_state_dict_is_told_why(write: Callable[[Path], Any], reason: str, tmp_path: Path) -> None:
    write(tmp_path / "test_resnet.pth")
    with pytest.raises(BackboneError, match=rf"test_resnet\.pth: (?s:.*){reason}"):
        features(tmp_path / "test_resnet.pth")


def test_nan_is_refused_where_a_tap_depends_on_it_and_only_there(tmp_path: Path) -> None:
    broken = state()
    broken["layer4.0.conv1.weight"][0] = float("nan")
    save_file(broken, tmp_path / "broken.safetensors")
    source = TimmBackbones("test_resnet", 64, tmp_path / "broken.safetensors")
    source.features([16])
    with pytest.raises(BackboneError, match=r"1 tensors of test_resnet hold NaN.*layer4\.0\.conv1\.weight"):
        source.features(["final"])


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "denied.safetensors"
    save_file(state(), file)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoints, "load_file", denied)
    with pytest.raises(BackboneError, match=r"denied\.safetensors: can't be read \(Permission denied\)"):
        features(file)
