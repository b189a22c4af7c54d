"""Pixels and batches that differ are found; one level of rounding is not a fault."""

from __future__ import annotations

import pytest
import torch

from benchmarks.device_check.pixels import AUGMENTATIONS, check_feeds, judged, pixels_of, ragged_batch, same


def test_one_level_is_rounding_and_two_are_a_fault() -> None:
    images = torch.full((2, 3, 8, 8), 100.0)
    assert judged({"random crop": (images, images + 1)}).status == "ok"
    one_pixel = images.clone()
    one_pixel[1, 2, 3, 4] += 2
    found = judged({"random crop": (images, one_pixel), "rotation": (images, images)})
    assert (found.status, found.finding) == ("wrong", "random crop differs by 2 levels")


def test_a_pixel_that_is_no_number_is_a_fault() -> None:
    images = torch.zeros(1, 3, 8, 8)
    assert judged({"rotation": (images, images * torch.nan)}).status == "wrong"


def test_after_randaugment_a_few_pixels_may_differ_more() -> None:
    images, other = torch.zeros(1, 3, 100, 100), torch.zeros(1, 3, 100, 100)
    other.view(-1)[:30] = 200
    assert judged({"RandAugment": (images, other)}).status == "ok"
    other.view(-1)[:31] = 200
    assert judged({"RandAugment": (images, other)}).status == "wrong"


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmented_pixels_are_levels_and_repeat_themselves(name: str) -> None:
    first, again = (pixels_of(ragged_batch(), AUGMENTATIONS[name]) for _ in range(2))
    assert torch.equal(first, again)
    if name != "random erasing":  # erased with the mean colour
        assert first.min() > -0.1
        assert first.max() < 255.1


def test_all_feed_modes_give_the_same_batches() -> None:
    found = check_feeds("cpu")
    assert found.status == "ok", found.finding


def test_batches_of_another_pixel_or_number_are_not_the_same() -> None:
    batches = [(torch.zeros(2, 3), torch.ones(2))]
    assert same(batches, [(torch.zeros(2, 3), torch.ones(2))])
    assert not same(batches, [(torch.zeros(2, 3), torch.zeros(2))])
    assert not same(batches, [])
