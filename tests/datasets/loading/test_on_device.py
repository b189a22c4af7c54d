"""Images on a device: copied in large pieces with equal bytes, checked, and read from there in padded batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.profiling.live_bytes import peak_bytes
from datasets.interface import DatasetError
from datasets.loading import on_device
from datasets.loading.store import Store, open_store
from tests.helpers.fakes.fake_dataset import Noise

CPU = torch.device("cpu")
SIZES = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=8)


def images_of(sizes: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    """One image `(3, h, w)` of each size, without zeros, so that padding is told apart."""
    generator = np.random.default_rng(0)
    return [generator.integers(1, 256, (3, *size), dtype=np.uint8) for size in sizes]


def copied(images: list[NDArray[np.uint8]]) -> tuple[torch.Tensor, NDArray[np.int64]]:
    offsets = np.cumsum([0, *(image.size for image in images)])
    widest = max(image.shape[2] for image in images)
    return on_device.copied(lambda row: images[row].ravel(), offsets, CPU, widest), offsets


@given(sizes=SIZES, chunk=st.integers(1, 600))
@settings(max_examples=50, deadline=None)
def test_any_size_of_the_pieces_copies_equal_bytes(sizes: list[tuple[int, int]], chunk: int) -> None:
    images = images_of(sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_device, "CHUNK", chunk)
        pixels, _ = copied(images)
    assert pixels.tolist() == np.concatenate([image.ravel() for image in images]).tolist()


@given(sizes=SIZES, data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_padded_batch_has_each_image_in_its_corner_and_zeros_elsewhere(
    sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    images = images_of(sizes)
    rows = data.draw(st.lists(st.integers(0, len(images) - 1), min_size=1, max_size=6))
    pixels, offsets = copied(images)
    chosen = torch.tensor(sizes)[rows]
    batch = on_device.padded_batch(pixels, torch.from_numpy(offsets[rows]), chosen)
    expected = torch.zeros(len(rows), 3, *chosen.amax(0).tolist(), dtype=torch.uint8)
    for place, row in zip(expected, rows, strict=True):
        height, width = sizes[row]
        place[:, :height, :width] = torch.from_numpy(images[row])
    assert torch.equal(batch, expected)


def test_progress_is_told_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(Noise(10), 8, "squash", tmp_path)
    monkeypatch.setattr(on_device, "CHUNK", 4 * 3 * 8 * 8)
    told: list[tuple[int, int | None]] = []
    store.to("cpu", np.arange(10), lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_a_damaged_image_of_a_later_piece_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(Noise(10), 8, "squash", tmp_path)
    store.checksums[9] ^= 1
    monkeypatch.setattr(on_device, "CHUNK", 4 * 3 * 8 * 8)
    with pytest.raises(DatasetError, match=r"its image of 9\.png is damaged"):
        store.to("cpu", np.arange(10))


def test_no_rows_are_an_empty_store(tmp_path: Path) -> None:
    assert len(open_store(Noise(), 8, "short_side", tmp_path).to("cpu", np.arange(0))) == 0


def test_a_batch_of_several_sizes_needs_little_more_than_its_own_memory() -> None:
    """A number for each row of an image tells where it is; one for each pixel would take eight times the batch."""
    sizes = np.array([[512, 640 + place % 100] for place in range(64)])
    offsets = np.concatenate([[0], np.cumsum(3 * sizes.prod(1))])
    pixels = torch.empty(offsets[-1] + 740, dtype=torch.uint8, device="meta")[: offsets[-1]]
    unchecked, paths = np.zeros(64, dtype=bool), [""] * 64
    store = Store(pixels, offsets, sizes, np.zeros(64, dtype=np.uint32), unchecked, paths, Path())
    batch, _ = store.images(np.arange(64))
    assert batch.shape == (64, 3, 512, 739 - 36)
    assert peak_bytes(lambda: store.images(np.arange(64))[0]) < 1.6 * batch.numel()
