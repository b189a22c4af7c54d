"""Tables as text: Markdown for pages, CSV for programs, plain columns for the terminal. Names are always escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tabulate import tabulate

from reports.cell_format import Column
from reports.contents import Table
from results.store import without_formulas
from results.values.text import in_a_row, in_markdown
from results.values.text_tables import WIDTH, TextColumn, table_lines, wrapped

NOTHING = "Nothing yet."
ROWS = 40


def markdown_text(text: str) -> str:
    """Escapes text for Markdown and the HTML inside it."""
    return in_markdown(in_a_row(text))


def markdown(table: Table, about: str = "") -> str:
    """A pipe table, or `NOTHING` if it has no rows; no line break at the end.

    Above it stand a line of what it is `about` and the values that all rows share, below it what its marks mean.
    """
    if not table.rows:
        return NOTHING
    shared, columns, cells = reduced(table, table.columns)
    headings = [markdown_text(column.heading) for column in columns]
    words = [
        [_cell(text, column.is_strong(row)) for text, column in zip(texts, columns, strict=True)]
        for texts, row in zip(cells, table.rows, strict=True)
    ]
    align = [column.align for column in columns]
    above = ", ".join(filter(None, [about, *shared]))
    text = tabulate(words, headings, "pipe", disable_numparse=True, colalign=align)
    every = (f"*{markdown_text(above)}*" if above else "", text, markdown_text(table.footnote))
    return "\n\n".join(filter(None, every))


def markdown_parts(table: Table) -> str:
    """A pipe table for each part of `table`, without its title; no line break at the end."""
    return "\n\n".join(markdown(part, heading) for heading, part in table.parts()) or NOTHING


def _cell(text: str, strong: bool) -> str:
    return f"**{markdown_text(text)}**" if strong else markdown_text(text)


def sentences(texts: Sequence[str]) -> str:
    """One in bold, or a list of several; no line break at the end."""
    lines = [f"**{markdown_text(text)}**" for text in texts]
    return lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)


def csv(table: Table) -> str:
    """Every number unrounded, under the frame's column names; missing ones are empty. No text is a formula."""
    return without_formulas(table.frame).to_csv(index=False)


def terminal(table: Table, width: int = WIDTH) -> str:
    """The columns that matter most, at most `width` wide unless a name is wider. Values that all rows share stand in
    the title; no name or number is broken or cut."""
    if not table.rows:
        return f"{table.title}: {NOTHING.lower()}"
    title, columns, cells = titled(table, [column for column in table.columns if column.compact])
    shown = [
        TextColumn(column.heading, [row[at] for row in cells[:ROWS]], right=column.align == "right")
        for at, column in enumerate(columns)
    ]
    lines = [*wrapped(title, width), *table_lines(shown, width)]
    lines += wrapped(table.footnote, width) if replace(table, columns=tuple(columns)).footnote else []
    if (more := len(cells) - ROWS) > 0:
        lines.append(f"… {more} more in {table.name}.csv")
    return "\n".join(lines)


def filled(table: Table, columns: Sequence[Column]) -> tuple[list[Column], list[list[str]]]:
    """The columns that have a value in some row, and the cells by row, each one line."""
    shown = [(column, [in_a_row(column.show(row)) for row in table.rows]) for column in columns]
    kept = [(column, texts) for column, texts in shown if column.is_shown(texts)]
    return [column for column, _ in kept], list(map(list, zip(*(texts for _, texts in kept), strict=True)))


def titled(table: Table, columns: Sequence[Column]) -> tuple[str, list[Column], list[list[str]]]:
    """As `reduced`, but the shared values are in the table's title."""
    shared, columns, cells = reduced(table, columns)
    return table.title + (f" ({', '.join(shared)})" if shared else ""), columns, cells


def reduced(table: Table, columns: Sequence[Column]) -> tuple[list[str], list[Column], list[list[str]]]:
    """`heading value` of each column after the first whose value all rows share; the others as `filled` has them."""
    columns, cells = filled(table, columns)
    common = [place for place in common_columns(columns, cells) if place > 0]
    kept = [place for place in range(len(columns)) if place not in common]
    shared = told(columns, cells, common)
    return shared, [columns[place] for place in kept], [[row[place] for place in kept] for row in cells]


def told(columns: Sequence[Column], cells: Sequence[Sequence[str]], common: Sequence[int]) -> list[str]:
    """`heading value` of the `common` columns.

    Of a method as its paper has it, the variant says nothing, and beside a recipe's name it confuses.
    """
    values = [(columns[place].heading, cells[0][place]) for place in common]
    return [f"{heading} {value}" for heading, value in values if (heading, value) != ("variant", "paper")]


def common_columns(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    """The places of naming columns that have one value in all rows."""
    return [at for at, column in enumerate(columns) if column.naming and len({row[at] for row in cells}) == 1]


def broken(heading: str, limit: int = 12) -> str:
    """A heading in lines of about `limit` characters."""
    lines = [""]
    for word in re.findall(r"[^ -]*-?[ ]?", heading):
        if lines[-1] and len(lines[-1]) + len(word.rstrip()) > limit:
            lines.append(word)
        else:
            lines[-1] += word
    return "\n".join(line.strip() for line in lines)
