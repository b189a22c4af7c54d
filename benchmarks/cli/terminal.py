"""Printing lines and tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import typer
from rich.table import Column, Table

from benchmarks import interruption
from benchmarks.console import PlainConsole
from results.text import visible

console = PlainConsole(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)
"""Tables fold to the width of the terminal, or to COLUMNS; in a file or a pipe they are 160 characters wide."""


def line(text: object, style: str | None = None) -> None:
    """Prints text as it is: no markup, no line breaks but its own, no control characters."""
    console.print(str(text), style=style, soft_wrap=True)


def lines(texts: Iterable[object], style: str | None = None) -> None:
    """Prints each text as a `line`."""
    for text in texts:
        line(text, style)


def interrupted(advice: str) -> NoReturn:
    """Says how to go on after a Ctrl-C, and ends the command."""
    line(f"\ninterrupted: {advice}", style="red")
    interruption.answered()
    raise typer.Exit(interruption.EXIT_CODE) from None


def show(rows: Sequence[dict[str, Any]], title: str, as_json: bool = False) -> None:
    """Prints rows as a table, or as JSON for programs. Names from outside are not read as markup."""
    if as_json:
        print(json.dumps(list(rows), indent=2))  # noqa: T201 - the program's output
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    # Folded, not cut: what is cut off may be all that distinguishes two rows.
    table = Table(*(Column(column, overflow="fold") for column in columns), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(str(value)).replace("\n", "\\n")
