"""Pairwise Confusion against the formula, one pair after the other, and what the term does to predictions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import methods
from methods.backbones import TimmBackbones
from methods.interface import Sampling
from methods.pairwise_confusion.model import PairwiseConfusion

CLASSES = 5
VARIANTS = methods.variants("pairwise_confusion")


def make(**options: object) -> PairwiseConfusion:
    torch.manual_seed(0)
    return PairwiseConfusion(TimmBackbones("test_resnet", 64), CLASSES, **options).eval()


def draw(images: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(images, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow(logits: Tensor, labels: Tensor, *, squared: bool, different: bool, space: str) -> float:
    """One pair after the other, one class after the other."""
    half, total = len(labels) // 2, 0.0
    for i in range(half):
        if different and labels[i] == labels[i + half]:
            continue
        rows = [logits[k].tolist() for k in (i, i + half)]
        if space == "absolute":
            rows = [[abs(z) for z in row] for row in rows]
        if space != "logits":
            rows = [[math.exp(z) / sum(math.exp(other) for other in row) for z in row] for row in rows]
        square = sum((a - b) ** 2 for a, b in zip(*rows, strict=True))
        total += square if squared else math.sqrt(square)
    return total / len(labels)


@settings(max_examples=20, deadline=None)
@given(
    labels=st.lists(st.integers(0, 2), min_size=1, max_size=9),
    squared=st.booleans(),
    pairs=st.sampled_from(["different", "all"]),
    space=st.sampled_from(["probabilities", "absolute", "logits"]),
)
def test_the_term_is_the_sum_over_pairs_by_the_images_of_the_batch(labels, squared, pairs, space):
    logits, labels = draw(len(labels)), torch.tensor(labels)
    found = make(squared=squared, pairs=pairs, space=space).confusion(logits, labels)
    expected = slow(logits, labels, squared=squared, different=pairs == "different", space=space)
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("variant", "weight"), [("paper", 0.5), ("weight_0.2", 1.0), ("hawkeye", 0.1)])
def test_the_weight_is_in_units_of_the_number_of_classes_or_itself(variant, weight):
    method, labels = make(**VARIANTS[variant]), torch.tensor([0, 1, 2, 3])
    images = torch.randn(4, 3, 64, 64)
    losses = method.losses(images, labels)
    torch.testing.assert_close(losses["confusion"], weight * method.confusion(method(images), labels))
    smoothing = 0.1 if variant == "hawkeye" else 0.0
    torch.testing.assert_close(
        losses["cross_entropy"], F.cross_entropy(method(images), labels, label_smoothing=smoothing)
    )


def test_without_a_weight_it_is_cross_entropy_alone():
    assert set(make(confusion=0.0).losses(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))) == {"cross_entropy"}


@pytest.mark.parametrize("squared", [True, False])
def test_equal_predictions_cost_nothing_and_have_a_finite_gradient(squared):
    """As where a network starts with a classifier of zeros: a square root has an infinite slope at 0."""
    logits = torch.zeros(4, CLASSES, requires_grad=True)
    loss = make(squared=squared).confusion(logits, torch.arange(4))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("confusion", "flattest"), [(0.1, 0.16), (0.2, 0.11)])
def test_predictions_of_200_classes_stay_as_flat_as_the_readme_says(confusion, flattest):
    """The loss of two images of different classes, by the probability p of their class; the other classes are alike."""
    method = PairwiseConfusion(TimmBackbones("test_resnet", 64), 200, confusion=confusion)
    labels, found = torch.tensor([0, 1]), {}
    for p in torch.linspace(0.01, 0.99, 99, dtype=torch.float64).tolist():
        logits = torch.full((2, 200), (1 - p) / 199, dtype=torch.float64).log()
        logits[[0, 1], labels] = math.log(p)
        found[round(p, 2)] = F.cross_entropy(logits, labels) + method.weight * method.confusion(logits, labels)
    assert min(found, key=found.get) == flattest


def test_batches_are_even():
    assert make().sampling == Sampling(even=True)


@pytest.mark.parametrize(
    ("options", "message"), [({"pairs": "some"}, "different, all"), ({"space": "logit"}, "absolute")]
)
def test_an_option_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_attention_is_the_evidence_for_the_predicted_class():
    method, images = make(), torch.randn(3, 3, 64, 64)
    (maps,) = method.backbone(images)
    rows = method.head.weight[method(images).argmax(dim=1)]
    evidence = torch.stack([(row[:, None, None] * one).sum(dim=0) for row, one in zip(rows, maps, strict=True)])
    torch.testing.assert_close(method.attention(images)[:, 0], evidence.clamp_min(0), rtol=1e-4, atol=1e-5)
