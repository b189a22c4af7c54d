"""Backbone options of fgbench's own: pools that leave padding out of their mean, batch norms whose scale is fixed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.environment import Environment
from benchmarks.training.distributed import Processes
from datasets.loading.store import resized
from methods.backbones import Backbone, BackboneError, TimmBackbones
from methods.networks import create_network
from methods.weight_files import WeightFile

SIZE = 96
IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pooled(net: nn.Module, names: list[str], images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The input of each Inception block and what its pooled branch convolves."""
    seen: dict[str, Tensor] = {}
    for name in names:
        block = net.get_submodule(name)
        block.register_forward_pre_hook(lambda _, inputs, key=name: seen.update({key: inputs[0]}))
        block.branch_pool.conv.register_forward_pre_hook(  # type: ignore[union-attr]
            lambda _, inputs, key=f"{name} pooled": seen.update({key: inputs[0]})
        )
    net.eval()(images)
    for name in names:
        yield seen[name], seen[f"{name} pooled"]


def mean_of_neighbours(maps: Tensor) -> Tensor:
    """Mean over each cell and those of its eight neighbours that exist, one after the other."""
    means = torch.zeros_like(maps)
    height, width = maps.shape[2:]
    for row in range(height):
        for column in range(width):
            window = maps[:, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            means[:, :, row, column] = window.mean(dim=(2, 3))
    return means


def test_inceptions_pools_leave_padding_out_of_their_mean() -> None:
    net = create_network("inception_v3", SIZE, {"count_include_pad": False}).double()
    blocks = ["Mixed_5b", "Mixed_5d", "Mixed_6b", "Mixed_6e", "Mixed_7b", "Mixed_7c"]
    for before, after in pooled(net, blocks, torch.randn(1, 3, SIZE, SIZE, dtype=torch.float64)):
        torch.testing.assert_close(after, mean_of_neighbours(before))


@pytest.mark.parametrize("options", [{}, {"count_include_pad": True}])
def test_timms_inception_counts_padding_unless_told_otherwise(options: dict[str, Any]) -> None:
    net = create_network("inception_v3", SIZE, options)
    for before, after in pooled(net, ["Mixed_6e"], torch.randn(1, 3, SIZE, SIZE)):
        assert torch.equal(after, F.avg_pool2d(before, 3, 1, 1))


def test_the_factor_for_padding_is_exact_in_half_precision() -> None:
    net = create_network("inception_v3", SIZE, {"count_include_pad": False})
    branch = net.Mixed_6e.branch_pool
    seen: list[Tensor] = []
    branch.conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    maps = torch.ones(1, 768, 4, 5, dtype=torch.bfloat16)
    branch.bfloat16()(F.avg_pool2d(maps, 3, 1, 1, divisor_override=8))  # 8: sums that bfloat16 has exactly
    assert seen[0].dtype == torch.bfloat16
    assert torch.equal(seen[0], torch.full_like(maps, 9 / 8))


@pytest.mark.parametrize("counted", [False, True])
def test_pools_that_are_modules_follow_the_option_too(counted: bool) -> None:
    net = create_network("res2net50_14w_8s", 64, {"count_include_pad": counted})
    pools = [one for one in net.modules() if isinstance(one, nn.AvgPool2d) and one.padding == 1]
    assert pools
    assert {one.count_include_pad for one in pools} == {counted}


@pytest.mark.parametrize("taps", [[16], [16, "Mixed_7a.branch3x3_1"]])
def test_every_way_to_cut_a_network_keeps_the_option(taps: list[int | str]) -> None:
    """The second is cut with torch.fx, which copies the graph of the network."""
    images = torch.randn(1, 3, SIZE, SIZE)
    maps = {}
    for counted in (False, True):
        torch.manual_seed(0)
        backbone = TimmBackbones("inception_v3", SIZE, options={"count_include_pad": counted}).features(taps)
        maps[counted] = backbone.eval()(images)[0]
    torch.manual_seed(0)
    whole = create_network("inception_v3", SIZE, {"count_include_pad": False}).eval()
    expected = whole.forward_intermediates(images, indices=[3], intermediates_only=True)[0]
    torch.testing.assert_close(maps[False], expected)
    assert not torch.allclose(maps[False], maps[True], rtol=0.01)


def trained(backbone: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The state after a step of SGD with weight decay."""
    optimizer = torch.optim.SGD(backbone.parameters(), 0.1, weight_decay=0.1)
    sum(one.square().sum() for one in backbone.train()(images)).backward()  # type: ignore[union-attr]
    optimizer.step()
    return backbone.state_dict()


def scales(backbone: nn.Module) -> list[str]:
    return [f"{name}.weight" for name, one in backbone.named_modules() if isinstance(one, nn.BatchNorm2d)]


def test_a_scale_that_is_not_trained_stays_as_the_file_has_it_and_the_shift_is_trained(tmp_path: Path) -> None:
    state = create_network("test_resnet", 64, {}).state_dict()
    weights = {name: torch.rand(one.shape) + 0.5 for name, one in state.items() if one.is_floating_point()}
    file = tmp_path / "test_resnet.pth"
    torch.save(weights, file)
    backbone = TimmBackbones("test_resnet", 64, file, options={"norm_scale": False}).features(["final"])
    assert isinstance(backbone, Backbone)
    names = scales(backbone.net)
    assert names
    after = trained(backbone, torch.randn(2, 3, 64, 64))
    for name in names:
        shift = f"{name.removesuffix('weight')}bias"
        assert torch.equal(after[f"net.{name}"], weights[name])
        assert not torch.equal(after[f"net.{shift}"], weights[shift])


def test_without_a_file_the_fixed_scale_is_one() -> None:
    backbone: Any = TimmBackbones("inception_v3", SIZE, options={"norm_scale": False}).features([16])
    assert not {name for name, _ in backbone.net.named_parameters()} & set(scales(backbone.net))
    assert all(torch.equal(one, torch.ones_like(one)) for one in map(backbone.net.get_buffer, scales(backbone.net)))


def test_a_fixed_scale_changes_no_feature() -> None:
    images, maps = torch.randn(2, 3, SIZE, SIZE), []
    for fixed in (False, True):
        torch.manual_seed(0)
        backbone: Any = TimmBackbones("inception_v3", SIZE, options={"norm_scale": not fixed}).features([16])
        maps.append(backbone(images)[0])
    assert torch.equal(*maps)


def test_synchronised_norms_keep_their_fixed_scales() -> None:
    net = create_network("test_resnet", 64, {"norm_scale": False})
    before = {name: net.get_buffer(name) for name in scales(net)}
    Processes(torch.device("cuda"), world=2).synchronise_norms(net)
    assert any(isinstance(one, nn.SyncBatchNorm) for one in net.modules())
    assert all(torch.equal(net.get_buffer(name), scale) for name, scale in before.items())


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("inception_v3", {"count_include_pad": "no"}, "count_include_pad of inception_v3 is 'no'; it must be true or"),
        ("test_resnet", {"norm_scale": 0}, "norm_scale of test_resnet is 0; it must be true or false"),
        ("test_resnet", {"count_include_pad": False}, "test_resnet has no average pool that pads; leave "),
        ("test_vit", {"norm_scale": False}, "test_vit has no batch norm with a scale; leave "),
        ("test_vit", {"norm_scale": True}, "test_vit has no batch norm with a scale; leave "),
        ("inception_v3", {"count_include_pads": False}, "no option 'count_include_pads'; nearest: count_include_pad"),
    ],
)
def test_an_option_that_can_not_be_followed_is_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        create_network(name, 96, options)


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("inception_v3.tf_in1k.safetensors", {"count_include_pad": False}),
        ("inception_v3.tf_adv_in1k_to_Mixed_7a.pth", {"count_include_pad": False}),
        ("inception_v3.tv_in1k.safetensors", {}),
        ("inception_v3.safetensors", {}),
    ],
)
def test_weights_from_tensorflow_are_known_by_their_tag(file: str, options: dict[str, Any], tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / file)
    assert WeightFile.of(tmp_path / file).network_options == options


def test_without_padding_features_of_tensorflows_weights_vary_as_in_their_training(
    real_weights: Path, real_data: Path
) -> None:
    """The variance of what goes into the norms after the pools, over the one that the file has, should be 1."""
    opened = Environment(real_data).open("cub100", {})
    photos = [resized(opened.image(row), 299, "squash", "photo") for row in range(0, len(opened), 400)]
    mean, std = (one[:, None, None] for one in IMAGENET)
    images = (torch.stack(photos) / 255 - mean) / std
    left_out = _variances(TimmBackbones("inception_v3", 299, "auto", real_weights), images)
    counted = _variances(TimmBackbones("inception_v3", 299, "auto", real_weights, {"count_include_pad": True}), images)
    assert ((left_out - 1).abs() < 0.1).all()
    assert (counted < left_out - 0.1).all()


def _variances(source: TimmBackbones, images: Tensor) -> Tensor:
    """Median over the channels of three blocks of the variance before the norm over the norm's own."""
    found: list[Tensor] = []

    def keep(norm: Any, inputs: tuple[Tensor]) -> None:
        found.append(inputs[0].var(dim=(0, 2, 3)) / norm.running_var)

    backbone: Any = source.features([16])
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d"):
        backbone.net.get_submodule(f"{name}.branch_pool.bn").register_forward_pre_hook(keep)
    with torch.no_grad():
        backbone.eval()(images)
    return torch.stack(found).median(dim=1).values


def test_a_stored_runs_options_are_all_that_its_network_has(real_weights: Path) -> None:
    """What became known of a file later must not change a Run that was recorded before."""
    torch.manual_seed(0)
    images = torch.randn(1, 3, SIZE, SIZE)
    maps = [
        TimmBackbones("inception_v3", SIZE, "auto", real_weights, options).features([16]).eval()(images)[0]
        for options in ({}, {"count_include_pad": True}, None)
    ]
    assert torch.equal(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[2], rtol=0.01)


def test_a_last_stage_that_does_not_shrink_is_the_same_stage_with_strides_of_1() -> None:
    plain, kept = (create_network("resnet26", SIZE, options) for options in ({}, {"shrink_last": False}))
    kept.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, SIZE, SIZE)
    block = plain.layer4[0]
    block.conv2.stride = block.downsample[0].stride = (1, 1)
    torch.testing.assert_close(kept.eval().forward_features(images), plain.eval().forward_features(images))
    (finest,) = Backbone(kept, [16], SIZE, False)(images)
    assert finest.shape == (1, 2048, SIZE // 16, SIZE // 16)


@pytest.mark.parametrize("name", ["vgg16", "resnet26d", "mobilenetv2_100"])
def test_a_last_stage_that_is_no_resnets_is_refused(name: str) -> None:
    with pytest.raises(BackboneError, match="does not halve its map by convolutions alone"):
        create_network(name, SIZE, {"shrink_last": False})
