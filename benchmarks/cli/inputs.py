"""Numbers and folders of the command line, within their bounds and in one line if they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.errors import UserError
from results.values.numbers import Bounds
from results.values.text import can_be_path, shown

Number = TypeVar("Number", int, float)


def whole(bounds: Bounds, option: str) -> Callable[[Any], int]:
    """Reads the whole number that an option takes; beyond the bounds, a `UserError` that names the option."""
    return _reader(bounds.whole, option)


def number(bounds: Bounds, option: str) -> Callable[[Any], float]:
    """Reads the number that an option takes, whole or not."""
    return _reader(bounds.number, option)


def _reader(read: Callable[[str], Number], option: str) -> Callable[[Any], Number]:
    def reader(value: Any) -> Number:
        try:
            return read(str(value))
        except ValueError as error:
            raise UserError(f"{option} takes {error}") from error

    reader.__name__ = "number"  # what --help calls it
    return reader


def path(option: str) -> Callable[[Any], Path]:
    """Reads the path that an option takes. An empty one, as of a shell variable that is not set, would mean the
    current folder: a `UserError`."""

    def reader(value: Any) -> Path:
        if not str(value).strip():
            raise UserError(f"{option} is empty; name a folder or file, or leave the option out")
        if not can_be_path(str(value)):
            raise UserError(f"{option} {shown(str(value))} is longer than a path can be")
        return Path(value)

    reader.__name__ = "path"
    return reader


def words(text: str) -> list[str]:
    """`"a, b"` -> `["a", "b"]`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def names(text: str, flag: str) -> list[str]:
    """As `words`. Raises `UserError` naming the flag for a text with an empty entry, which may have been a name, or
    with a name that stands there twice."""
    found = [word.strip() for word in text.split(",")]
    if not all(found):
        raise UserError(f"{flag} has an empty entry: {shown(text)}; remove it, or name what it was")
    if twice := next((word for word in found if found.count(word) > 1), None):
        raise UserError(f"{flag} names {shown(twice)} twice; name it once")
    return found


def whole_numbers(text: str, flag: str, bounds: Bounds) -> list[int]:
    """`"1,2"` -> `[1, 2]`, at least one. Raises `UserError` naming the flag."""
    if not words(text):
        raise UserError(f"{flag} takes numbers separated by commas, not {text!r}")
    try:
        return [bounds.whole(word) for word in words(text)]
    except ValueError as error:
        raise UserError(f"{flag} takes numbers separated by commas, each {error}") from error
