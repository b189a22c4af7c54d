"""Hierarchical Bilinear Pooling against slow, obvious formulas, and what the paper promises of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from methods.backbones import TimmBackbones
from methods.hbp.model import HierarchicalBilinearPooling
from methods.hbp.pooling import PortProjection, Projection, cross_layer_pool, on_one_grid

PAIRS = ((0, 1), (0, 2), (1, 2))


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tiny(name: str = "test_resnet", **options: Any) -> HierarchicalBilinearPooling:
    torch.manual_seed(0)
    return HierarchicalBilinearPooling(TimmBackbones(name, 64), 3, dimension=10, **options)


def three(kind: type[nn.Module]) -> nn.ModuleList:
    torch.manual_seed(0)
    projections = nn.ModuleList(kind(5, 7) for _ in range(3)).double()
    for one in projections:
        if isinstance(one, Projection):
            nn.init.normal_(one.bias)
    return projections


@pytest.mark.parametrize("positions", [3, 12])  # fewer than channels, and more: both forms of the sums
def test_pooling_is_the_sum_of_the_positions_products(positions: int):
    layers, projections = [maps(2, 5, positions, seed=seed) for seed in range(3)], three(Projection)
    found = cross_layer_pool(layers, list(projections), PAIRS)
    for sums, (i, j) in zip(found, PAIRS, strict=True):
        slow = torch.zeros(2, 7).double()
        for image in range(2):
            for at in range(positions):
                left, right = (
                    projections[one].weight @ layers[one][image, :, at] + projections[one].bias for one in (i, j)
                )
                slow[image] += left * right
        torch.testing.assert_close(sums, slow)


def test_the_ports_projections_are_pooled_position_by_position_too():
    layers, projections = [maps(2, 5, 12, seed=seed) for seed in range(3)], three(PortProjection).eval()
    with torch.no_grad():
        found = cross_layer_pool(layers, list(projections), PAIRS)
        for sums, (i, j) in zip(found, PAIRS, strict=True):
            left, right = (
                F.relu(
                    torch.einsum("dc,bcn->bdn", projections[one][0].weight[:, :, 0], layers[one]) / (1 + 1e-5) ** 0.5
                )
                for one in (i, j)
            )
            torch.testing.assert_close(sums, (left * right).sum(2))


def test_both_forms_have_the_same_gradients():
    projections, gradients = three(Projection), []
    layers = [maps(2, 5, 12, seed=seed).requires_grad_() for seed in range(3)]
    direct = [((projections[i](layers[i])) * projections[j](layers[j])).sum(2) for i, j in PAIRS]
    for sums in (cross_layer_pool(layers, list(projections), PAIRS), direct):
        loss = torch.cat(sums, dim=1).mul(torch.linspace(-1, 1, 21).double()).sum()
        gradients.append(torch.autograd.grad(loss, [*layers, *projections.parameters()]))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("large", "small"), [((8, 8), (4, 4)), ((7, 10), (3, 4)), ((5, 5), (5, 2))])
def test_larger_maps_are_averaged_as_adaptive_pooling_does(large: tuple[int, int], small: tuple[int, int]):
    first, second = maps(2, 3, *large), maps(2, 4, *small)
    shrunk, kept = on_one_grid([first, second])
    assert kept is second
    torch.testing.assert_close(shrunk, F.adaptive_avg_pool2d(first, small))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_under_autocast_larger_maps_are_averaged_in_float32_and_rounded_once(dtype: torch.dtype):
    first, second = maps(2, 3, 7, 10).to(dtype), maps(2, 4, 3, 4).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shrunk, _ = on_one_grid([first, second])
    assert torch.equal(shrunk, on_one_grid([first.float(), second.float()])[0].to(dtype))


def test_maps_of_one_size_are_left_as_they_are():
    given = [maps(1, 2, 3, 3, seed=seed) for seed in range(2)]
    assert all(found is one for found, one in zip(on_one_grid(given), given, strict=True))


@torch.no_grad()
def test_each_pairs_vector_is_rooted_and_has_length_one():
    method, images = tiny().eval(), torch.randn(2, 3, 64, 64)
    z = method.descriptor(images).view(2, 3, 10)
    torch.testing.assert_close(z.norm(dim=2), torch.ones(2, 3))
    layers = [one.flatten(2) for one in on_one_grid(method.backbone(images))]
    for place, (i, j) in enumerate(PAIRS):
        x = (method.projections[i](layers[i]) * method.projections[j](layers[j])).sum(2)
        torch.testing.assert_close(z[:, place], F.normalize(x.sign() * x.abs().sqrt()), rtol=1e-3, atol=1e-4)


def test_vgg16_pools_the_three_layers_of_its_last_stage():
    method = HierarchicalBilinearPooling(TimmBackbones("vgg16", 64), 3, dimension=4)
    maps = method.backbone(torch.randn(1, 3, 64, 64))
    assert [tuple(one.shape) for one in maps] == [(1, 512, 4, 4)] * 3
    assert all((one >= 0).all() for one in maps)  # after the rectifier
    net = dict(method.backbone.net.named_modules())
    assert {name for name in net if name.startswith("features.2")} >= {"features.24", "features.26", "features.28"}


def test_a_layer_paired_with_itself_has_two_projections_and_unused_layers_none():
    own = tiny(pairs=[[2, 2]])
    assert len(own.projections) == 2
    assert own.projections[0] is not own.projections[1]
    assert len(own.backbone.channels) == 1
    assert len(tiny(pairs=[[0, 2], [1, 2]]).projections) == 3
    assert own.classifier.in_features == 10


def test_three_modules_of_one_stage_keep_their_grid():
    method = tiny("resnet26", taps=["layer3.0", "layer3.1"], pairs=[[0, 1]])
    assert {one.shape[2:] for one in method.backbone(torch.randn(1, 3, 64, 64))} == {(4, 4)}


def test_the_port_has_one_projection_for_layers_of_as_many_channels():
    method = tiny("resnet26", taps=["layer2.1", "layer3.0", "layer3.1"], port=True).eval()
    assert [one[0].in_channels for one in method.projections] == [512, 1024]
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        layers = [one.flatten(2) for one in on_one_grid(method.backbone(images))]
        maps_of = [method.projections[own](one) for own, one in zip((0, 1, 1), layers, strict=True)]
        expected = [F.normalize((maps_of[i] * maps_of[j]).sum(2).sqrt()) for i, j in PAIRS]
        torch.testing.assert_close(method.descriptor(images), torch.cat(expected, dim=1), rtol=1e-3, atol=1e-4)


def test_weights_of_a_projection_that_layers_share_are_stored_once_and_loaded_again(tmp_path: Path):
    options: dict[str, Any] = {"taps": ["layer3.0", "layer3.1"], "pairs": [[0, 1]], "port": True}
    method, images = tiny("resnet26", **options), torch.randn(2, 3, 64, 64)
    save_file(method.state_dict(), tmp_path / "weights")
    torch.manual_seed(1)
    other = HierarchicalBilinearPooling(TimmBackbones("resnet26", 64), 3, dimension=10, **options)
    other.load_state_dict(load_file(tmp_path / "weights"))
    assert torch.equal(other.eval()(images), method.eval()(images))


@pytest.mark.parametrize("pairs", [[], [[0, 3]], [[0]], [[0, 1, 2]]])
def test_pairs_that_there_are_not_are_refused(pairs: list[list[int]]):
    with pytest.raises(ValueError, match="each must be two of 0 to 2, the places in taps"):
        tiny(pairs=pairs)
