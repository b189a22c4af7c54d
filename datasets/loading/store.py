"""The decoded store: images are decoded and resized once, kept as uint8 on disk, and memory-mapped from then on.

A store is a folder that is either complete or absent (`store_writer` writes it). Its name contains a hash of everything
that determines its content, so a changed image or resize rule leads to another folder.

Each image is compared with its checksum when a process first reads it, so no damaged image is trained on or evaluated.
A damaged store is removed: it can be made anew at any time.

Stores are always decoded on the CPU. nvJPEG is faster (measured in `benchmarks/speed/test_storage_speed.py`), but its
pixels differ from libjpeg's by a few levels: one recipe would see different images with and without a GPU. Decoding
takes seconds to minutes once per dataset, so the gain is not worth that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from datasets.cache_folder import default_cache
from datasets.formats.aspect import thin
from datasets.interface import Dataset, DatasetError, OnProgress
from datasets.loading import on_device
from datasets.loading.store_writer import (
    PIXELS,
    RECORD,
    build,
    checksum,
    discard,
    finished_record,
    read_record,
    read_table,
)

FORMAT = 4
"""Increase it when files, key, decoding or resizing change: old stores are then ignored and rebuilt."""

ResizeRule = Literal["squash", "short_side"]


@dataclass(frozen=True)
class Store:
    """Images as uint8, concatenated in one flat tensor: memory-mapped from disk, or on a device."""

    pixels: Tensor
    """Flat uint8; image i is `(3, h, w)`, starting at `offsets[i]`."""
    offsets: NDArray[np.int64]
    """(N + 1,)"""
    sizes: NDArray[np.int64]
    """(N, 2) height, width"""
    checksums: NDArray[np.uint32]
    """(N,) CRC-32 of each image's pixels"""
    unchecked: NDArray[np.bool_]
    """(N,) Images that this process has not compared with their checksums yet."""
    paths: Sequence[str]
    """(N,) Of the images, as in the dataset."""
    folder: Path
    """The folder on disk."""

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def uniform(self) -> bool:
        """Whether all images have one size."""
        return bool((self.sizes == self.sizes[:1]).all())

    def image(self, row: int) -> Tensor:
        """Image `row` `(3, h, w)` uint8, without a copy. Raises `DatasetError` if it is damaged."""
        if self.unchecked[row]:
            self._check(row)
        return self._view(row)

    def images(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Images `(B, 3, H, W)` uint8 on the store's device, and their sizes (B, 2) height, width on the host.

        H and W are the largest of the batch; smaller images are in the upper left corner, padded with zeros. Raises
        `DatasetError` for a damaged image.
        """
        self._check_first_reads(rows)
        sizes = torch.from_numpy(self.sizes[rows])
        if self.uniform:
            return self._same_size_images(rows), sizes
        if self.pixels.device.type != "cpu":
            return on_device.padded_batch(self.pixels, torch.from_numpy(self.offsets[rows]), sizes), sizes
        images = self.pixels.new_zeros((len(rows), 3, *sizes.amax(0).tolist()))
        for place, row in enumerate(rows.tolist()):
            height, width = self.sizes[row].tolist()
            images[place, :, :height, :width] = self.image(row)
        return images, sizes

    def to(self, device: torch.device | str, rows: NDArray[np.int64], on_progress: OnProgress | None = None) -> Store:
        """A store of these rows (its row i is `rows[i]` of this one) with its pixels on `device`.

        Threads read the images and check those not checked yet. Raises `DatasetError` for a damaged image.
        """
        sizes, paths = self.sizes[rows], [self.paths[row] for row in rows.tolist()]
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])])
        pixels = on_device.copied(
            lambda place: self.image(int(rows[place])).flatten().cpu().numpy(),
            offsets,
            torch.device(device),
            int(sizes[:, 1].max(initial=0)),
            on_progress,
        )
        return Store(pixels, offsets, sizes, self.checksums[rows], self.unchecked[rows], paths, self.folder)

    def held(self, pixels: Tensor) -> Store:
        """This store with `pixels` that someone has copied from it, compared with their checksums, and keeps."""
        if pixels.shape != self.pixels.shape:
            raise ValueError(f"{len(pixels)} bytes are not the {len(self.pixels)} of {self.folder}")
        return replace(self, pixels=pixels, unchecked=np.zeros_like(self.unchecked))

    def verify(self) -> None:
        """Reads every pixel, again if need be; raises `DatasetError` naming the first damaged image."""
        for row in range(len(self)):
            self._check(row)

    def _view(self, row: int) -> Tensor:
        height, width = self.sizes[row].tolist()
        return self.pixels[self.offsets[row] : self.offsets[row + 1]].view(3, height, width)

    def _check_first_reads(self, rows: NDArray[np.int64]) -> None:
        for row in rows[self.unchecked[rows]].tolist():
            self._check(row)

    def _check(self, row: int) -> None:
        if checksum(self._view(row).cpu().numpy()) != self.checksums[row]:
            raise _damaged(self.folder, f"its image of {self.paths[row]} is damaged")
        self.unchecked[row] = False

    def _same_size_images(self, rows: NDArray[np.int64]) -> Tensor:
        images = self.pixels.view(len(self), 3, *self.sizes[0].tolist())
        if images.device.type == "cpu":  # NumPy is as fast and starts no threads, which are costly on busy cores
            return torch.from_numpy(images.numpy()[rows])
        return images.index_select(0, torch.from_numpy(rows).to(images.device, non_blocking=True))


def open_store(
    dataset: Dataset, size: int, rule: ResizeRule, cache: Path | None = None, on_progress: OnProgress | None = None
) -> Store:
    """The decoded images of `dataset`, in its order; the store is built if it isn't in `cache`.

    `squash` makes every image size x size pixels; `short_side` makes the shorter side `size` and keeps the aspect
    ratio. Both resize like torchvision, bilinear and antialiased. A second process that opens the same store waits for
    the first; a killed build is resumed. Raises `DatasetError` for an image that can't be read, a cache that can't be
    written or is too small, or a damaged store.
    """
    if size < 1 or rule not in ("squash", "short_side"):
        raise ValueError(f"a store needs a size of at least 1 and a rule squash or short_side, not {size} and {rule!r}")
    cache = default_cache() if cache is None else cache
    key, folder = store_key(dataset, size, rule), store_folder(dataset, size, rule, cache)
    if not folder.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            build(
                folder,
                key,
                len(dataset),
                image=lambda row: stored_image(dataset, row, size, rule),
                image_bytes=3 * size * size,
                on_progress=on_progress,
                confirm=dataset.require_unchanged,
            )
        except OSError as error:
            raise DatasetError(
                f"{cache}: the decoded images can't be written there ({error.strerror or error}); "
                "free some space or name another folder in FGBENCH_CACHE"
            ) from error
    return _open(folder, key, dataset.paths)


def store_folder(dataset: Dataset, size: int, rule: ResizeRule, cache: Path) -> Path:
    """Where the store is, or will be."""
    return cache / f"{dataset.name.replace('/', '_')}-{size}-{rule}-{_digest(store_key(dataset, size, rule))[:16]}"


def store_key(dataset: Dataset, size: int, rule: ResizeRule) -> dict[str, Any]:
    """Everything that determines the content of a store."""
    return {
        "format": FORMAT,
        "split_hash": dataset.split_hash,
        "order": _digest(dataset.paths),  # the split hash ignores the order
        "content": dataset.content_key,
        "size": size,
        "rule": rule,
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def stored_image(dataset: Dataset, row: int, size: int, rule: ResizeRule) -> NDArray[np.uint8]:
    """Image `row` as the store keeps it: uint8 `(3, h, w)`. Raises `DatasetError` naming it if it can't be had."""
    return resized(dataset.image(row), size, rule, dataset.file(row) or dataset.paths[row]).numpy()


def resized(image: NDArray[np.uint8], size: int, rule: ResizeRule, name: object) -> Tensor:
    """One decoded image `(H, W, 3)` as the store keeps it: uint8 `(3, h, w)`.

    Raises `DatasetError` beginning with `name` if it is too thin.
    """
    if fault := thin(*image.shape[:2]):
        raise DatasetError(f"{name} {fault}")
    target = [size, size] if rule == "squash" else [size]
    small = functional.resize(torch.from_numpy(image).permute(2, 0, 1), target, antialias=True)
    return torch.from_numpy(np.ascontiguousarray(small.numpy()))  # NumPy is as fast and starts no threads


def _open(folder: Path, key: dict[str, Any], paths: Sequence[str]) -> Store:
    try:
        record, table = read_record(folder), read_table(folder)
        flat = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r")
    except PermissionError as error:
        what = f"can't be read ({error.strerror}); set FGBENCH_CACHE to a folder of your own"
        raise DatasetError(f"{folder}: {what}") from error
    except (OSError, ValueError) as error:
        raise _damaged(folder, "a file of it is damaged") from error
    sizes = np.stack([table["height"], table["width"]], axis=1).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(3 * sizes.prod(axis=1))])
    if record != finished_record(key, table) or len(flat) != offsets[-1]:
        raise _damaged(folder, "its files do not fit together")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nothing writes to it
        pixels = torch.from_numpy(flat)
    with contextlib.suppress(OSError):  # a cache owned by others can be read, too
        os.utime(folder / RECORD)  # the time of last use
    return Store(pixels, offsets, sizes, table["checksum"], np.ones(len(sizes), dtype=bool), paths, folder)


def _damaged(folder: Path, what: str) -> DatasetError:
    """The error that says so, once the damaged store is removed."""
    with contextlib.suppress(OSError):  # in a cache that belongs to others
        discard(folder)
    remedy = "delete this folder and run again" if folder.exists() else "it was removed: run again to make it anew"
    return DatasetError(f"{folder}: {what}; {remedy}")
