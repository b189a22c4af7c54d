"""The tables that are stored with a Run, read with the columns and kinds of values that a Run writes, or not at all.

Records from before checksums have files that nothing vouches for, and damaged bytes make readers raise errors of many
types, or return a table of other types.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd

from results.record import Selection

if TYPE_CHECKING:
    import pyarrow

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


def read_history(content: bytes) -> pd.DataFrame:
    """A row per epoch from CSV. Raises `ValueError` for what is no history."""
    try:
        table = pd.read_csv(io.BytesIO(content))
    except Exception as error:
        raise ValueError("it is no table") from error
    if not {"epoch", "loss", "test_top1"} <= set(table.columns):
        raise ValueError("its columns are not those of a history")
    columns = {name: column.to_numpy() for name, column in table.items()}  # pandas takes longer to compare than to read
    for name, values in columns.items():
        if name != "phase" and values.dtype.kind not in "iuf":
            raise ValueError(f"column {name!r} does not hold numbers")
    epochs = columns["epoch"]
    if not ((np.diff(epochs) > 0).all() and (epochs >= 1).all() and (epochs % 1 == 0).all()):
        raise ValueError("its epochs don't rise")
    for name in {"test_top1", "validation_top1"}.intersection(columns):
        shares = columns[name]
        if not (np.isnan(shares) | ((shares >= 0) & (shares <= 1))).all():
            raise ValueError(f"column {name!r} leaves 0 .. 1")
    return table


def read_predictions(content: bytes, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A row per selection and test image from Parquet; with `columns`, only these. Raises `ValueError` for what is no
    table of predictions."""
    from pyarrow import parquet  # only where predictions are read: `status` uses the store too

    try:
        file = parquet.ParquetFile(io.BytesIO(content))
        if file.metadata.num_rows > LARGEST:
            raise ValueError("it claims more rows than any test set has")
        table = file.read(columns=list(columns) if columns else None)
        table.validate(full=True)  # that words are UTF-8, and that lists lie within their values
        read: pd.DataFrame = table.to_pandas(ignore_metadata=True)
        _check(table, columns or tuple(_KINDS))
    except Exception as error:
        raise ValueError("it is no table of predictions") from error
    return read


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
