"""Compiled augmentation: the pixels of the uncompiled one, from one graph for all that may be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from datasets.loading import augment, colour, compiled, pixels, policies
from datasets.loading.augment import normalise, train_batch
from datasets.loading.feed import Batch
from results.augmentation import Augment, Policy
from tests.helpers.small_photos import batch_of, photos, seeded

SCALE_AND_SHIFT = torch.tensor([[1 / (255 * std) for std in augment.IMAGENET.std], [-2.0, -1.9, -1.8]])
JITTER = Augment(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, erase=0.5)


@pytest.fixture(autouse=True)
def one_graph(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traces as for a GPU, without generating code. A graph break is always an error; here a second graph is one."""
    torch.compiler.reset()
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        yield
    torch.compiler.reset()


def uncompiled(images: Tensor, order: list[int], factors: Tensor, rectangles: Tensor | None) -> Tensor:
    if order:
        images = images.float() / 255
        for number in order:
            images = colour.JITTER[number](images, factors[:, number])
        images = images * 255
    scale, shift = SCALE_AND_SHIFT[:, :, None, None]
    images = images.float() * scale + shift
    return images if rectangles is None else pixels.erase(images, rectangles[:, :2], rectangles[:, 2:])


def test_one_graph_serves_every_order_of_the_colour_operations_and_every_batch_size() -> None:
    for number, order in enumerate(permutations(range(4))):
        count = (4, 7, 2, 1)[number % 4]
        images = photos(count, 24, 24, number)
        factors = torch.rand(count, 4, generator=seeded(number)) + torch.tensor([0.5, 0.5, 0.5, -0.5])
        rectangles = torch.tensor([[3.0, 4.0, 5.0, 6.0]]).repeat(count, 1)
        result = compiled.finish(images, order, factors, rectangles, SCALE_AND_SHIFT)
        torch.testing.assert_close(result, uncompiled(images, list(order), factors, rectangles), atol=1e-4, rtol=0)
        assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("order", [[], [0], [1], [3], [2, 0]])
def test_operations_that_are_off_are_left_out(order: list[int]) -> None:
    images, factors = photos(3, 24, 24), torch.full((3, 4), 0.3)
    result = compiled.finish(images, order, factors, None, SCALE_AND_SHIFT)
    torch.testing.assert_close(result, uncompiled(images, order, factors, None), atol=1e-4, rtol=0)


def test_one_graph_serves_whatever_a_policy_draws() -> None:
    policy = Policy(name="trivialaugment")
    for number in range(30):
        count = (9, 5, 1)[number % 3] if number else len(policies.OPERATIONS)
        images, draws = photos(count, 24, 24, number), torch.rand(count, policies.DRAWS, generator=seeded(number))
        if number == 0:  # every operation once
            draws[:, 0] = (torch.arange(count) + 0.5) / count
        before = images.clone()
        expected = policies.apply(images, policy, draws)
        difference = (policies.apply(images, policy, draws, compiled.operate).int() - expected.int()).abs()
        assert difference.max() <= 1  # where a turned image lies half way between two levels
        assert (difference > 0).float().mean() < 0.001
        assert torch.equal(images, before)


@pytest.mark.parametrize("settings", [JITTER, Augment(crop="resized", policy=Policy(name="randaugment"))])
def test_a_gpu_augments_with_compiled_code_if_asked_and_never_waits_for_a_value(settings: Augment) -> None:
    """A tensor on `meta` has no values: whatever would make the host wait for one fails. CUDA takes the same path."""
    for count in (6, 5, 4):
        batch = Batch(photos(count).to("meta"), torch.tensor([[70, 90]] * count), torch.zeros(count), np.arange(count))
        result = train_batch(batch, settings, 48, seeded(count), compile=True)
        assert result.device.type == "meta"
        assert result.shape == (count, 3, 48, 48)
        assert result.is_contiguous(memory_format=torch.channels_last)


def test_a_cpu_augments_the_same_whether_compiled_or_not() -> None:
    batch = batch_of(photos(6))
    expected = train_batch(batch, JITTER, 48, seeded())
    assert torch.equal(train_batch(batch, JITTER, 48, seeded(), compile=True), expected)


def test_without_operations_the_result_is_normalised() -> None:
    images = photos(3, 24, 24)
    expected = normalise(images)
    scale = [1 / (255 * std) for std in augment.IMAGENET.std]
    shift = [-mean / std for mean, std in zip(augment.IMAGENET.mean, augment.IMAGENET.std, strict=True)]
    result = compiled.finish(images, [], torch.ones(3, 4), None, torch.tensor([scale, shift]))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
