"""Transforms boxes and part points from pixels of the original image to pixels of the network's input (the frame).

A test image is resized to its stored size and cropped to its centre, and so are its annotations. All coordinates are
continuous: the first pixel covers 0 .. 1, x to the right, y down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets.interface import Dataset

TOLERANCE = 0.1
"""Largest distance from a part's point that counts as on the part, as a share of the longer side of the object's box
(of the image, without boxes). The usual measure of part localisation on CUB-200-2011 (PCK at 0.1)."""


@dataclass(frozen=True)
class Frame:
    """Annotations of N images in pixels of the network's input."""

    size: int
    """Side of the input, pixels."""
    boxes: Tensor | None
    """(N, 4) left, top, right, bottom, clipped to the frame; without area if the box is outside"""
    parts: Tensor | None
    """(N, P, 2) x, y"""
    visible: Tensor | None
    """(N, P) whether the part is visible and within the frame"""
    radii: Tensor
    """(N, 2) tolerance around a part's point along x and y: a circle in the original image"""
    part_names: tuple[str, ...] = ()

    def rows(self, rows: Tensor | slice) -> Frame:
        """The annotations of some images."""
        return self._each(lambda one: one[rows])

    def to(self, device: torch.device) -> Frame:
        """The annotations on a device."""
        return self._each(lambda one: one.to(device))

    def without_boxes(self) -> Frame:
        """The annotations of parts only."""
        return replace(self, boxes=None)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Frame:
        changed = {
            name: None if (one := getattr(self, name)) is None else change(one)
            for name in ("boxes", "parts", "visible", "radii")
        }
        return replace(self, **changed)  # type: ignore[arg-type]

    @property
    def box_share(self) -> float | None:
        """Mean share of the frame that is inside the boxes, or None without boxes."""
        if self.boxes is None:
            return None
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        return float((sides[:, 0] * sides[:, 1]).mean()) / self.size**2


def original_sizes(dataset: Dataset, rows: Sequence[int]) -> NDArray[np.int64]:
    """(N, 2) height and width of images as their reader returns them. Decodes each: a reader may crop or rotate."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array(list(pool.map(lambda row: dataset.image(row).shape[:2], rows)), dtype=np.int64).reshape(-1, 2)


def framed(dataset: Dataset, rows: NDArray[np.int64], originals: NDArray[np.int64], stored: Tensor, size: int) -> Frame:
    """The annotations of `rows` in the central `size` × `size` pixels of the stored images, on the CPU.

    `originals` and `stored` `(N, 2)`: height and width of each image before and after it was resized.
    """
    original = torch.from_numpy(originals).double().flip(1)  # x before y from here on
    scale = stored.cpu().double().flip(1) / original
    corner = ((stored.cpu().flip(1) - size) / 2).round().double()  # as in `augment.test_batch`; a test compares them
    boxes, longest = None, original.amax(dim=1)
    if dataset.boxes is not None:
        place, sides = torch.from_numpy(dataset.boxes[rows]).double().split(2, dim=1)
        longest = sides.amax(dim=1)
        ends = torch.stack([place, place + sides], dim=1) * scale[:, None] - corner[:, None]
        boxes = ends.clamp(0, size).flatten(1).float()
    radii = (TOLERANCE * longest[:, None] * scale).float()
    if dataset.parts is None:
        return Frame(size, boxes, None, None, radii)
    parts = torch.from_numpy(dataset.parts.xy[rows]).double() * scale[:, None] - corner[:, None]
    within = ((parts >= 0) & (parts < size)).all(dim=2)
    visible = torch.from_numpy(dataset.parts.visible[rows]) & within
    return Frame(size, boxes, parts.float(), visible, radii, dataset.parts.names)
