"""Tables and paragraphs as lines of text of a given width, in which no word, number or name is broken.

A table that is too wide takes the first of these forms that fits: its cells in up to `MOST_LINES` lines; the names of
each row on a line above its values; each row as its first cell and `heading: value` pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest

from rich.cells import cell_len

WIDTH = 120
"""Characters of a line in a file, which has no width of its own."""
MOST_LINES = 3
"""Lines of a cell; more are hard to read beside cells of one line."""
MISSING = "–"
GAP = "  "
INDENT = "  "
SEPARATOR = " · "
_HEADING = 12
"""Characters of a heading's line, where its column needs no more."""
_SHORT = 16
"""Columns of at most this width have one line before longer ones get room."""
_NUMBER = re.compile(r"[(<>≈~]?[+−-]?\d[\d.]*|[±<>≈…]")


@dataclass(frozen=True)
class TextColumn:
    """A heading and its cells, one a row; lines of a cell are kept apart."""

    heading: str
    cells: Sequence[str]
    right: bool = False
    """Whether it holds numbers: aligned at the right, never in several lines."""

    @property
    def least(self) -> int:
        """The width below which a word or number would be broken."""
        cells = [cell if self.right else piece for cell in self.cells for piece in pieces(cell)]
        return max(_width(word) for word in [*_words_of_heading(self.heading), *cells, ""])

    @property
    def most(self) -> int:
        """The width at which every cell has one line."""
        cells = max([_width(line) for cell in self.cells for line in cell.split("\n")], default=0)
        heading = max(map(_width, _broken_heading(self.heading, max(_HEADING, cells))))
        return max(cells, heading, self.least)


def without_shared(columns: Sequence[TextColumn]) -> tuple[list[TextColumn], list[str]]:
    """The columns that distinguish rows, and as `heading value` those after the first with one value in all rows."""
    shared = [
        one for one in columns[1:] if len(one.cells) > 1 and len(set(one.cells)) == 1 and "\n" not in one.cells[0]
    ]
    kept = [one for one in columns if one not in shared]
    return kept, [f"{one.heading} {one.cells[0]}" for one in shared]


def together(parts: Sequence[str], width: int) -> list[str]:
    """As many parts on each line as fit, with ` · ` between them; what is longer than a line stays alone."""
    lines: list[str] = []
    for part in parts:
        if lines and _width(lines[-1] + SEPARATOR + part) <= width:
            lines[-1] += SEPARATOR + part
        else:
            lines.append(part)
    return lines


def table_lines(columns: Sequence[TextColumn], width: int) -> list[str]:
    """The table, at most `width` wide unless a single word is wider."""
    if not columns:
        return []
    if widths := _fitted(columns, width, MOST_LINES):
        return [*_head(columns, widths), *(line for row in _rows(columns, widths) for line in row)]
    names = next((at for at, column in enumerate(columns) if column.right), len(columns) - 1)
    for lines, split in product((1, MOST_LINES), range(1, names + 1)):
        labels = [SEPARATOR.join(cells) for cells in zip(*(column.cells for column in columns[:split]), strict=True)]
        widths = _fitted(columns[split:], width - len(INDENT), lines)
        if widths and max(map(_width, labels)) <= width:
            return list(_labelled(columns[:split], labels, columns[split:], widths))
    return list(_stacked(columns, width))


def wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most `width`, unless a single word is wider; what continues a line is indented below it."""
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        if _width(line) <= width:
            lines.append(line)
            continue
        first, *rest = _filled(pieces(line.strip(" ")), width - len(indent) - len(INDENT))
        lines += [indent + first, *(indent + INDENT + one for one in rest)]
    return lines


def pieces(text: str) -> list[str]:
    """The parts between which a line may be broken: at spaces, but not beside a number or before ` · `."""
    found: list[str] = []
    for word in re.split("[ \n]", text):
        if found and (word == "·" or _bound(found[-1].rpartition(" ")[2], word)):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def _bound(word: str, following: str) -> bool:
    """Whether a number would be torn from what it counts: `5 994`, `0.8 GB`, `seed 0`, `84.1 ± 0.5`."""
    if _NUMBER.fullmatch(word):
        return True
    return bool(_NUMBER.fullmatch(following.rstrip(",;:.)"))) and word[-1:].isalpha()


def _width(text: str) -> int:
    return cell_len(text)


def _words_of_heading(heading: str) -> list[str]:
    """Headings may also be broken behind a hyphen."""
    return re.findall(r"[^ -]*-|[^ -]+", heading) or [""]


def _broken_heading(heading: str, width: int) -> list[str]:
    return [line.strip() for line in _filled(re.findall(r"[^ -]*-|[^ -]+ ?| ", heading), width, "")] or [""]


def _filled(parts: Sequence[str], width: int, glue: str = " ") -> list[str]:
    """As many parts on each line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and _width(lines[-1] + glue + part.rstrip()) <= width:
            lines[-1] += glue + part
        else:
            lines.append(part)
    return lines


def _cell(text: str, width: int) -> list[str]:
    return [line for given in text.split("\n") for line in _filled(pieces(given), width)]


def _fitted(columns: Sequence[TextColumn], width: int, lines: int) -> list[int]:
    """Widths of columns that fit `width`; none if some cell would be broken or have too many lines."""
    room = width - len(GAP) * (len(columns) - 1)
    widths, most = [column.least for column in columns], [column.most for column in columns]
    if sum(widths) > room:
        return []
    while sum(widths) < room and (narrow := [at for at in range(len(columns)) if widths[at] < most[at]]):
        widths[max(narrow, key=lambda at: (most[at] <= _SHORT, most[at] / widths[at]))] += 1
    for column, wide in zip(columns, widths, strict=True):
        if any(len(_cell(line, wide)) > lines for cell in column.cells for line in cell.split("\n")):
            return []
    return widths


def _head(columns: Sequence[TextColumn], widths: Sequence[int]) -> list[str]:
    headings = [_broken_heading(column.heading, wide) for column, wide in zip(columns, widths, strict=True)]
    height = max(map(len, headings))
    headings = [[""] * (height - len(heading)) + heading for heading in headings]
    return [*_beside(headings, columns, widths), GAP.join("-" * wide for wide in widths)]


def _rows(columns: Sequence[TextColumn], widths: Sequence[int]) -> Iterator[list[str]]:
    """The lines of each row."""
    for cells in zip(*(column.cells for column in columns), strict=True):
        yield _beside(
            [
                [cell] if column.right else _cell(cell, wide)
                for cell, column, wide in zip(cells, columns, widths, strict=True)
            ],
            columns,
            widths,
        )


def _beside(cells: Sequence[Sequence[str]], columns: Sequence[TextColumn], widths: Sequence[int]) -> list[str]:
    """Cells, each with its lines, beside each other."""
    lines = []
    for parts in zip_longest(*cells, fillvalue=""):
        padded = []
        for part, column, wide in zip(parts, columns, widths, strict=True):
            space = " " * (wide - _width(part))
            padded.append(space + part if column.right else part + space)
        lines.append(GAP.join(padded).rstrip())
    return lines


def _labelled(
    names: Sequence[TextColumn], labels: Sequence[str], values: Sequence[TextColumn], widths: Sequence[int]
) -> Iterator[str]:
    """The names of each row on a line of their own, above its values."""
    yield SEPARATOR.join(column.heading for column in names)
    yield from (INDENT + line for line in _head(values, widths))
    for label, lines in zip(labels, _rows(values, widths), strict=True):
        yield label
        yield from (INDENT + line for line in lines)


def _stacked(columns: Sequence[TextColumn], width: int) -> Iterator[str]:
    """Each row as its first cell, then its other cells with their headings."""
    for cells in zip(*(column.cells for column in columns), strict=True):
        yield from wrapped(cells[0], width)
        pairs = [
            f"{column.heading}: {cell}".replace("\n", "\n" + 2 * INDENT)
            for column, cell in zip(columns[1:], cells[1:], strict=True)
            if cell not in ("", MISSING)
        ]
        lines = together(pairs, width - len(INDENT))
        yield from (line for each in lines for line in wrapped(INDENT + each, width))
