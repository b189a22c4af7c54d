"""Stored images on a device: how they get there in a few large copies, and how batches are read from there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.interface import OnProgress

CHUNK = 64 * 2**20
"""Bytes of a copy to the device. Two such buffers take turns: one is filled while the other is copied."""


def copied(
    image: Callable[[int], NDArray[np.uint8]],
    offsets: NDArray[np.int64],
    device: torch.device,
    widest: int,
    on_progress: OnProgress | None = None,
) -> Tensor:
    """One flat uint8 tensor on the device with image i from `offsets[i]` to `offsets[i + 1]`, for `padded_batch`.

    Its memory goes on for `widest` values, the width of the widest image: runs of that length are read from its rows.
    `image` gives the flat pixels of image i. It is called by several threads, and raises what reading an image raises.
    """
    total = int(offsets[-1])
    pixels = torch.empty(total + widest, dtype=torch.uint8, device=device)[:total]
    buffers = _Buffers(_buffer_bytes(offsets), device)
    with ThreadPoolExecutor(joblib.cpu_count(), thread_name_prefix="copy") as pool:
        for first, end in pairwise(_chunks(offsets)):
            begin = int(offsets[first])
            buffer = buffers.free()
            places = buffer.numpy()

            def read(row: int, places: NDArray[np.uint8] = places, begin: int = begin) -> None:
                places[offsets[row] - begin : offsets[row + 1] - begin] = image(row)

            for _ in pool.map(read, range(first, end)):
                pass
            target = pixels[begin : int(offsets[end])]
            target.copy_(buffer[: len(target)], non_blocking=True)
            buffers.copying()
            if on_progress is not None:
                on_progress(end, len(offsets) - 1)
    return pixels


class _Buffers:
    """Two buffers in host memory that take turns; pinned for a GPU, which then copies while the host goes on."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.device, cuda = device, device.type == "cuda"
        self.buffers = [torch.empty(size, dtype=torch.uint8, pin_memory=cuda) for _ in range(2)]
        self.copied: list[torch.cuda.Event | None] = [None, None]
        self.turn = 0

    def free(self) -> Tensor:
        """The buffer whose turn it is; waits until it was copied."""
        if (event := self.copied[self.turn]) is not None:
            event.synchronize()
        return self.buffers[self.turn]

    def copying(self) -> None:
        """Says that the copy of this buffer has been started."""
        if self.device.type == "cuda":
            self.copied[self.turn] = torch.cuda.current_stream(self.device).record_event()
        self.turn = 1 - self.turn


def _chunks(offsets: NDArray[np.int64]) -> list[int]:
    """Numbers of images between which the copies are cut: each has at most `CHUNK` bytes, or one larger image."""
    cuts = [0]
    while (begin := cuts[-1]) < len(offsets) - 1:
        fitting = int(np.searchsorted(offsets, offsets[begin] + CHUNK, side="right")) - 1
        cuts.append(max(fitting, begin + 1))
    return cuts


def _buffer_bytes(offsets: NDArray[np.int64]) -> int:
    return max((int(offsets[end] - offsets[first]) for first, end in pairwise(_chunks(offsets))), default=0)


def padded_batch(pixels: Tensor, offsets: Tensor, sizes: Tensor) -> Tensor:
    """Images `(B, 3, H, W)` of several sizes, each in the upper left corner, padded with zeros.

    Image i starts at `offsets[i]` of the flat `pixels`; its height and width are `sizes[i]`. `offsets` (B,) and `sizes`
    (B, 2) are on the host. Every row is copied as a run of W values from its start on, so the index has one number for
    a row, not for a pixel. What belongs to the next row is then cleared. `pixels` must come from `copied`: the run of
    the last row reads beyond them.
    """
    height, width = sizes.amax(0).tolist()
    device = pixels.device
    starts = offsets.to(device, non_blocking=True)[:, None, None]
    heights, widths = sizes.to(device, non_blocking=True)[:, :, None, None].unbind(1)
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    channels = torch.arange(3, device=device)[:, None]
    firsts = starts + (channels * heights + torch.minimum(rows, heights - 1)) * widths
    runs = pixels.as_strided((len(pixels), width), (1, 1))
    images = runs.index_select(0, firsts.flatten()).view(len(sizes), 3, height, width)
    outside = (rows[:, None] >= heights) | (columns >= widths)
    return images.masked_fill_(outside[:, None], 0)
