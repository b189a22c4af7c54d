"""The tables that are stored with a Run, read with the columns and kinds of values that a Run writes, or not at all.

Records from before checksums have files that nothing vouches for, and damaged bytes make readers raise errors of many
types, or return a table of other types.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from results.record import Selection

if TYPE_CHECKING:
    import pyarrow

Columns = dict[str, NDArray[Any]]
"""A table: column -> its values, one per row."""
LARGEST = 10_000_000
"""Rows of a table of predictions; a few bytes can claim to be more than any memory holds."""
_KINDS = {
    "selection": "words",
    "image": "words",
    "label": "whole numbers",
    "prediction": "whole numbers",
    "confidence": "numbers",
    "log_loss": "numbers",
    "top5": "lists of whole numbers",
}
"""Of a table of predictions: column -> what it holds."""


def read_history(content: bytes) -> Columns:
    """A row per epoch from CSV; an empty cell is NaN. Raises `ValueError` for what is no history."""
    # A history is short: pandas takes ten times as long to prepare for it as this takes to read it.
    try:
        head, *rows = (row for row in csv.reader(io.StringIO(content.decode()), strict=True) if row)
        words = dict(zip(head, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(head, ())
    except (csv.Error, ValueError) as error:
        raise ValueError("it is no table") from error
    if len(words) < len(head) or not {"epoch", "loss", "test_top1"} <= words.keys():
        raise ValueError("its columns are not those of a history")
    columns = {
        name: np.array(cells, object) if name == "phase" else _numbers(name, cells) for name, cells in words.items()
    }
    epochs = columns["epoch"]
    if not ((np.diff(epochs) > 0).all() and (epochs >= 1).all() and (epochs % 1 == 0).all()):
        raise ValueError("its epochs don't rise")
    for name in {"test_top1", "validation_top1"}.intersection(columns):
        shares = columns[name]
        if not (np.isnan(shares) | ((shares >= 0) & (shares <= 1))).all():
            raise ValueError(f"column {name!r} leaves 0 .. 1")
    return columns


def _numbers(name: str, cells: Sequence[str]) -> NDArray[np.int64] | NDArray[np.float64]:
    """Whole numbers if all cells are."""
    try:
        return np.array([int(cell) for cell in cells], np.int64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([float(cell or "nan") for cell in cells], np.float64)
    except ValueError as error:
        raise ValueError(f"column {name!r} does not hold numbers") from error


def read_predictions(content: bytes, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """A row per selection and test image from Parquet; with `columns`, only these. Raises `ValueError` for what is no
    table of predictions."""
    from pyarrow import BufferReader, parquet  # only where predictions are read: `status` uses the store too

    try:
        file = parquet.ParquetFile(BufferReader(content))
        if file.metadata.num_rows > LARGEST:
            raise ValueError("it claims more rows than any test set has")
        # Threads take longer to start than to read a few thousand rows.
        table = file.read(columns=list(columns) if columns else None, use_threads=False)
        table.validate(full=True)  # that words are UTF-8, and that lists lie within their values
        _check(table, columns or tuple(_KINDS))
    except Exception as error:
        raise ValueError("it is no table of predictions") from error
    return table


def _check(table: pyarrow.Table, columns: Sequence[str]) -> None:
    from pyarrow import compute, types

    is_kind = {
        "words": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        "whole numbers": types.is_integer,
        "numbers": types.is_floating,
        "lists of whole numbers": lambda kind: types.is_list(kind) and types.is_integer(kind.value_type),
    }
    for name in columns:
        column = table.column(name)
        if column.null_count or not is_kind[_KINDS[name]](column.type):
            raise ValueError(f"column {name!r} does not hold {_KINDS[name]}")
    if "selection" in columns and not set(compute.unique(table["selection"]).to_pylist()) <= set(get_args(Selection)):
        raise ValueError("it has rows of an unknown selection")
    for name in {"label", "prediction"}.intersection(columns):
        if len(table) and compute.min(table[name]).as_py() < 0:
            raise ValueError(f"column {name!r} has numbers below 0")
