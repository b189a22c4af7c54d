"""timm's networks: an option never loads a file, and no pixel is ignored without a word."""

from __future__ import annotations

import pickle
from contextlib import nullcontext
from pathlib import Path

import pytest
import timm
import torch

from methods.backbones import BackboneError, TimmBackbones
from methods.networks import check_size, create_network

TINY_SWIN = {"embed_dim": 16, "depths": (1, 1, 2, 2), "num_heads": (1, 2, 2, 4), "window_size": 3}


@pytest.mark.parametrize(
    "option",
    [
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "pretrained_strict",
        "pretrained_filter_fn",
        "cache_dir",
        "features_only",
        "model_cfg",
        "num_classes",
        "in_chans",
    ],
)
@pytest.mark.parametrize("name", ["test_resnet", "swin_tiny_patch4_window7_224", "vgg11"])
def test_what_timm_does_with_weights_is_no_option(name: str, option: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps(_Touch(tmp_path / "opened")))
    with pytest.raises(BackboneError, match=f"has no option '{option}'; nearest"):
        TimmBackbones(name, 64, options={option: str(file)}).features(["final"])
    assert not (tmp_path / "opened").exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_what_shapes_the_network_is_an_option() -> None:
    net = create_network("mobilenetv2_100", 64, {"pad_type": "same", "drop_path_rate": 0.1})
    assert type(net.conv_stem).__name__ == "Conv2dSame"
    assert create_network("test_resnet", 64, {"output_stride": 16}).feature_info[-1]["reduction"] == 16


@pytest.mark.parametrize("rate", [5, -0.1, "0.1", True, None])
@pytest.mark.parametrize("option", ["drop_rate", "drop_path_rate"])
def test_a_rate_of_dropping_is_a_share(option: str, rate: object) -> None:
    with pytest.raises(BackboneError, match=f"{option} of test_vit is {rate!r}; it must be a number from 0 to 1"):
        create_network("test_vit", 160, {option: rate})
    assert create_network("test_vit", 160, {option: 1})


@pytest.mark.parametrize(
    ("name", "options", "size", "refused"),
    [
        ("vit_tiny_patch16_224", {"depth": 1}, 100, True),
        ("vit_tiny_patch16_224", {"depth": 1}, 96, False),
        ("test_vit", {"dynamic_img_pad": True}, 100, False),
        ("swin_tiny_patch4_window7_224", TINY_SWIN, 98, True),
        ("swin_tiny_patch4_window7_224", TINY_SWIN, 100, False),
        ("test_convnext", {}, 98, True),
        ("test_convnext", {}, 100, False),
        ("test_resnet", {}, 97, False),
        ("mobilenetv2_100", {}, 97, False),
        ("edgenext_xx_small", {}, 98, True),
    ],
)
def test_a_size_is_refused_exactly_if_the_last_row_and_column_would_have_no_effect(
    name: str, options: dict[str, object], size: int, refused: bool
) -> None:
    net = create_network(name, size, options).eval()
    image = torch.randn(1, 3, size, size, requires_grad=True)
    features = net.forward_features(image)
    (features * torch.randn_like(features)).sum().backward()
    assert image.grad is not None
    ignored = not image.grad[..., -1, :].any() and not image.grad[..., -1].any()
    assert refused == ignored
    for check in (
        lambda: check_size(name, size, options),
        lambda: TimmBackbones(name, size, options=options).features(["final"]),
    ):
        with pytest.raises(BackboneError, match="would ignore the last") if refused else nullcontext():
            check()


def test_the_nearest_sizes_are_named() -> None:
    with pytest.raises(BackboneError, match=r"last 4 rows and columns of 100 px; set image_size to 96 or 112"):
        check_size("test_vit", 100, {})
    with pytest.raises(BackboneError, match=r"set image_size to 16$"):
        check_size("test_vit", 10, {})


def test_a_size_is_checked_without_memory_for_the_weights() -> None:
    check_size("vit_giant_patch14_224", 224, {})  # a billion parameters


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "inception_v3", "beit_base_patch16_224", "tiny_vit_5m_224"])
def test_a_network_takes_the_size_that_it_was_trained_with(name: str) -> None:
    check_size(name, timm.get_pretrained_cfg(name).input_size[-1], {})


@pytest.mark.parametrize("options", [{"block": "os.system"}, {"stem_width": -1}])
def test_options_from_which_no_network_can_be_built_are_refused_in_a_line(options: dict[str, object]) -> None:
    with pytest.raises(BackboneError, match="timm can't build test_resnet for 32 px with"):
        create_network("test_resnet", 32, options)
