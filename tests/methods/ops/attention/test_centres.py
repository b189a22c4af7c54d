"""Centres against the moving average of one sample after the other."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from methods.ops.attention.centres import Centres, joined

SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 2**31)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), 1e-12)


@settings(max_examples=30, deadline=None)
@given(
    SEEDS, st.integers(1, 8), st.integers(1, 4), SIZES, st.booleans(), st.sampled_from(["all", "last"]), st.floats(0, 1)
)
def test_centres_move_sample_by_sample(seed, count, classes, length, normalised, duplicates, rate):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, length, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = Centres(classes, length, normalised, duplicates, rate)
    centres.centres.copy_(torch.randn(classes, length, generator=generator))
    before = centres.centres.double().numpy().copy()
    read = [unit(before[label]) if normalised else before[label] for label in labels]
    distances = [((f - c) ** 2).sum() for f, c in zip(features.double().numpy(), read, strict=True)]
    np.testing.assert_allclose(float(centres(features, labels)), np.mean(distances), rtol=1e-4, atol=1e-6)
    after = before.copy()
    for feature, label, old in zip(features.double().numpy(), labels, read, strict=True):
        start = after if duplicates == "all" else before
        after[label] = start[label] + rate * (feature - old)
    centres.update(features, labels)
    np.testing.assert_allclose(centres.centres.numpy(), after, atol=1e-5)


def test_gathered_samples_move_the_centres_as_one_batch():
    features, labels = torch.randn(6, 3), torch.tensor([0, 1, 1, 0, 2, 1])
    whole, parts = Centres(3, 3, duplicates="last"), Centres(3, 3, duplicates="last")
    whole.update(features, labels)

    def everything(values: Tensor) -> Tensor:
        """What another process adds to the first two samples."""
        return torch.cat([values, (features if values.is_floating_point() else labels)[2:]])

    parts.update(features[:2], labels[:2], everything)
    assert torch.equal(parts.centres, whole.centres)


def test_the_parts_of_a_batch_are_joined_in_order():
    first, second = (torch.rand(2, 3), torch.tensor([0, 1])), (torch.rand(1, 3), torch.tensor([2]))
    features, labels = joined(first, second)
    assert torch.equal(features, torch.cat([first[0], second[0]]))
    assert labels.tolist() == [0, 1, 2]
    assert joined(None, second) is second
    assert joined(first, None) is None
