"""Whether something can be measured with a dataset's boxes."""

from __future__ import annotations

from collections.abc import Sequence

from datasets.boxes import box_fault
from datasets.interface import Dataset, DatasetError


class UnusableBoxes(DatasetError):  # noqa: N818 - clear without the suffix Error
    """Something can't be measured, because boxes are no boxes."""


def require_usable(dataset: Dataset, rows: Sequence[int], sizes: Sequence[Sequence[int]]) -> None:
    """Raises `UnusableBoxes` if a box of `rows` has no area within its image; `sizes`: height and width of each image.

    A box that ends beyond its image is cut at the border by whoever uses it, as in NABirds.
    """
    if dataset.boxes is None:
        return
    found = [(row, box_fault(dataset.boxes[row].tolist(), *size)) for row, size in zip(rows, sizes, strict=True)]
    faulty = [(row, fault) for row, fault in found if fault is not None and fault.kind != "beyond"]
    if faulty:
        row, fault = faulty[0]
        raise UnusableBoxes(
            f"{len(faulty)} of {len(found)} boxes can't be used ({dataset.paths[row]}: {fault.what}); "
            f"correct them: data verify {dataset.name} names each"
        )
