"""DFL-CNN's bank of filters against slow, obvious formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from methods.dfl_cnn import bank as bank_module
from methods.dfl_cnn.bank import FilterBank, max_response

sizes = st.integers(1, 5)
seeds = st.integers(0, 2**31)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow_max_response(features: Tensor, filters: Tensor) -> Tensor:
    """One filter on one position of one image after the other."""
    found = torch.empty(len(features), len(filters), dtype=features.dtype)
    for image in range(len(features)):
        for number, weight in enumerate(filters):
            found[image, number] = max(
                float((weight * features[image, :, row, column]).sum())
                for row in range(features.shape[2])
                for column in range(features.shape[3])
            )
    return found


def plain_max_response(features: Tensor, filters: Tensor) -> Tensor:
    """As papers and code write it: a 1×1 convolution and global max pooling."""
    return F.adaptive_max_pool2d(F.conv2d(features, filters[:, :, None, None]), 1).flatten(1)


@settings(max_examples=25, deadline=None)
@given(b=sizes, c=sizes, h=sizes, w=sizes, f=st.integers(1, 9), chunk=st.integers(1, 4), seed=seeds)
def test_largest_responses_are_those_of_the_formula(b, c, h, w, f, chunk, seed):
    features, filters = draw(b, c, h, w, seed=seed), draw(f, c, seed=seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "CHUNK", chunk)
        found, where = max_response(features, filters)
    torch.testing.assert_close(found, slow_max_response(features, filters))
    there = torch.einsum("bcp,fc->bfp", features.flatten(2), filters).gather(2, where[:, :, None])[:, :, 0]
    torch.testing.assert_close(found, there)


@settings(max_examples=40, deadline=None)
@given(
    b=sizes, c=sizes, h=sizes, w=sizes, f=st.integers(1, 9), chunk=st.integers(1, 4), seed=seeds,
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)  # fmt: skip
def test_gradients_are_those_of_convolution_and_pooling_in_any_layout(b, c, h, w, f, chunk, seed, layout):
    features = draw(b, c, h, w, seed=seed).to(memory_format=layout).requires_grad_()
    filters = draw(f, c, seed=seed + 1).requires_grad_()
    weight = draw(b, f, seed=seed + 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank_module, "CHUNK", chunk)
        ours = torch.autograd.grad((max_response(features, filters)[0] * weight).sum(), (features, filters))
    plain = torch.autograd.grad((plain_max_response(features, filters) * weight).sum(), (features, filters))
    for left, right in zip(ours, plain, strict=True):
        torch.testing.assert_close(left, right)


def test_gradients_of_many_filters_at_one_place_are_summed_in_float32():
    """In bfloat16 the sum of 2000 equal small numbers stops growing at 256 of them."""
    features = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.bfloat16, requires_grad=True)
    filters = torch.ones(2000, 1, dtype=torch.bfloat16)
    max_response(features, filters)[0].backward(torch.ones(1, 2000, dtype=torch.bfloat16))
    assert features.grad.flatten().tolist() == [2000, 0]


def test_what_is_kept_does_not_grow_with_positions_times_filters():
    features, filters = torch.randn(2, 8, 16, 16, requires_grad=True), torch.randn(512, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda value: kept.append(value.numel()) or value, lambda value: value
    ):
        max_response(features, filters)
    assert sum(kept) == features.numel() + filters.numel() + 2 * 512


@settings(max_examples=20, deadline=None)
@given(classes=sizes, k=sizes, seed=seeds)
def test_side_branch_is_the_mean_over_the_filters_of_a_class(classes, k, seed):
    bank = FilterBank(3, classes, k)
    response = draw(2, classes * k, seed=seed)
    logits = bank.side(response)
    for label in range(classes):
        own = [response[:, label * k + number] for number in range(k)]
        torch.testing.assert_close(logits[:, label], sum(own) / k)


def test_evidence_peaks_at_the_detected_response():
    bank, features = FilterBank(6, 4, 3), torch.randn(2, 6, 5, 4)
    classes = torch.tensor([3, 1])
    evidence = bank.evidence(features, classes)
    own = bank.detect(features).unflatten(1, (4, 3))[torch.arange(2), classes]
    torch.testing.assert_close(evidence.flatten(2).amax(dim=2), own)
