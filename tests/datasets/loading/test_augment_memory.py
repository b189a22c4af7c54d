"""Memory of augmentation on a GPU: largest number of bytes alive, for 64 photos of 512 px at 448 px.

Tensors on `meta` have no values and take the path of a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.profiling.live_bytes import peak_bytes
from datasets.loading import colour, pixels
from datasets.loading.augment import train_batch
from datasets.loading.feed import Batch
from results.augmentation import Augment

COUNT, STORED, SIZE = 64, 512, 448
STORED_BYTES, CROP_BYTES = COUNT * 3 * STORED**2, COUNT * 3 * SIZE**2
"""Of uint8."""
FLIPS = torch.arange(COUNT) % 2 == 0
CORNERS = torch.full((COUNT, 2), 5)
BOXES = torch.tensor([[3, 5, 300, 400]]).expand(COUNT, 4)


def test_a_crop_holds_its_result_and_the_rows_that_it_is_cut_from() -> None:
    images = torch.empty(COUNT, 3, STORED, STORED, dtype=torch.uint8, device="meta")
    bands = COUNT * 3 * SIZE * STORED
    assert peak_bytes(lambda: pixels.crop(images, CORNERS, FLIPS, SIZE)) < 1.02 * (CROP_BYTES + bands)


def test_a_resized_crop_holds_no_float32_copy_of_the_images() -> None:
    images = torch.empty(COUNT, 3, STORED, STORED, dtype=torch.uint8, device="meta")
    filters = 2 * 2 * COUNT * SIZE * STORED
    half_precision = 2 * STORED_BYTES + 2 * COUNT * 3 * SIZE * STORED
    held = peak_bytes(lambda: pixels.resized_crop(images, BOXES, FLIPS, SIZE))
    assert held < 1.05 * (filters + half_precision)


@pytest.mark.parametrize(
    ("operation", "copies"),
    [
        (colour.adjust_brightness, 1),
        (colour.adjust_contrast, 1.4),
        (colour.adjust_saturation, 1.4),
        (colour.adjust_hue, 4.4),
    ],
)
def test_a_colour_operation_holds_few_copies_of_its_images(
    operation: Callable[[Tensor, Tensor], Tensor], copies: float
) -> None:
    images = torch.empty(COUNT, 3, SIZE, SIZE, device="meta")
    assert peak_bytes(lambda: operation(images, torch.ones(COUNT))) < 1.01 * copies * 4 * CROP_BYTES


def test_jitter_of_a_whole_batch_holds_little_more_than_its_result() -> None:
    batch = Batch(
        torch.empty(COUNT, 3, SIZE, SIZE, dtype=torch.uint8, device="meta"),
        torch.tensor([[SIZE, SIZE]] * COUNT),
        torch.zeros(COUNT),
        np.arange(COUNT),
    )
    jitter = Augment(crop="center", flip=0.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    held = peak_bytes(lambda: train_batch(batch, jitter, SIZE, torch.Generator().manual_seed(0)))
    assert held < 2.7 * 4 * CROP_BYTES  # 6.6 times its result, if all images were jittered at once
