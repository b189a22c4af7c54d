"""Patches that overlap: which pixels each sees, how the table of positions follows, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from methods.backbones import BackboneError, TimmBackbones
from methods.networks import check_size, create_network

STRIDE = {"patch_stride": 12}


def test_every_patch_is_the_product_of_its_pixels_and_the_weights() -> None:
    torch.manual_seed(0)
    net = create_network("test_vit", 64, STRIDE)
    images = torch.randn(2, 3, 64, 64)
    found = net.patch_embed(images).flatten(1, -2)
    convolution = net.patch_embed.proj
    assert net.patch_embed.grid_size == (5, 5)
    for row in range(5):
        for column in range(5):
            pixels = images[:, :, row * 12 : row * 12 + 16, column * 12 : column * 12 + 16]
            expected = torch.einsum("bcij,ocij->bo", pixels, convolution.weight) + convolution.bias
            torch.testing.assert_close(found[:, row * 5 + column], expected, rtol=1e-4, atol=1e-5)


def test_transfg_s_grid_has_37_rows() -> None:
    with torch.device("meta"):
        net = create_network("vit_base_patch16_224", 448, {**STRIDE, "depth": 1})
    assert net.patch_embed.grid_size == (37, 37)
    assert net.pos_embed.shape == (1, 1 + 37 * 37, 768)


def test_its_tokens_and_maps_have_the_finer_grid() -> None:
    source = TimmBackbones("test_vit", 64, options=STRIDE)
    tokens, images = source.tokens(after=[-1]), torch.randn(2, 3, 64, 64)
    assert tokens.grid == (5, 5)
    assert tokens(images).after[0].shape == (2, 26, 64)
    by_stride, final = source.features([12, "final"])(images)
    assert by_stride.shape == final.shape == (2, 64, 5, 5)


def test_weights_of_the_plain_network_fill_it_with_positions_resized(tmp_path: Path) -> None:
    whole = timm.create_model("test_vit", num_classes=7).state_dict()
    save_file(whole, tmp_path / "test_vit.safetensors")
    net = TimmBackbones("test_vit", 64, "auto", tmp_path, options=STRIDE).tokens(after=[-1]).net
    assert torch.equal(net.patch_embed.proj.weight, whole["patch_embed.proj.weight"])
    patches = whole["pos_embed"][:, 1:].unflatten(1, (10, 10)).permute(0, 3, 1, 2)
    table = nn.functional.interpolate(patches, (5, 5), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    torch.testing.assert_close(net.pos_embed[:, 1:], table)


def test_a_stride_of_a_whole_patch_is_timms_own_network() -> None:
    torch.manual_seed(0)
    ours = create_network("test_vit", 64, {"patch_stride": 16}).eval()
    timms = create_network("test_vit", 64, {}).eval()
    timms.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(ours(images), timms(images))


@pytest.mark.parametrize(
    ("name", "size", "stride", "message"),
    [
        ("test_resnet", 64, 12, "no plain vision transformer"),
        ("beit_base_patch16_224", 64, 12, "no plain vision transformer"),
        ("test_vit", 64, 0, "patch_stride of test_vit is 0; it must be a number of pixels"),
        ("test_vit", 64, True, "patch_stride of test_vit is True"),
        ("test_vit", 64, 20, "patch_stride is 20; patches of 16 px overlap up to that stride"),
        ("test_vit", 70, 12, "16 px every 12 px: it would ignore the last 6 rows.*set image_size to 64 or 76"),
        ("test_vit", 70, 16, "patches of 16 px: it would ignore the last 6 rows.*set image_size to 64 or 80"),
        ("test_vit", 10, 16, "set image_size to 16"),
    ],
)
def test_what_can_not_be_cut_so_is_refused(name: str, size: int, stride: int, message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        check_size(name, size, {"patch_stride": stride})
