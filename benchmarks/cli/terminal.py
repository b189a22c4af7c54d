"""What the command line takes and shows: words, numbers, the device; rows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks.errors import UserError

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
"""Tables fold to the terminal, or to COLUMNS; in a file or a pipe they have room."""


def show(rows: Sequence[dict[str, Any]], title: str, as_json: bool = False) -> None:
    """Rows as a table, or as JSON for programs. Names from outside stay text."""
    if as_json:
        print(json.dumps(list(rows), indent=2))  # noqa: T201 - the program's output
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # Folded, not cut: what is cut off may be all that tells two rows apart.
    table = Table(*(Column(column, overflow="fold") for column in columns), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table, markup=False)


def _cell(value: Any) -> str:
    return "–" if value is None else "yes" if value is True else "no" if value is False else str(value)


def words(text: str) -> list[str]:
    """`"a, b"` -> `["a", "b"]`."""
    return [word.strip() for word in text.split(",") if word.strip()]


def whole_numbers(text: str, flag: str) -> list[int]:
    """`"1,2"` -> `[1, 2]`, one at the least. Raises `UserError` naming the flag."""
    try:
        numbers = [int(word) for word in words(text)]
    except ValueError:
        numbers = []
    if not numbers:
        raise UserError(f"{flag} takes numbers separated by commas, not {text!r}")
    return numbers
