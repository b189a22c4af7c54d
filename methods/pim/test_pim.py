"""PIM on any network: which tokens it combines, what its losses are, and what it reports."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.pim.model import PIM
from tests.helpers.token_methods import NETWORKS, batch, small

make = partial(small, PIM)


def tokens_and_logits(method: PIM, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    tokens = method.pyramid(method.levels(images))
    return [(one, classify(one)) for one, classify in zip(tokens, method.classifiers, strict=True)]


def by_confidence(logits: Tensor) -> list[int]:
    """Tokens of one image, `(N, K)`, the most confident first."""
    surest = [max(one) for one in logits.softmax(dim=1).tolist()]
    return sorted(range(len(surest)), key=lambda n: -surest[n])


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_the_combiner_sees_each_level_s_most_confident_tokens_the_finest_level_first(network: str) -> None:
    # In float64: of two nearly equal scores, float32 swaps some.
    method, images = make(network).double().eval(), batch(2)[0].double()
    chosen = []
    for image in range(2):
        own = []
        for (tokens, logits), count in zip(tokens_and_logits(method, images), method.counts, strict=True):
            own += [tokens[image, n] for n in by_confidence(logits[image])[:count]]
        chosen.append(torch.stack(own))
    torch.testing.assert_close(method(images), method.combiner(torch.stack(chosen)), rtol=1e-4, atol=1e-5)


def test_losses_are_weighted_as_in_the_authors_configuration() -> None:
    method, (images, labels) = make(kept_weight=0.25).eval(), batch()
    found = method.losses(images, labels)
    expected = {"levels": 0.0, "dropped": 0.0, "kept": 0.0, "combiner": F.cross_entropy(method(images), labels).item()}
    for (_, logits), count in zip(tokens_and_logits(method, images), method.counts, strict=True):
        expected["levels"] += 0.5 * F.cross_entropy(logits.mean(dim=1), labels).item()
        order = [by_confidence(one) for one in logits]
        kept = torch.stack([one[ranks[:count]] for one, ranks in zip(logits, order, strict=True)])
        dropped = torch.stack([one[ranks[count:]] for one, ranks in zip(logits, order, strict=True)])
        expected["dropped"] += 5 * F.mse_loss(dropped.tanh(), -torch.ones_like(dropped)).item()
        expected["kept"] += 0.25 * F.cross_entropy(kept.mT, labels[:, None].expand(-1, count)).item()
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-4)
    assert set(make().losses(images, labels)) == {"levels", "dropped", "combiner"}


@torch.no_grad()
def test_the_average_is_of_all_levels_and_the_combiner_and_each_level_is_a_branch() -> None:
    method, (images, _) = make().eval(), batch()
    each = [*method.branches(images).values(), method(images)]
    assert len(each) == 5
    mean = torch.stack([logits.softmax(dim=1) for logits in each]).mean(dim=0)
    torch.testing.assert_close(method.readouts(images)["average"].softmax(dim=1), mean)


@torch.no_grad()
def test_maps_are_confidences_and_as_many_places_stay_bright_as_a_level_keeps() -> None:
    method, (images, _) = make().eval(), batch(2)
    (_, logits), *_ = tokens_and_logits(method, images)
    torch.testing.assert_close(method.attention(images)[:, 0].flatten(1), logits.softmax(dim=2).amax(dim=2))
    shown = method.explain(images)
    for number, (grid, count) in enumerate(zip(method.grids, method.counts, strict=True), 1):
        same = (shown[f"kept by level {number}"] == images).all(dim=1)
        assert same.float().mean().item() == pytest.approx(count / grid.tokens)


def test_a_network_that_has_tokens_of_equal_number_adds_them_as_they_are() -> None:
    assert all(up.mix is None for up in make("vit_tiny_patch16_224").pyramid.up)
    assert [up.mix is None for up in make().pyramid.up] == [False, False, True]
    assert all(up.mix is None for up in make("test_resnet").pyramid.up)


def test_learns_its_batch() -> None:
    method, (images, labels) = make().train(), batch()
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        losses = method.losses(images, labels)
        sum(losses.values()).backward()
        optimizer.step()
    assert losses["combiner"].item() < 1
    assert losses["dropped"].item() < 10  # 22 at first
