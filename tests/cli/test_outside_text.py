"""What files, classes, datasets and servers are called is shown as text: no terminal, page or spreadsheet obeys it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.cli.views import terminal
from benchmarks.cli.views.displays import CountDisplay, FetchDisplay
from benchmarks.console import PlainConsole
from reports.render.latex_text import latex_text
from reports.render.markdown import markdown_text
from results.store import without_formulas
from results.values.text import LONGEST_LINE, in_a_row, one_line, shown, visible

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "over\rwritten",
    "photo\u202egpj.exe",
    "\u2066isolated\u2069",
    "\x00\x08\x7f",
    "line\u2028break",
    "\udc80half",
]
"""Escape sequences, carriage returns, marks of text direction, half a surrogate pair: names that files can have."""
OBEYED = {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F))} | set("\u2028")


def harmless(text: str) -> bool:
    return not OBEYED.intersection(text) and text.encode() is not None


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    said = io.StringIO()
    monkeypatch.setattr(terminal, "console", PlainConsole(file=said, width=100))
    return said


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_every_way_to_the_terminal_shows_controls_as_escapes(name: str, screen: io.StringIO) -> None:
    terminal.line(name)
    terminal.show([{name: name}], name)
    with FetchDisplay(terminal.console) as fetch:
        fetch.note(name)
    with CountDisplay(terminal.console, name) as count:
        count(1, 1)
    assert harmless(screen.getvalue())
    assert harmless(visible(name))
    assert harmless(one_line(name))
    assert visible(visible(name)) == visible(name)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_bars_on_a_terminal_show_names_as_text(name: str) -> None:
    said = io.StringIO()
    with CountDisplay(PlainConsole(file=said, force_terminal=True, width=100), f"{name} [red]x[/]") as display:
        display(1, 2)
    assert "[red]x[/]" in said.getvalue()
    assert name not in said.getvalue()


def test_markup_in_names_is_no_markup(screen: io.StringIO) -> None:
    terminal.show([{"[red]a[/]": "[link=http://x]b[/link]"}], "[/] [bold]c :bird:")
    terminal.line("[red]d[/] :bird:")
    for text in ("[red]a[/]", "[link=http://x]b[/link]", "[/] [bold]c :bird:", "[red]d[/] :bird:"):
        assert text in screen.getvalue()


def test_text_that_people_read_stays_as_it_is() -> None:
    for text in ("Ärger · 鳥 – 🦅", "a\tb\nc", "e\u0301 👩\u200d🔬", ""):
        assert visible(text) == text


def test_a_name_with_a_line_break_stays_in_its_cell(screen: io.StringIO) -> None:
    terminal.show([{"file": "a.jpg\nerror: none"}], "files")
    assert r"a.jpg\nerror: none" in screen.getvalue()


def test_an_error_is_one_line_of_bounded_length(refused: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    for name in (*(name for name in HOSTILE if "\0" not in name and "\udc80" not in name), "x" * 5000, "a\nb"):
        code, said = refused("run", name)
        assert (code, harmless(said)) == (2, True)
        assert len(said) <= LONGEST_LINE + len("error: \n")


def test_of_a_long_text_begin_and_end_are_shown() -> None:
    assert one_line("a" * 5000 + "z") == "a" * 666 + "…" + "a" * 332 + "z"
    assert len(shown({"key": "x" * 10**6})) == 100
    assert shown(10**5000) == "a number with too many digits"


def test_rows_of_pages_show_marks_of_direction_and_escape_their_own_signs() -> None:
    for name in HOSTILE:
        for text in (in_a_row(name), markdown_text(name), latex_text(name)):
            assert not OBEYED.intersection(text)
    assert markdown_text("a|b\n<c>") == r"a\|b &lt;c&gt;"
    assert latex_text("50%_$x\\") == r"50\%\_\$x\textbackslash{}"


def test_no_text_of_a_csv_is_a_formula() -> None:
    table = pd.DataFrame({"=name": ["=1+1", "+x", "-x", "@x", "plain", None], "number": [-1.5, 2, 3, 4, 5, 6]})
    lines = without_formulas(table).to_csv(index=False).splitlines()
    assert lines[:3] == ["'=name,number", "'=1+1,-1.5", "'+x,2.0"]
    assert lines[5:] == ["plain,5.0", ",6.0"]
