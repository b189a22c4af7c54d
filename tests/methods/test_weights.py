"""Weight files: what they fill is accounted for, and what can't be right is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from methods.backbones import BackboneError, TimmBackbones
from methods.weight_files import WeightFile, find_weights


def state(name: str = "test_resnet") -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return timm.create_model(name, num_classes=7).state_dict()


def backbones(folder: Path, **options: object) -> TimmBackbones:
    return TimmBackbones("test_resnet", 64, **({"pretrained": "auto", "weights_root": folder} | options))


def test_weights_reach_the_network_whatever_the_file_format(tmp_path: Path) -> None:
    wanted = state()
    save_file(wanted, tmp_path / "a.safetensors")
    torch.save({"state_dict": wanted}, tmp_path / "b.pth")
    for name in ("a.safetensors", "b.pth"):
        features = backbones(tmp_path, pretrained=name).features([16])
        assert torch.equal(features.net.conv1[0].weight, wanted["conv1.0.weight"])


def test_half_precision_files_are_loaded_as_float32(tmp_path: Path) -> None:
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state().items()}
    save_file(halves, tmp_path / "test_resnet.safetensors")
    assert backbones(tmp_path).features([16]).net.conv1[0].weight.dtype == torch.float32


def test_exactly_what_the_file_lacks_is_reported_and_refused_before_the_tap_unless_allowed(tmp_path: Path) -> None:
    part = {key: value for key, value in state().items() if not key.startswith(("layer4.", "fc."))}
    save_file(part, tmp_path / "test_resnet_to_layer3.safetensors")
    source = backbones(tmp_path)
    source.features([16])
    unfilled = source.loaded["test_resnet"].unfilled
    assert unfilled
    assert all(name.startswith("layer4.") for name in unfilled)
    with pytest.raises(BackboneError, match=r"before the tap.*layer4"):
        source.features(["final"])
    backbones(tmp_path, allow_unfilled=True).features(["final"])


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    save_file(state("test_convnext"), tmp_path / "test_resnet.safetensors")
    with pytest.raises(BackboneError, match=r"test_resnet\.safetensors.*another network"):
        backbones(tmp_path).features([16])
    other = {key: torch.zeros(*value.shape, 2) for key, value in state().items()}
    save_file(other, tmp_path / "test_resnet.safetensors")
    with pytest.raises(BackboneError, match="another network"):
        backbones(tmp_path).features([16])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    for name in ("test_resnet.safetensors", "other.pth"):
        (tmp_path / name).write_bytes(b"<html>not found</html>")
        with pytest.raises(BackboneError, match=name):
            backbones(tmp_path, pretrained=name).features([16])


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code from the file ran",))


def test_a_pickle_that_would_run_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": _Evil()}, tmp_path / "test_resnet.pth")
    with pytest.raises(BackboneError, match=r"test_resnet\.pth"):
        backbones(tmp_path).features([16])
    assert "ran" not in capsys.readouterr().out


def test_the_file_must_be_named_where_several_fit(tmp_path: Path) -> None:
    folder = tmp_path
    save_file(state(), folder / "test_resnet.safetensors")
    assert find_weights("test_resnet", "none", folder) is None
    found = find_weights("test_resnet", "auto", folder)
    assert found == WeightFile.of(folder / "test_resnet.safetensors")
    save_file(state(), folder / "test_resnet_to_layer4.safetensors")
    with pytest.raises(BackboneError, match="several fit"):
        find_weights("test_resnet", "auto", folder)
    with pytest.raises(BackboneError, match="not there"):
        find_weights("test_resnet", "elsewhere.pth", folder)
    with pytest.raises(BackboneError, match="not there"):  # that a name begins alike is not enough
        find_weights("test_res", "auto", folder)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin", ".pth.tar", ".ckpt"])
def test_a_file_is_found_whatever_its_suffix(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"test_resnet{suffix}"
    torch.save(state(), file)
    for choice in ("auto", file.name, "test_resnet"):
        found = find_weights("test_resnet", choice, tmp_path)
        assert found is not None
        assert found.path == file


def test_a_file_named_with_timms_tag_is_found_unless_one_without_is_there(tmp_path: Path) -> None:
    tagged, plain = tmp_path / "resnet18.tv_in1k.pth", tmp_path / "resnet18.pth"
    tagged.touch()
    assert find_weights("resnet18", "auto", tmp_path) == WeightFile.of(tagged)
    assert find_weights("resnet18.tv_in1k", "auto", tmp_path) == WeightFile.of(tagged)
    plain.touch()
    assert find_weights("resnet18", "auto", tmp_path) == WeightFile.of(plain)


HALF, IMAGENET = ((0.5,) * 3, (0.5,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("file", "backbone", "expected"),
    [
        ("inception_v3.tf_in1k.pth", "inception_v3", HALF),
        ("inception_v3.gluon_in1k_to_mixed_7a.pth", "inception_v3", IMAGENET),
        ("any.pth", "inception_v3.gluon_in1k", IMAGENET),
        ("inception_v3.mine.pth", "inception_v3", HALF),  # no tag of timm's: its default one
        ("inception_v3.pth", "inception_v3", HALF),
        ("resnet50.pth", "resnet50", IMAGENET),
        ("inception_v3.tf_in1k.pth", "resnet50", IMAGENET),  # the name of another network says nothing
    ],
)
def test_input_scaling_is_that_of_timms_tag(file: str, backbone: str, expected: object, tmp_path: Path) -> None:
    (tmp_path / file).touch()
    assert WeightFile.of(tmp_path / file).scaling(backbone) == expected


def test_a_known_file_has_its_own_scaling(real_weights: Path) -> None:
    """The shipped ResNet was trained by this project, the Inception-v3 has its scaling folded into the first layer."""
    for backbone, choice in [("test_resnet", "test_resnet_birds"), ("inception_v3", "auto")]:
        found = find_weights(backbone, choice, real_weights)
        assert found is not None
        assert found.scaling(backbone) == IMAGENET


def test_a_second_network_that_wants_another_scaling_is_refused(tmp_path: Path) -> None:
    save_file(state(), tmp_path / "test_resnet.r160_in1k.safetensors")
    source = TimmBackbones("resnet18", 64, tmp_path / "other.pth", tmp_path, scaling=IMAGENET)
    with pytest.raises(BackboneError, match=r"test_resnet takes images of mean.*0\.5.*0\.485"):
        source.features([16], "test_resnet")


def test_partial_real_weights_serve_up_to_where_they_go(real_weights: Path) -> None:
    source = TimmBackbones("resnet18", 64, "auto", real_weights)
    assert source.features([16]).channels == (256,)
    with pytest.raises(BackboneError, match="layer4"):
        source.features([32])
