"""Tables as people save them: UTF-8 or UTF-16 with a byte order mark, as spreadsheets and editors write it.

Without a mark a table must be UTF-8: Windows-1252 and its relatives can't be told apart, and a wrong guess would rename
classes.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from datasets.interface import DatasetError, MissingAnnotation

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAVE = "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"


def read_text(file: Path) -> str:
    """The file's text, in the encoding that its byte order mark names, or in UTF-8.

    Raises `MissingAnnotation` if there is no file, and `DatasetError`, with the encoding that it probably has, if it
    can't be read.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise MissingAnnotation(file) from None
    except OSError as error:
        raise DatasetError(f"{file} can't be read: {error.strerror or error}") from error
    encoding = next((encoding for mark, encoding in MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise DatasetError(f"{file} is not UTF-8 but probably UTF-16 without its mark; {SAVE}")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise _damaged(file, encoding, error.reason) from error
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{file}, line {line}: is not UTF-8 but {_guess(data, error.start)}; {SAVE}") from error
    if "\0" in text:
        raise _damaged(file, encoding, "it holds a zero")
    return text


def _damaged(file: Path, encoding: str, reason: str) -> DatasetError:
    """Of a file that begins with the mark of `encoding`."""
    return DatasetError(f"{file} begins like {encoding.upper()} and is damaged ({reason}); {SAVE}")


def _guess(data: bytes, place: int) -> str:
    """The probable encoding, with the word at `place` as it reads in it."""
    start = max(data.rfind(mark, 0, place) for mark in (b",", b";", b"\t", b"\n", b"/")) + 1
    word = data[start : place + 20].decode("cp1252", errors="replace")
    for mark in ",;\t\r\n/":
        word = word.partition(mark)[0]
    return f"probably Windows-1252 (cp1252), in which it reads {word!r}"
