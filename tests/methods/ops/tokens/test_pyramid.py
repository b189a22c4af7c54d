"""A pyramid of tokens against a slow reading: which maps it takes, how levels meet, what a token is classified by."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from methods.backbones import BackboneError, TimmBackbones
from methods.ops.tokens.pyramid import BottomUp, Grid, Resized, TokenClassifier, TokenLevels, TopDown, as_maps
from tests.helpers.methods_under_test import TINY_SWIN, TINY_VIT

GRIDS = (Grid(8, 6), Grid(4, 3), Grid(2, 3), Grid(2, 3))
CHANNELS = (5, 7, 9, 9)


def tokens(grids: tuple[Grid, ...] = GRIDS, channels: tuple[int, ...] = CHANNELS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, grid.tokens, c, generator=generator) for grid, c in zip(grids, channels, strict=True)]


def projected(token: Tensor, layers: nn.Sequential) -> Tensor:
    first, _, last = layers
    return last.weight @ (first.weight @ token + first.bias).clamp_min(0) + last.bias


def mixed(level: Tensor, layer: nn.Linear) -> Tensor:
    """Token m of the new level is the sum over n of weight[m, n] times token n, plus bias[m]."""
    new = [sum(w * level[:, n] for n, w in enumerate(row)) + b for row, b in zip(layer.weight, layer.bias, strict=True)]
    return torch.stack(new, dim=1)


def slow_projection(level: Tensor, layers: nn.Sequential) -> Tensor:
    return torch.stack([torch.stack([projected(token, layers) for token in image]) for image in level])


@pytest.mark.parametrize("mix_equal", [False, True])
def test_the_top_down_path_adds_mixed_tokens_of_the_coarser_levels_the_coarsest_first(mix_equal: bool) -> None:
    path = TopDown(CHANNELS, GRIDS, 4, learned=True, mix_equal=mix_equal)
    expected = [slow_projection(one, layers) for one, layers in zip(tokens(), path.project, strict=True)]
    expected[2] = expected[2] + (mixed(expected[3], path.up[2].mix) if mix_equal else expected[3])
    for level in (1, 0):
        expected[level] = expected[level] + mixed(expected[level + 1], path.up[level].mix)
    for found, slow in zip(path(tokens()), expected, strict=True):
        torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-5)


def test_the_bottom_up_path_adds_mixed_tokens_of_the_finer_levels_the_finest_first() -> None:
    path, levels = BottomUp(GRIDS, 4, learned=True), tokens(channels=(4, 4, 4, 4))
    expected = [slow_projection(one, layers) for one, layers in zip(levels, path.project, strict=True)]
    for level, (before, _) in enumerate(pairwise(GRIDS)):
        assert path.down[level].mix.in_features == before.tokens
        expected[level + 1] = expected[level + 1] + mixed(expected[level], path.down[level].mix)
    for found, slow in zip(path(levels), expected, strict=True):
        torch.testing.assert_close(found, slow, rtol=1e-4, atol=1e-5)


def test_between_places_halving_is_the_mean_of_four_and_doubling_weighs_the_nearest_by_nine_sixteenths() -> None:
    fine, coarse = Grid(4, 4), Grid(2, 2)
    values = torch.arange(16.0).view(1, 16, 1)
    means = [values[0, [i, i + 1, i + 4, i + 5], 0].mean() for i in (0, 2, 8, 10)]
    assert Resized(fine, coarse, learned=False)(values).flatten().tolist() == means
    corner = torch.tensor([1.0, 0, 0, 0]).view(1, 4, 1)
    spread = Resized(coarse, fine, learned=False)(corner).view(4, 4)
    assert spread[0].tolist() == [1, 0.75, 0.25, 0]
    assert spread[1, 1] == 9 / 16
    assert Resized(fine, fine, learned=False)(values) is values


def test_a_token_is_classified_by_two_layers_with_the_batch_s_statistics_of_all_tokens_between() -> None:
    classifier, level = TokenClassifier(5, 3).train(), tokens()[0]
    hidden = (level @ classifier.hidden.weight.mT + classifier.hidden.bias).flatten(0, 1)
    hidden = (hidden - hidden.mean(dim=0)) / (hidden.var(dim=0, unbiased=False) + 1e-5).sqrt()
    expected = hidden.clamp_min(0) @ classifier.classify.weight.mT + classifier.classify.bias
    torch.testing.assert_close(classifier(level).flatten(0, 1), expected, rtol=1e-4, atol=1e-5)


def levels_of(network: str, options: dict[str, object], size: int = 96) -> TokenLevels:
    torch.manual_seed(0)
    return TokenLevels(TimmBackbones(network, size, options=options)).eval()


def test_a_swin_is_read_behind_each_merging_and_before_its_last_norm() -> None:
    levels = levels_of("swin_tiny_patch4_window7_224", TINY_SWIN)
    torch.manual_seed(0)
    net = TimmBackbones("swin_tiny_patch4_window7_224", 96, options=TINY_SWIN).features(["final"]).net.eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        found = levels(images)
        x, expected = net.layers[0].blocks(net.patch_embed(images)), []
        for stage in net.layers[1:]:
            merged = stage.downsample(x)
            expected.append(merged.flatten(1, 2))
            x = stage.blocks(merged)
        expected.append(x.flatten(1, 2))
    assert [grid.tokens for grid in levels.grids] == [144, 36, 9, 9]
    for got, slow in zip(found, expected, strict=True):
        torch.testing.assert_close(got, slow)


def test_a_vit_is_read_after_each_of_its_last_four_blocks_with_its_class_token() -> None:
    levels = levels_of("vit_tiny_patch16_224", TINY_VIT)
    torch.manual_seed(0)
    net = TimmBackbones("vit_tiny_patch16_224", 96, options=TINY_VIT).tokens(after=[0, 1, 2, 3]).eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        pairs = zip(levels(images), net(images).after, strict=True)
        assert all(torch.equal(got, expected) for got, expected in pairs)
    assert levels.grids == (Grid(6, 6, prefix=1),) * 4
    assert levels.is_transformer


def test_a_cnn_is_read_at_strides_4_to_32_row_by_row() -> None:
    levels = levels_of("test_resnet", {})
    torch.manual_seed(0)
    net = TimmBackbones("test_resnet", 96, options={}).features([4, 8, 16, 32]).eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        for got, one in zip(levels(images), net(images), strict=True):
            assert torch.equal(got[:, 1 * one.shape[3] + 2], one[:, :, 1, 2])
    assert [grid[:2] for grid in levels.grids] == [(24, 24), (12, 12), (6, 6), (3, 3)]


def test_a_network_without_such_maps_is_refused() -> None:
    with pytest.raises(BackboneError, match="no map of stride 4"):
        TokenLevels(TimmBackbones("mixer_s32_224", 224, options={}))


def test_scores_become_maps_of_the_finest_grid_without_the_class_token() -> None:
    fine = torch.arange(5.0).view(1, 5)
    maps = as_maps([fine, torch.tensor([[7.0]])], [Grid(2, 2, prefix=1), Grid(1, 1)])
    assert maps.tolist() == [[[[1, 2], [3, 4]], [[7, 7], [7, 7]]]]
