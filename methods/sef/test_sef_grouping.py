"""SEF's grouping loss against slow, obvious formulas, and against what the authors' code computes."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.interface import BackboneError
from methods.sef import losses

group_lists = st.lists(st.integers(1, 5), min_size=1, max_size=5)
seeds = st.integers(0, 2**31)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def groups_of(sizes: list[int]) -> list[range]:
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    return [range(start, end) for start, end in pairwise(ends)]


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt())


def slow_means(image: Tensor, sizes: list[int], power: int) -> Tensor:
    """Mean over i in group m and j in group n of d_ij to a power: `(C, h, w)` -> `(G, G)`, one number at a time."""
    groups = groups_of(sizes)
    means = torch.zeros(len(sizes), len(sizes), dtype=torch.float64)
    for m, first in enumerate(groups):
        for n, second in enumerate(groups):
            cosines = [cosine(image[i], image[j]) ** power for i in first for j in second]
            means[m, n] = sum(cosines) / len(cosines)
    return means


def as_released(features: Tensor, sizes: list[int]) -> Tensor:
    """The loss as the authors' code goes about it: all C x C cosines, squared; blocks cut out one after the other."""
    flat = features.flatten(2)
    unit = flat / (flat.norm(dim=2, keepdim=True) + torch.finfo(torch.float32).eps)
    squares = torch.bmm(unit, unit.transpose(1, 2)) ** 2
    within, between = torch.zeros(()), torch.zeros(())
    for group in groups_of(sizes):
        block = squares[:, group.start : group.stop]
        within = within + (1 - block[:, :, group.start : group.stop]).mean()
        if group.start:
            between = between + block[:, :, : group.start].mean()
    pairs = len(sizes) * (len(sizes) - 1) / 2
    return 0.5 * (within / len(sizes) + between / max(pairs, 1))


@settings(max_examples=25, deadline=None)
@given(sizes=group_lists, images=st.integers(1, 2), height=st.integers(1, 4), width=st.integers(1, 4), seed=seeds)
def test_both_exact_ways_to_the_squared_cosines(sizes, images, height, width, seed):
    features = draw(images, sum(sizes), height, width, seed=seed)
    x = losses.normalised_channels(features)
    slow = torch.stack([slow_means(image, sizes, power=2) for image in features])
    for way in (
        losses.squared_cosines_by_channels,
        losses.squared_cosines_by_positions,
        losses.mean_squared_cosines,
    ):
        torch.testing.assert_close(way(x, sizes), slow, rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(sizes=group_lists, seed=seeds)
def test_squared_mean_cosines(sizes, seed):
    features = draw(2, sum(sizes), 3, 2, seed=seed)
    slow = torch.stack([slow_means(image, sizes, power=1) ** 2 for image in features])
    fast = losses.squared_mean_cosines(losses.normalised_channels(features), sizes)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(sizes=group_lists, seed=seeds)
def test_pairs_counts_every_pair_of_groups_alike(sizes, seed):
    features = draw(2, sum(sizes), 3, 3, seed=seed)
    squares = sum(slow_means(image, sizes, power=2) for image in features) / 2
    within = [1 - squares[m, m] for m in range(len(sizes))]
    between = [squares[m, n] for n in range(len(sizes)) for m in range(n)]
    slow = 0.5 * (sum(within) / len(within) + sum(between) / max(1, len(between)))
    torch.testing.assert_close(losses.LocalMaxGlobalMin(sizes).double()(features), slow, rtol=1e-6, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(sizes=group_lists, seed=seeds)
def test_union_is_the_released_loss(sizes, seed):
    features = draw(2, sum(sizes), 3, 3, seed=seed)
    ours = losses.LocalMaxGlobalMin(sizes, "union").double()(features)
    torch.testing.assert_close(ours, as_released(features, sizes).double(), rtol=1e-6, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(sizes=group_lists, seed=seeds)
def test_frobenius_is_norm_of_d_less_twice_its_diagonal(sizes, seed):
    features = draw(2, sum(sizes), 3, 3, seed=seed)
    slow = 0.0
    for image in features:
        d = slow_means(image, sizes, power=1)
        slow += 0.5 * (d.square().sum() - 2 * d.diag().square().sum()) / 2
    torch.testing.assert_close(losses.LocalMaxGlobalMin(sizes, "frobenius").double()(features), slow)


@pytest.mark.parametrize(("groups", "share"), [(2, 1.0), (3, 2 / 3), (4, 1 / 2), (8, 1 / 4)])
def test_released_form_gives_pairs_of_groups_only_a_share_of_their_weight(groups, share):
    sizes = losses.group_sizes(32, groups)
    between = {form: losses.group_weights(sizes, form).triu(1).sum() for form in ("pairs", "union")}
    torch.testing.assert_close(between["union"], share * between["pairs"])


@pytest.mark.parametrize("form", ["pairs", "union", "frobenius"])
@pytest.mark.parametrize("shape", [(2, 7, 2, 2), (2, 4, 3, 2)], ids=["by_positions", "by_channels"])
def test_grouping_gradients(form, shape):
    loss = losses.LocalMaxGlobalMin(losses.group_sizes(shape[1], 3), form).double()
    assert torch.autograd.gradcheck(loss, draw(*shape).requires_grad_())


@pytest.mark.parametrize("positions", [1, 3])
def test_channel_that_is_zero_everywhere_correlates_with_nothing_and_gets_a_finite_gradient(positions):
    features = torch.rand(2, 6, positions, positions)
    features[:, 0] = 0
    features.requires_grad_()
    losses.LocalMaxGlobalMin([3, 3])(features).backward()
    assert torch.isfinite(features.grad).all()
    squares = losses.mean_squared_cosines(losses.normalised_channels(features.detach()), [1, 5])
    assert squares[:, 0].abs().max() == 0


def test_grouping_loss_is_between_its_ideal_and_its_worst():
    sizes = [2, 2]
    ideal = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).view(1, 4, 1, 2)
    assert losses.LocalMaxGlobalMin(sizes)(ideal).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.LocalMaxGlobalMin(sizes)(ideal[:, [0, 2, 1, 3]]).item() == pytest.approx(0.5, abs=1e-6)


def test_minimising_it_sorts_channels_into_groups():
    features = torch.rand(1, 12, 5, 5, generator=torch.Generator().manual_seed(3)).requires_grad_()
    loss = losses.LocalMaxGlobalMin([4, 4, 4])
    optimizer = torch.optim.Adam([features], lr=0.05)

    def squares() -> Tensor:
        return losses.mean_squared_cosines(losses.normalised_channels(features.detach()), loss.sizes)[0]

    before = squares()
    for _ in range(60):
        optimizer.zero_grad()
        loss(features).backward()
        optimizer.step()
    after, off = squares(), ~torch.eye(3, dtype=torch.bool)
    assert (after.diag() > before.diag()).all()
    assert after[off].mean() < before[off].mean() / 2


def test_grouping_loss_stays_in_float32_under_autocast():
    features = torch.rand(2, 16, 3, 3)
    loss = losses.LocalMaxGlobalMin(losses.group_sizes(16, 4))
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(features)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(features))


def test_sizes_of_groups():
    assert losses.group_sizes(2048, 3) == [682, 682, 684]
    assert losses.group_sizes(5, 5) == [1] * 5
    with pytest.raises(ValueError, match="at least one"):
        losses.group_sizes(8, 0)
    with pytest.raises(BackboneError, match="wider map"):
        losses.group_sizes(8, 9)
    with pytest.raises(ValueError, match="form is 'mean'; it must be one of pairs"):
        losses.LocalMaxGlobalMin([2, 2], "mean")
