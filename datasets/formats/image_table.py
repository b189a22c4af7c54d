"""`images.csv`, the table of people's own images: as text in any marked encoding, with commas, semicolons or tabs.

Spreadsheets may begin it with a line `sep=;`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from datasets.formats.encoded_text import read_text
from datasets.interface import DatasetError
from results.files import put_whole

TABLE = "images.csv"
COLUMNS = ("path", "label", "split")
BOX_COLUMNS = ("x", "y", "width", "height")
SEPARATORS = ",;\t"


def read_table(file: Path) -> list[tuple[int, dict[str, str]]]:
    """The lines of the table, each with its number, as column -> field; empty lines are skipped.

    The columns are `COLUMNS` and, all or none, `BOX_COLUMNS`; others are passed on. Raises `DatasetError` naming file
    and line, and the encoding if that is why it can't be read.
    """
    columns, *rows = _records(file)
    names = [name.strip().lower() for name in columns[1]]
    _check_columns(file, names)
    for line, fields in rows:
        if len(fields) != len(names):
            raise DatasetError(
                f"{file}, line {line}: {len(fields)} fields, but the first line names {len(names)} columns; "
                'correct the line, and quote names that contain a comma ("a, b")'
            )
    return [(line, dict(zip(names, fields, strict=True))) for line, fields in rows]


def write_table(file: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Writes path, label and split of each image, whole or not at all. Raises `DatasetError` if it can't."""
    lines = [COLUMNS, *rows]
    # Unquoted, a space at the beginning is not read, and a carriage return ends the line.
    quoted = any(field.startswith(" ") or "\r" in field for line in lines for field in line)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows(lines)
    try:
        put_whole(file, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8", newline=""))
    except OSError as error:
        raise DatasetError(f"{file} can't be written ({error.strerror or error}); free space or permit it") from error


def _records(file: Path) -> list[tuple[int, list[str]]]:
    """Number and fields of each line that is not empty, the names of the columns first."""
    text = read_text(file)
    named = text.startswith("sep=")
    separator = text[4:5] if named else _separator(text.lstrip().partition("\n")[0])
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        found = [(reader.line_num, fields) for fields in reader if fields not in ([], [""])][named:]
    except (TypeError, ValueError, csv.Error) as error:
        raise DatasetError(f"{file} can't be read as CSV: {error}") from error
    if not found:
        raise DatasetError(f"{file} can't be read as CSV: it is empty")
    return found


def _separator(first_line: str) -> str:
    """The separator with which the first line has most of the columns; a comma if none has any."""

    def matches(separator: str) -> int:
        return sum(name.strip(' "\r').lower() in COLUMNS for name in first_line.split(separator))

    return max(SEPARATORS, key=matches)


def _check_columns(file: Path, names: list[str]) -> None:
    needed = list(COLUMNS)
    if any(column in names for column in BOX_COLUMNS):
        needed += BOX_COLUMNS
    for column in needed:
        if names.count(column) > 1:
            raise DatasetError(f"{file} has the column {column!r} twice; remove one of them")
        if column not in names:
            raise DatasetError(
                f"{file} has no column {column!r}; it needs {', '.join(needed)} and has {', '.join(names)}"
            )
