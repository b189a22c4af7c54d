"""Annotation files of MATLAB (.mat, up to version 7), as the sites of datasets hand them out.

A file cut short, or not MATLAB's at all, is told in one line. MATLAB compresses what it saves, and zlib's checksum
tells of changed bytes; in an uncompressed file scipy can crash on them, with no error to catch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from datasets.interface import DatasetError


class MatFile:
    """The variables of one file, read as columns.

    A column is a variable (an array of numbers, or a cell array of texts), or one field of a variable that is a struct
    array. MATLAB has no vectors, only 1 × N and N × 1 matrices: both are columns here, of one row too.
    """

    def __init__(self, file: Path) -> None:
        """Raises `DatasetError` if the file is missing or can't be read."""
        self.file = file
        try:
            self._variables = loadmat(file, squeeze_me=True, appendmat=False)
        except OSError as error:
            raise DatasetError(
                f"{file} can't be read ({error.strerror or error}); restore it from the dataset's archive"
            ) from error
        except Exception as error:  # scipy lets through whatever its parser stumbles over
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(f"{file} is damaged ({reason}); restore it from the dataset's archive") from error

    def has(self, variable: str, field: str) -> bool:
        """Whether a struct array of this name has this field."""
        return field in (getattr(self._variables.get(variable), "dtype", np.dtype(int)).names or ())

    def texts(self, variable: str, field: str | None = None) -> tuple[str, ...]:
        """Texts without the blanks around them. Raises `DatasetError` if there is no such column of texts."""
        column = self._column(variable, field)
        if not all(isinstance(value, str) for value in column):
            raise self._error(variable, field, "does not hold texts")
        return tuple(value.strip() for value in column)

    def integers(self, variable: str, field: str | None = None) -> NDArray[np.int64]:
        """Whole numbers of any MATLAB type, `(N,)`. Raises `DatasetError` if there is no such column of them."""
        try:
            values = np.array(self._column(variable, field).tolist(), dtype=np.float64)
        except (TypeError, ValueError):
            values = np.array([np.nan])
        if values.ndim != 1 or not np.isfinite(values).all() or (values % 1 != 0).any():
            raise self._error(variable, field, "does not hold whole numbers")
        return values.astype(np.int64)

    def _column(self, variable: str, field: str | None) -> NDArray[Any]:
        if variable not in self._variables or (field is not None and not self.has(variable, field)):
            raise self._error(variable, field, "is not in it")
        values = np.asarray(self._variables[variable])
        return np.atleast_1d(values if field is None else values[field])

    def _error(self, variable: str, field: str | None, fault: str) -> DatasetError:
        name = variable if field is None else f"{variable}.{field}"
        return DatasetError(f"{self.file}: {name!r} {fault}; restore the file from the dataset's archive")
