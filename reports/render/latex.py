"""Tables for a paper: LaTeX with booktabs and siunitx, ready for `\\input`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from reports.contents import Table
from reports.render.latex_layout import BOLD, GAP, PAGE, Panel, Printed, chosen, laid_out
from reports.render.latex_text import breakable, latex_text, lines, number_format, text_width, value
from reports.render.markdown import NOTHING, filled, titled
from results.values.text import in_a_row

PREAMBLE = (
    r"\usepackage[T1]{fontenc}",
    r"\usepackage{array,booktabs,longtable,siunitx,threeparttable}",
)
"""What a document with these tables needs."""
LINES = 32
"""Of caption, rows and notes that a page has room for at 12 points; a longer table goes on over pages."""
WORD = 10.0
"""Width of a word in em up to which it stays whole in a caption or a note."""
_NUMBERS = r"\sisetup{retain-explicit-plus,text-series-to-math,propagate-math-font}"
_LOOK = f"\\setlength{{\\tabcolsep}}{{{GAP / 2}em}}\n{_NUMBERS}"
"""Of a table, for as long as its environment lasts. Without the two last options numbers are never bold."""


def latex(table: Table) -> str:
    """The parts of `table`, each a floating table as wide as the text of one or two columns, or a `longtable` if a page
    is too short for it. Values that all rows share are in the caption, notes below the rows."""
    if not table.rows:
        return f"% {in_a_row(table.title)}: {NOTHING}\n"
    head = [f"% In the preamble: {''.join(PREAMBLE)}", "% A longtable needs \\onecolumn in a document of two columns."]
    panels = [(part, *found) for _, part in table.parts() for found in _titled_panels(part)]
    floats = [
        _set(part, title, panel, f"tab:{table.name.replace('_', '-')}-{number}")
        for number, (part, title, panel) in enumerate(panels, 1)
    ]
    return "\n\n".join(["\n".join(head), *floats]) + "\n"


def document(names: Iterable[str]) -> str:
    """A document with these tables, each from its file: to look at them, and to copy from."""
    inputs = [f"\\input{{{name}}}\n\\clearpage" for name in names]
    lines = [
        r"\documentclass{article}",
        *PREAMBLE,
        r"\extrafloats{500}",
        r"\begin{document}",
        *inputs,
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def tabular(table: Table) -> str:
    """The printed columns as a bare `tabular`, or several if a page is too narrow; no line break at the end."""
    if not table.rows:
        return latex_text(NOTHING)
    panels = laid_out(table, *filled(table, chosen(table)))
    shown = [printed.column for panel in panels for printed in panel.columns]
    footnote = replace(table, columns=tuple(shown)).footnote
    notes = [f"\\par{{\\footnotesize {latex_text(footnote)}}}"] if footnote else []
    return "\n".join([_LOOK, *("\n".join(_tabular(panel)) for panel in panels), *notes])


def sentences(texts: Sequence[str]) -> str:
    """One in bold, or a list of several, as in Markdown."""
    lines = [f"\\textbf{{{latex_text(text)}}}" for text in texts]
    if len(lines) == 1:
        return lines[0]
    return "\n".join(["\\begin{itemize}", *(f"\\item {line}" for line in lines), "\\end{itemize}"])


def _titled_panels(part: Table) -> Iterator[tuple[str, Panel]]:
    title, columns, cells = titled(part, chosen(part))
    panels = laid_out(part, columns, cells)
    for number, panel in enumerate(panels, 1):
        yield title + (f", {number} of {len(panels)}" if len(panels) > 1 else ""), panel


def _set(part: Table, title: str, panel: Panel, label: str) -> str:
    shown = replace(part, columns=tuple(printed.column for printed in panel.columns))
    meanings = [f"{heading}: {meaning}." for heading, meaning in shown.meanings]
    notes = list(filter(None, [shown.footnote, " ".join([part.note, *meanings]).strip()]))
    length = lines(title, PAGE) + panel.lines + sum(lines(note, 1.5 * PAGE) for note in notes)
    caption = f"\\caption{{{breakable(title, WORD)}.}}\\label{{{label}}}"
    return "\n".join((_long if length > LINES else _float)(panel, caption, [breakable(note, WORD) for note in notes]))


def _float(panel: Panel, caption: str, notes: Sequence[str]) -> Iterator[str]:
    yield from (r"\begin{table*}", r"\centering\sloppy", _LOOK)
    yield from (r"\begin{threeparttable}", r"\renewcommand{\TPTminimum}{0.75\linewidth}", caption)
    yield from _tabular(panel)
    if notes:
        yield from (r"\begin{tablenotes}[flushleft]\footnotesize", *(f"\\item {note}" for note in notes))
        yield r"\end{tablenotes}"
    yield from (r"\end{threeparttable}", r"\end{table*}")


def _long(panel: Panel, caption: str, notes: Sequence[str]) -> Iterator[str]:
    columns = _columns(panel)
    head = [r"\toprule", *_headings(columns, over_pages=True), r"\midrule"]
    yield from (r"\begingroup\sloppy", r"\setlength{\LTcapwidth}{\linewidth}", _LOOK)
    yield from (f"\\begin{{longtable}}{{{_sides(columns)}}}", caption + r" \\", *head, r"\endfirsthead")
    yield from (r"\caption[]{(continued)} \\", *head, r"\endhead", r"\bottomrule", r"\endfoot")
    yield from (*_rows(panel, columns), r"\end{longtable}")
    yield from (f"\\noindent{{\\footnotesize {note}\\par}}" for note in notes)
    yield r"\endgroup"


class _Column:
    """A column of a table, as one of LaTeX, or as two where values have a spread or marks."""

    def __init__(self, printed: Printed) -> None:
        self.printed = printed
        self.values = [value(cell) for cell in printed.cells] if printed.column.align == "right" else []
        self.format = number_format(self.values)
        self.tails = any(one.tail for one in self.values)

    @property
    def side(self) -> str:
        """Its type in a `tabular`."""
        if self.printed.wrap:
            return _paragraph(self.printed.wrap)
        one = f"S[table-format={self.format}]" if self.format else self.printed.column.align[0]
        return one + ("@{}l" if self.tails else "")

    def heading(self, text: str, over_pages: bool) -> str:
        """A line of its heading."""
        if self.tails:
            # A longtable adds the width of what spans columns in its head to theirs; so it has none there.
            box = r"\makebox[0pt]" if over_pages else ""
            return f"\\multicolumn{{2}}{{c}}{{{box}{{{latex_text(text)}}}}}"
        return f"{{{latex_text(text)}}}" if self.format else latex_text(text)

    def cell(self, row: int) -> str:
        """What stands in a row."""
        strong = self.printed.strong[row]
        if not self.values:
            text = breakable(self.printed.cells[row], (self.printed.wrap or math.inf) / (BOLD if strong else 1))
            return f"\\textbf{{{text}}}" if strong else text
        one = self.values[row]
        text = f"\\textbf{{{one.text}}}" if strong and one.text else one.text
        if self.format:
            text = (r"\bfseries " if strong else "") + one.number if one.number else f"{{{text}}}"
        tail = (r"\bfseries\boldmath " if strong and one.tail else "") + one.tail
        return f"{text} & {tail}" if self.tails else text


def _paragraph(width: float) -> str:
    return f">{{\\raggedright\\arraybackslash}}p{{{width:.1f}em}}"


def _columns(panel: Panel) -> list[_Column]:
    return [_Column(printed) for printed in panel.columns]


def _tabular(panel: Panel) -> Iterator[str]:
    columns = _columns(panel)
    yield from (f"\\begin{{tabular}}{{{_sides(columns)}}}", r"\toprule", *_headings(columns), r"\midrule")
    yield from (*_rows(panel, columns), r"\bottomrule", r"\end{tabular}")


def _sides(columns: Sequence[_Column]) -> str:
    return f"@{{}}{''.join(column.side for column in columns)}@{{}}"


def _headings(columns: Sequence[_Column], over_pages: bool = False) -> Iterator[str]:
    """Lines that end together."""
    upwards = list(zip_longest(*(reversed(column.printed.heading) for column in columns), fillvalue=""))
    for line in reversed(upwards):
        yield _row(column.heading(text, over_pages) for column, text in zip(columns, line, strict=True))


def _rows(panel: Panel, columns: Sequence[_Column]) -> Iterator[str]:
    width = sum(1 + column.tails for column in columns)
    for place, (shared, rows) in enumerate(panel.groups.items()):
        if shared:
            yield from [r"\addlinespace"] * (place > 0)
            side = "l" if text_width(shared) <= panel.heading else _paragraph(panel.heading)
            text = breakable(shared, panel.heading)
            yield f"\\multicolumn{{{width}}}{{@{{}}{side}@{{}}}}{{\\itshape {text}}} \\\\*"
        yield from (_row(column.cell(row) for column in columns) for row in rows)


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
