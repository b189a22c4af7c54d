"""Tables for a paper: LaTeX with booktabs, ready for `\\input`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from reports.cell_format import Column, one_line
from reports.contents import Table
from reports.render.markdown import NOTHING, broken, filled, titled
from reports.tables.sections import sections

LONGEST = 32
"""Letters of a cell that stay in one line."""
_PARAGRAPH = r">{\raggedright\arraybackslash}p{38mm}"
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_ESCAPED |= {symbol: f"\\{symbol}" for symbol in "&%$#_{}"}
_ESCAPED |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
_ESCAPED |= {"±": r"$\pm$", "≈": r"$\approx$", "−": "$-$", "→": r"$\rightarrow$", "·": r"$\cdot$"}
_ESCAPED |= {"…": r"\dots{}", "–": "--"}
# After the end of a line LaTeX would take them for a distance.
_ESCAPED |= {"[": "{[}", "*": "{*}"}
_SPECIAL = re.compile("|".join(re.escape(symbol) for symbol in _ESCAPED))


def latex_text(text: str) -> str:
    """Any text so that LaTeX sets it as it is. Letters beyond Latin need an engine that has them (LuaLaTeX)."""
    return _SPECIAL.sub(lambda found: _ESCAPED[found[0]], one_line(text))


def latex(table: Table) -> str:
    """A floating table for each part of `table`, by the columns that are printed; the note stands below as a comment.

    What names every row alike is said in the caption. Needs the packages array, booktabs and graphicx.
    """
    if table.frame.empty:
        return f"% {one_line(table.title)}: {NOTHING}\n"
    floats = [_float(part, number) for number, (_, part) in enumerate(sections(table), 1)]
    head = [
        "% Needs \\usepackage{array,booktabs,graphicx}.",
        *textwrap.wrap(table.note, 116, initial_indent="% ", subsequent_indent="% "),
    ]
    return "\n\n".join(["\n".join(head), *floats]) + "\n"


def tabular(table: Table) -> str:
    """The columns that are printed, between rules, for a float of one's own; no line break at the end."""
    if table.frame.empty:
        return latex_text(NOTHING)
    return _ruled(*filled(table, _printed(table)))


def sentences(texts: Sequence[str]) -> str:
    """As in Markdown: one in bold, or a list of several."""
    lines = [f"\\textbf{{{latex_text(text)}}}" for text in texts]
    if len(lines) == 1:
        return lines[0]
    return "\n".join(["\\begin{itemize}", *(f"\\item {line}" for line in lines), "\\end{itemize}"])


def _float(table: Table, number: int) -> str:
    title, columns, cells = titled(table, _printed(table))
    body, caption = _ruled(columns, cells), latex_text(title)
    label = f"tab:{table.name.replace('_', '-')}-{number}"
    lines = ["\\begin{table*}", "\\centering", f"\\caption{{{caption}.}}", f"\\label{{{label}}}", "\\small"]
    # A table that is wider than the page is made smaller; a narrow one stays as it is.
    lines += ["\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%", body, "}", "\\end{table*}"]
    return "\n".join(lines)


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
    """How the column is set; long words are broken into lines."""
    if column.align == "right":
        return "r"
    return _PARAGRAPH if max(map(len, cells)) > LONGEST else "l"


def _heading(column: Column) -> str:
    lines = [latex_text(line) for line in broken(column.heading).splitlines()]
    stacked = r" \\ ".join(lines)
    return stacked if len(lines) == 1 else f"\\shortstack[{column.align[0]}]{{{stacked}}}"


def _cell(text: str, column: Column) -> str:
    """A hyphen before a number is a minus, in a name it stays a hyphen."""
    return latex_text(_MINUS.sub("−", text) if column.align == "right" else text)
