"""HERBS: the tokens it keeps, the refinement and its temperature, and what each loss teaches."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.herbs.model import HERBS
from tests.helpers.token_methods import CLASSES, NETWORKS, batch, small

make = partial(small, HERBS)


def both_paths(method: HERBS, images: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Logits after the first path, tokens after the second, and their logits."""
    fused = method.top_down(method.levels(images))
    tokens = method.bottom_up(fused)
    first = [classify(one) for classify, one in zip(method.first_classifiers, fused, strict=True)]
    return first, tokens, [classify(one) for classify, one in zip(method.second_classifiers, tokens, strict=True)]


def ranks(logits: Tensor) -> list[int]:
    """Tokens of one image, `(N, K)`, by their probability of the class that their mean predicts, the highest first."""
    predicted = logits.mean(dim=0).argmax().item()
    scores = [one[predicted] for one in logits.softmax(dim=1).tolist()]
    return sorted(range(len(scores)), key=lambda n: -scores[n])


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_the_combiner_sees_the_tokens_that_agree_with_their_level_s_prediction(network: str) -> None:
    # In float64: of two nearly equal scores, float32 swaps some.
    method, images = make(network).double().eval(), batch(2)[0].double()
    _, tokens, logits = both_paths(method, images)
    chosen = [
        torch.cat([one[i, ranks(own[i])[:n]] for one, own, n in zip(tokens, logits, method.counts, strict=True)])
        for i in range(2)
    ]
    torch.testing.assert_close(method(images), method.combiner(torch.stack(chosen)), rtol=1e-4, atol=1e-5)


def slow_divergence(first: Tensor, second: Tensor, temperature: float) -> float:
    """Mean over tokens and classes of p2 log(p2 / p1)."""
    p1, p2 = ((logits.double() / temperature).softmax(dim=2).flatten().tolist() for logits in (first, second))
    return sum(b * math.log(b / a) for a, b in zip(p1, p2, strict=True)) / len(p1)


def test_losses_are_weighted_as_in_the_authors_configuration() -> None:
    method, (images, labels) = make(temperature=2.0).double().eval(), batch()
    images = images.double()
    first, _, second = both_paths(method, images)
    expected = {
        "refinement": 1.375 * sum(slow_divergence(a, b, 2.0) for a, b in zip(first, second, strict=True)),
        "levels": 0.3 * sum(F.cross_entropy(one.mean(dim=1), labels).item() for one in second),
        "dropped": 0.0,
        "combiner": F.cross_entropy(method(images), labels).item(),
    }
    for logits, count in zip(second, method.counts, strict=True):
        dropped = torch.stack([one[ranks(one)[count:]] for one in logits])
        expected["dropped"] += 5 * F.mse_loss(dropped.tanh(), -torch.ones_like(dropped)).item()
    found = method.losses(images, labels)
    assert {name: loss.item() for name, loss in found.items()} == pytest.approx(expected, rel=1e-6)


def test_by_tokens_the_divergence_is_as_many_times_as_large_as_there_are_classes() -> None:
    images, labels = batch()
    elements, tokens = (
        make(reduction=one).eval().losses(images, labels)["refinement"] for one in ("elements", "tokens")
    )
    torch.testing.assert_close(tokens, CLASSES * elements)


def test_refinement_teaches_the_first_path_and_no_other_classifier_teaches_its_classifiers() -> None:
    method, (images, labels) = make().eval(), batch()
    losses = method.losses(images, labels)
    modules = {"first": method.first_classifiers, "second": method.second_classifiers, "up": method.bottom_up}

    def taught(loss: Tensor) -> set[str]:
        found = set()
        for name, module in modules.items():
            gradients = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
            found |= {name} if any(one is not None and one.abs().max() > 0 for one in gradients) else set()
        return found

    assert taught(losses["refinement"]) == {"first"}
    assert taught(losses["levels"] + losses["dropped"] + losses["combiner"]) == {"second", "up"}


def test_the_temperature_halves_every_ten_of_eighty_epochs() -> None:
    method = make()
    found = []
    for epoch in range(80):
        method.before_batch(epoch, epoch / 80)
        found.append(method.temperature.item())
    assert found == [64 * 0.5 ** (epoch // 10) for epoch in range(80)]
    still = make(falling=False, temperature=3.0)
    still.before_batch(79, 79 / 80)
    assert still.temperature.item() == 3


@torch.no_grad()
def test_the_average_is_of_the_second_path_and_the_combiner_and_each_level_is_a_branch() -> None:
    method, (images, _) = make().eval(), batch()
    branches = method.branches(images)
    assert list(branches) == [f"{path} {level}" for path in ("top-down", "bottom-up") for level in (1, 2, 3, 4)]
    each = [*list(branches.values())[4:], method(images)]
    mean = torch.stack([logits.softmax(dim=1) for logits in each]).mean(dim=0)
    torch.testing.assert_close(method.readouts(images)["average"].softmax(dim=1), mean)


@torch.no_grad()
def test_as_many_places_stay_bright_as_a_level_keeps() -> None:
    method, (images, _) = make().eval(), batch(2)
    shown = method.explain(images)
    for number, (grid, count) in enumerate(zip(method.grids, method.counts, strict=True), 1):
        same = (shown[f"foreground of level {number}"] == images).all(dim=1)
        assert same.float().mean().item() == pytest.approx(count / grid.tokens)


@pytest.mark.parametrize("option", [{"ranking": "mean"}, {"reduction": "batch"}, {"temperature": 0.0}])
def test_options_that_mean_nothing_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        make(**option)


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
