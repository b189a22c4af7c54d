"""MATLAB annotation files (.mat, up to version 7) as datasets are published with.

A truncated file, or one that isn't MATLAB's, gives a one-line error. MATLAB compresses what it saves, so zlib's
checksum detects changed bytes; in an uncompressed file they can crash scipy without an exception.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.interface import DatasetError, MissingAnnotation


class MatFile:
    """The variables of one file, read as columns.

    A column is a variable (an array of numbers or a cell array of texts) or one field of a struct array. MATLAB has no
    vectors, only 1 × N and N × 1 matrices; both are columns here, also with N = 1.
    """

    def __init__(self, file: Path) -> None:
        """Raises `MissingAnnotation` if the file is not there, and `DatasetError` if it can't be read."""
        from scipy.io import loadmat  # only here: scipy is slow to import

        self.file = file
        if not file.exists():  # scipy says "Reader needs file name or open file-like object"
            raise MissingAnnotation(file)
        try:
            self._variables = loadmat(file, squeeze_me=True, appendmat=False)
        except OSError as error:
            raise DatasetError(
                f"{file} can't be read ({error.strerror or error}); restore it from the dataset's archive"
            ) from error
        except Exception as error:  # scipy passes on whatever exception its parser runs into
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(f"{file} is damaged ({reason}); restore it from the dataset's archive") from error

    def has(self, variable: str, field: str) -> bool:
        """Whether `variable` is a struct array with this field."""
        return field in (getattr(self._variables.get(variable), "dtype", np.dtype(int)).names or ())

    def texts(self, variable: str, field: str | None = None) -> tuple[str, ...]:
        """Texts, stripped of surrounding blanks. Raises `DatasetError` if there is no such column of texts."""
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
        if values.ndim != 1 or not (np.abs(values) < 2**63).all() or (values % 1 != 0).any():
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
