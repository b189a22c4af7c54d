"""LaTeX tables have the numbers of the other formats, keep any name as it is, and fit a page."""

from __future__ import annotations

import re

from reports.cell_format import Column, bold, number, printed, signed, size, text, words
from reports.contents import Table
from reports.evidence import Evidence
from reports.render import markdown
from reports.render.latex import PREAMBLE, latex, tabular
from reports.render.latex_text import latex_text, value
from reports.tables.cost.profiles import profile
from reports.tables.head_to_head import head_to_head
from reports.tables.published import published
from tests.helpers.fakes.fake_results import profiled, trained

HOSTILE = r'50 % of a_b & {c} #1 $x$ \input{x} ~^ <|> "d" ä' + "\n\x1b[31m"


def records() -> list:
    several = [trained(method, seed, 0.8 + seed / 50) for method in ("plain", HOSTILE, "[x]", "*") for seed in range(2)]
    return [*several, profiled("plain"), trained("sef", dataset="cars")]


def test_every_symbol_of_latex_is_escaped():
    assert latex_text("a_b & 50 % {x} #1 $y$") == r"a\_b \& 50 \% \{x\} \#1 \$y\$"
    assert latex_text("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert latex_text("line\nbreak \x1b[0m") == "line break  {[}0m"


def test_the_numbers_are_those_of_the_markdown_table():
    table = head_to_head(Evidence([trained("plain", seed, 0.8 + seed / 50) for seed in range(2)]))
    (row,) = [line for line in tabular(table).splitlines() if line.startswith("plain")]
    assert r"81.0 & \,$\pm$\,1.4" in row
    assert "81.0 ± 1.4" in markdown.markdown(table)


def test_a_negative_number_has_a_minus_and_a_name_keeps_its_hyphen():
    rows = [{"value": 85.0, "table": "Table-2", "source": "paper", "verified": True}]
    text = latex(published(Evidence([trained("x-1", seed, published=rows) for seed in range(2)])))
    assert "S[table-format=+1.1]" in text
    assert "& -5.0" in text
    assert "x-1" in text


def test_datasets_are_tables_of_their_own_with_rules_caption_and_label():
    text = latex(head_to_head(Evidence(records())))
    assert text.count(r"\begin{table*}") == text.count(r"\toprule") == text.count(r"\bottomrule") == 2
    assert "cub100, common recipe" in text
    assert "cars, common recipe" in text
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == 2


def test_values_that_all_rows_share_are_in_the_caption():
    text = latex(head_to_head(Evidence([trained("plain"), trained("sef")])))
    caption = next(line for line in text.splitlines() if line.startswith(r"\caption"))
    assert ", resnet50, 448 px, " in caption
    assert text.count("resnet50.safetensors") == 1


def test_a_table_without_rows_is_a_comment():
    assert "Nothing yet" in latex(profile(Evidence([])))


def test_wide_words_become_paragraphs_and_long_headings_have_lines():
    rows = [{"value": 82.0, "table": "Table 2"}]
    both = [trained("plain", published=rows, variant=f"{name} long words " * 9) for name in "ab"]
    text = tabular(published(Evidence(both)))
    assert re.search(r"p\{[\d.]+em\}", text)
    assert re.search(r"\{2\}\{c\}\{\{top-1 last\}\}.*\n.*\{2\}\{c\}\{\{epoch, \\%\}\}", text)


def table_of(rows: list[dict], *columns: Column, note: str = "") -> Table:
    return Table("some", "Some", rows, columns, note)


def test_bold_values_stay_aligned_with_the_others():
    rows = [{"name": "a", "x": 1.25, "best": True}, {"name": "b", "x": 81.5, "best": False}]
    source = tabular(table_of(rows, text("name"), bold(number("x", "x", 1), "best")))
    assert "S[table-format=2.1]" in source
    assert "text-series-to-math" in source, "else siunitx sets every number in the same weight"
    assert r"a & \bfseries 1.2 \\" in source
    assert r"b & 81.5 \\" in source


def test_marks_stand_beside_the_aligned_numbers_and_intervals_are_in_brackets():
    assert value("81.0 ± 1.4 (n=2)*").tail == r"\,$\pm$\,1.4~(n=2)\textsuperscript{*}"
    assert value("−1.2 … 3.4 (seeds)")[:2] == ("{[}$-$1.2, 3.4]", "~(seeds)")
    assert value("< 0.001").number == "< 0.001"
    assert value("2.0, +1.0 better (n=1)")[:2] == ("2.0, +1.0 better", "~(n=1)")


def test_a_table_has_six_columns_at_most_and_names_that_differ_little_stand_above_their_rows():
    names = [text(key) for key in ("method", "backbone", "precision")]
    rows = [
        {"method": f"m{at}", "backbone": f"net{at % 2}", "precision": "bf16", "input": 96 * (1 + at % 2)}
        | {f"x{column}": at for column in range(5)}
        for at in range(4)
    ]
    columns = [*names, size("input", "px"), *(number(f"x{column}", f"x{column}") for column in range(5))]
    source = latex(table_of(rows, *(printed(column) for column in columns)))
    assert "Some (precision bf16)." in source
    headings = re.findall(r"\\itshape (.*?)\}", source)
    assert headings == ["backbone net0, px 96", "backbone net1, px 192"]
    assert re.findall(r"^(m\d) (?:& \d ){5}\\\\$", source, re.MULTILINE) == ["m0", "m2", "m1", "m3"]


def test_columns_that_have_no_room_go_to_further_tables_with_the_same_names():
    opponents = [f"other {at}" for at in range(14)]
    rows = [{"method": f"m{row}"} | dict.fromkeys(opponents, row + 0.5) for row in range(3)]
    source = latex(table_of(rows, words("method"), *(signed(name, name) for name in opponents)))
    assert source.count(r"\begin{table*}") == 3
    assert all(f"Some, {at} of 3." in source for at in (1, 2, 3))
    assert all(source.count(f"\nm{row} &") == 3 for row in range(3))
    assert source.count("table-format=+1.1") == len(opponents)


def test_a_table_longer_than_a_page_goes_on_over_pages_with_its_notes_at_the_end():
    rows = [{"name": f"m{row}", "x": row} for row in range(60)]
    long, short = (latex(table_of(some, text("name"), number("x", "x"), note="A note.")) for some in (rows, rows[:9]))
    assert r"\begin{longtable}" in long
    assert long.index(r"\end{longtable}") < long.index("A note.")
    assert r"\onecolumn" in long.splitlines()[1]
    assert r"\begin{table*}" in short
    assert r"\item A note." in short
    assert "longtable}" not in short.replace("longtable,", "")


def test_a_table_shows_what_is_printed_and_where_nothing_is_the_main_columns():
    row = {"name": "a", "x": 1, "y": 2, "z": 3}
    rows = [row, row | {"name": "b"}]
    columns = [text("name", compact=True), number("x", "xx", compact=True), number("y", "yy"), number("z", "zz")]
    assert r"name & {xx} \\" in tabular(table_of(rows, *columns))
    assert r"name & {zz} \\" in tabular(table_of(rows, *columns[:-1], printed(columns[-1])))


def test_the_first_line_names_the_packages():
    assert all(line in latex(head_to_head(Evidence(records()))).splitlines()[0] for line in PREAMBLE)
