"""Which tokens are kept, the losses of those that are and aren't, and the graph convolution, by slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from methods.ops.tokens.combiner import (
    GraphCombiner,
    confidence,
    foreground,
    gathered,
    kept_counts,
    kept_loss,
    level_loss,
    log_mean_probability,
    split,
    suppression_loss,
)
from methods.ops.tokens.pyramid import Grid
from methods.ops.tokens.selection import FADED

LOGITS = 2 * torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 3, 1])


def probabilities(logits: Tensor) -> list[float]:
    whole = sum(math.exp(x) for x in logits.tolist())
    return [math.exp(x) / whole for x in logits.tolist()]


def ranked(image: Tensor) -> list[int]:
    """Its tokens, the most confident first."""
    return sorted(range(len(image)), key=lambda n: -max(probabilities(image[n])))


def test_the_tokens_most_sure_of_a_class_are_kept_the_surest_first_and_the_rest_is_dropped() -> None:
    found = split(LOGITS, confidence(LOGITS), 3)
    for image, kept, dropped in zip(LOGITS, found.kept.tolist(), found.dropped.tolist(), strict=True):
        assert kept == ranked(image)[:3]
        assert [n for n, one in enumerate(dropped) if one] == sorted(ranked(image)[3:])
    tokens = torch.randn(3, 7, 5)
    assert torch.equal(gathered(tokens, found.kept)[1, 2], tokens[1, ranked(LOGITS[1])[2]])


def test_losses_of_a_level_are_those_of_its_mean_logits_its_kept_and_its_dropped_tokens() -> None:
    found = split(LOGITS, confidence(LOGITS), 3)
    level, kept, dropped = [], [], []
    for image, label in zip(LOGITS, LABELS.tolist(), strict=True):
        level.append(-math.log(probabilities(image.mean(dim=0))[label]))
        kept += [-math.log(probabilities(image[n])[label]) for n in ranked(image)[:3]]
        dropped += [(math.tanh(x) + 1) ** 2 for n in ranked(image)[3:] for x in image[n].tolist()]
    assert level_loss(found, LABELS).item() == pytest.approx(sum(level) / len(level))
    assert kept_loss(found, LABELS).item() == pytest.approx(sum(kept) / len(kept))
    assert suppression_loss(found).item() == pytest.approx(sum(dropped) / len(dropped))
    one_hot = torch.nn.functional.one_hot(LABELS, 4).double()
    torch.testing.assert_close(kept_loss(found, one_hot), kept_loss(found, LABELS))


def test_kept_tokens_feel_no_suppression_and_a_level_of_one_token_has_none() -> None:
    logits = LOGITS.clone().requires_grad_()
    found = split(logits, confidence(logits), 3)
    (gradient,) = torch.autograd.grad(suppression_loss(found), logits)
    assert torch.equal(gradient.abs().amax(dim=2) > 0, found.dropped > 0)
    assert suppression_loss(split(LOGITS[:, :1], confidence(LOGITS[:, :1]), 1)).item() == 0


def test_counts_are_the_authors_at_384_px_and_leave_a_token_to_drop_elsewhere() -> None:
    swin = [Grid(48, 48), Grid(24, 24), Grid(12, 12), Grid(12, 12)]
    assert kept_counts((8 / 9, 8 / 9, 8 / 9, 2 / 9), swin) == [2048, 512, 128, 32]
    assert kept_counts((1 / 9, 2 / 9, 4 / 9, 2 / 9), swin) == [256, 128, 64, 32]
    assert kept_counts((1, 0, 1), [Grid(2, 2), Grid(2, 2), Grid(1, 1)]) == [3, 1, 1]
    with pytest.raises(ValueError, match="each level needs one"):
        kept_counts((0.5,), swin)
    with pytest.raises(ValueError, match="must be a share"):
        kept_counts((512,), [Grid(24, 24)])


def test_the_combiner_is_one_graph_convolution_over_joints_made_of_the_tokens() -> None:
    torch.manual_seed(0)
    combiner = GraphCombiner(6, 3, 8, 4).double().train()
    combiner.dropout.p = 0.0
    torch.testing.assert_close(combiner.adjacency[:2, :2], torch.tensor([[0.02, 0.01], [0.01, 0.02]]).double())
    with torch.no_grad():
        combiner.alpha.fill_(0.7)
    tokens = torch.randn(2, 6, 8, dtype=torch.float64)
    mixed = torch.empty(2, 3, 8, dtype=torch.float64)
    for image, own in enumerate(tokens):
        weight, bias = combiner.to_joints.weight, combiner.to_joints.bias
        joints = [sum(weight[j, n] * own[n] for n in range(6)) + bias[j] for j in range(3)]
        q = [(combiner.query.weight @ joint + combiner.query.bias).mean() for joint in joints]
        k = [(combiner.key.weight @ joint + combiner.key.bias).mean() for joint in joints]
        new = [combiner.convolution.weight @ joint + combiner.convolution.bias for joint in joints]
        for j in range(3):
            edges = [combiner.adjacency[i, j] + 0.7 * torch.tanh(q[i] - k[j]) for i in range(3)]
            mixed[image, j] = sum(edge * one for edge, one in zip(edges, new, strict=True))
    flat = mixed.flatten(0, 1)
    normed = ((flat - flat.mean(dim=0)) / (flat.var(dim=0, unbiased=False) + 1e-5).sqrt()).view(2, 3, 8)
    vectors = sum(combiner.to_vector.weight[0, j] * normed[:, j] for j in range(3)) + combiner.to_vector.bias
    expected = vectors @ combiner.classify.weight.mT + combiner.classify.bias
    torch.testing.assert_close(combiner(tokens), expected)


def test_the_mean_of_probabilities_is_taken_without_underflow() -> None:
    several = [LOGITS[:, 0], LOGITS[:, 1], LOGITS[:, 2]]
    mean = torch.stack([one.softmax(dim=1) for one in several]).mean(dim=0)
    torch.testing.assert_close(log_mean_probability(several).exp(), mean)
    assert log_mean_probability([torch.tensor([[0.0, -500.0]])]).isfinite().all()


def test_the_places_of_dropped_tokens_fade() -> None:
    logits = torch.tensor([[[0.0, 9], [0, 1], [0, 8], [0, 7], [0, 0]]])  # of a class token and four places
    image = foreground(torch.ones(1, 3, 4, 4), split(logits, confidence(logits), 3), Grid(2, 2, prefix=1))
    assert image[0, 0, ::2, ::2].tolist() == [[pytest.approx(FADED), 1], [1, pytest.approx(FADED)]]
