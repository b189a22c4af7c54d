"""`images.csv`, the table of people's own images: as text in any marked encoding, with commas, semicolons or tabs.

Written by spreadsheets, it may be UTF-8 or UTF-16 with a byte order mark, and begin with a line `sep=;`. Without a mark
it must be UTF-8: Windows-1252 and its relatives can't be told apart, and a wrong guess would rename classes.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

from datasets.interface import DatasetError

TABLE = "images.csv"
COLUMNS = ("path", "label", "split")
BOX_COLUMNS = ("x", "y", "width", "height")
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SEPARATORS = ",;\t"
SAVE = "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"


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
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as text:
            csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
            text.flush()
            os.fsync(text.fileno())
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DatasetError(f"{file} can't be written ({error.strerror or error}); free space or permit it") from error


def _records(file: Path) -> list[tuple[int, list[str]]]:
    """Number and fields of each line that is not empty, the names of the columns first."""
    text = _text(file)
    named = text.startswith("sep=")
    separator = text[4:5] if named else _separator(text.lstrip().partition("\n")[0])
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
        found = [(reader.line_num, fields) for fields in reader if fields not in ([], [""])][named:]
    except (TypeError, csv.Error) as error:
        raise DatasetError(f"{file} can't be read as CSV: {error}") from error
    if not found:
        raise DatasetError(f"{file} can't be read as CSV: it is empty")
    return found


def _text(file: Path) -> str:
    """The file's text, in the encoding that its byte order mark names, or in UTF-8."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file} can't be read: {error.strerror or error}") from error
    encoding = next((encoding for mark, encoding in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise DatasetError(
                f"{file} begins like {encoding.upper()} and is damaged ({error.reason}); {SAVE}"
            ) from error
        if b"\0" in data:
            raise DatasetError(f"{file} is not UTF-8 but probably UTF-16 without its mark; {SAVE}") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{file}, line {line}: is not UTF-8 but {_guess(data, error.start)}; {SAVE}") from error
    if "\0" in text:
        raise DatasetError(f"{file} is not UTF-8 but probably UTF-16 without its mark; {SAVE}")
    return text


def _guess(data: bytes, place: int) -> str:
    """The probable encoding, with the word at `place` as it reads in it."""
    start = max(data.rfind(mark, 0, place) for mark in (b",", b";", b"\t", b"\n", b"/")) + 1
    word = data[start : place + 20].decode("cp1252", errors="replace")
    for mark in ",;\t\r\n/":
        word = word.partition(mark)[0]
    return f"probably Windows-1252 (cp1252), in which it reads {word!r}"


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
