"""Tables for a paper: LaTeX with booktabs, ready for `\\input`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from reports.cell_format import Column
from reports.contents import Table
from reports.render.markdown import NOTHING, broken, filled, titled
from results.values.text import in_a_row

LONGEST = 32
"""Most letters of a cell that is set in one line."""
_PARAGRAPH = r">{\raggedright\arraybackslash}p{38mm}"
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_ESCAPED |= {symbol: f"\\{symbol}" for symbol in "&%$#_{}"}
_ESCAPED |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
_ESCAPED |= {"±": r"$\pm$", "≈": r"$\approx$", "−": "$-$", "→": r"$\rightarrow$", "·": r"$\cdot$"}
_ESCAPED |= {"…": r"\dots{}", "–": "--"}
# LaTeX would read them as arguments of the `\\` before them.
_ESCAPED |= {"[": "{[}", "*": "{*}"}
_SPECIAL = re.compile("|".join(re.escape(symbol) for symbol in _ESCAPED))


def latex_text(text: str) -> str:
    """Escapes text for LaTeX. Letters beyond Latin need an engine that has them (LuaLaTeX).

    More than pandas and tabulate escape: also signs such as ± and −, and `[` and `*` at the start of a row.
    """
    return _SPECIAL.sub(lambda found: _ESCAPED[found[0]], in_a_row(text))


def latex(table: Table) -> str:
    """A floating table per part of `table`, with its printed columns; the note is a comment.

    Values that all rows share are in the caption. Needs the packages array, booktabs and graphicx.
    """
    if not table.rows:
        return f"% {in_a_row(table.title)}: {NOTHING}\n"
    floats = [_float(part, number) for number, (_, part) in enumerate(table.parts(), 1)]
    head = [
        "% Needs \\usepackage{array,booktabs,graphicx}.",
        *textwrap.wrap(table.note, 116, initial_indent="% ", subsequent_indent="% "),
    ]
    return "\n\n".join(["\n".join(head), *floats]) + "\n"


def tabular(table: Table) -> str:
    """The printed columns as a bare `tabular`; no line break at the end."""
    if not table.rows:
        return latex_text(NOTHING)
    return "\n".join([_ruled(*filled(table, _printed(table))), *_footnote(table)])


def sentences(texts: Sequence[str]) -> str:
    """One in bold, or a list of several, as in Markdown."""
    lines = [f"\\textbf{{{latex_text(text)}}}" for text in texts]
    if len(lines) == 1:
        return lines[0]
    return "\n".join(["\\begin{itemize}", *(f"\\item {line}" for line in lines), "\\end{itemize}"])


def _float(table: Table, number: int) -> str:
    title, columns, cells = titled(table, _printed(table))
    body, caption = _ruled(columns, cells), latex_text(title)
    label = f"tab:{table.name.replace('_', '-')}-{number}"
    lines = ["\\begin{table*}", "\\centering", f"\\caption{{{caption}.}}", f"\\label{{{label}}}", "\\small"]
    # Only a table that is wider than the page is scaled down.
    lines += ["\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%", body, "}"]
    return "\n".join([*lines, *_footnote(table), "\\end{table*}"])


def _footnote(table: Table) -> list[str]:
    """A line below the tabular, if a rate that is printed has a mark."""
    footnote = replace(table, columns=tuple(_printed(table))).footnote
    return [f"\\par{{\\footnotesize {latex_text(footnote)}}}"] if footnote else []


def _printed(table: Table) -> list[Column]:
    return [column for column in table.columns if column.compact or column.printed]


def _ruled(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> str:
    sides = "".join(_side(column, [row[place] for row in cells]) for place, column in enumerate(columns))
    heading = " & ".join(map(_heading, columns)) + r" \\"
    rows = [" & ".join(map(_cell, row, columns)) + r" \\" for row in cells]
    lines = [
        f"\\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        heading,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def _side(column: Column, cells: Sequence[str]) -> str:
    """The column's type; long text becomes a paragraph."""
    if column.align == "right":
        return "r"
    return _PARAGRAPH if max(map(len, cells)) > LONGEST else "l"


def _heading(column: Column) -> str:
    lines = [latex_text(line) for line in broken(column.heading).splitlines()]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) == 1 else f"\\shortstack[{column.align[0]}]{{{stacked}}}"


def _cell(text: str, column: Column) -> str:
    """A hyphen before a number becomes a minus; one in a name stays."""
    return latex_text(_MINUS.sub("−", text) if column.align == "right" else text)
