"""Printing lines and tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import typer

from benchmarks import interruption
from benchmarks.console import PlainConsole
from results.values.text import visible
from results.values.text_tables import MISSING, WIDTH, TextColumn, table_lines, together, without_shared, wrapped

HAS_WIDTH = sys.stdout.isatty() or "COLUMNS" in os.environ
console = PlainConsole(width=None if HAS_WIDTH else WIDTH)
"""Tables fit the terminal, or COLUMNS; in a file or a pipe they are at most `WIDTH` characters wide."""


def line(text: object, style: str | None = None) -> None:
    """Prints text as it is: no markup, no control characters. A terminal's lines are broken between words; in a file
    every text stays a line, which programs can search."""
    shown = visible(str(text))
    console.print("\n".join(wrapped(shown, console.width)) if HAS_WIDTH else shown, style=style, soft_wrap=True)


def lines(texts: Iterable[object], style: str | None = None) -> None:
    """Prints each text as a `line`."""
    for text in texts:
        line(text, style)


def interrupted(advice: str) -> NoReturn:
    """Says how to go on after a Ctrl-C or SIGTERM, and ends the command."""
    line(f"\ninterrupted: {advice}", style="red")
    interruption.answered()
    raise typer.Exit(interruption.exit_code()) from None


def show(rows: Sequence[dict[str, Any]], title: str, as_json: bool = False) -> None:
    """Prints rows as a table below a title, or as JSON for programs. Names from outside are not read as markup.

    What all rows share is said once, above them; a column in which no row has a value is left out.
    """
    if as_json:
        print(json.dumps(list(rows), indent=2))  # noqa: T201 - the program's output
        return
    names = dict.fromkeys(key for row in rows for key in row if row[key] is not None)
    columns, shared = without_shared([_column(name, [row.get(name) for row in rows]) for name in names])
    lines([title] * bool(title), style="bold")
    lines(together([f"all rows: {one}" if one is shared[0] else one for one in shared], console.width))
    print_table(columns)


def print_table(columns: Sequence[TextColumn]) -> None:
    """Prints a table in the form that fits the terminal."""
    console.print("\n".join(table_lines(columns, console.width)), soft_wrap=True)


def _column(heading: str, values: Sequence[Any]) -> TextColumn:
    numbers = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    return TextColumn(visible(heading), [_cell(value) for value in values], right=numbers)


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(str(value)).replace("\n", "\\n")
