"""LaTeX tables have the numbers of the other formats, keep any name as it is, and compile."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.evidence import Evidence
from reports.render import markdown
from reports.render.latex import latex, latex_text, tabular
from reports.tables.cost.profiles import profile
from reports.tables.head_to_head import head_to_head
from reports.tables.paired import paired
from reports.tables.published import published
from reports.tables.runs import runs
from reports.tables.win_matrix import wins
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
    assert r"81.0 $\pm$ 1.4" in row
    assert "81.0 ± 1.4" in markdown.markdown(table)


def test_a_negative_number_has_a_minus_and_a_name_keeps_its_hyphen():
    rows = [{"value": 85.0, "table": "Table-2", "source": "paper", "verified": True}]
    text = latex(published(Evidence([trained("x-1", seed, published=rows) for seed in range(2)])))
    assert "$-$5.0" in text
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


def test_wide_words_become_paragraphs_and_long_headings_stacks():
    record = trained("plain", published=[{"value": 82.0, "table": "Table 2"}], variant="long words " * 9)
    text = tabular(published(Evidence([record])))
    assert r"p{38mm}" in text
    assert r"\shortstack[r]{top-1 last \\ epoch, \%}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_tables_with_hostile_names_compile(tmp_path: Path):
    pairs = paired(Evidence(records()))
    built = [head_to_head(Evidence(records())), runs(Evidence(records())), pairs, wins(pairs)]
    body = "\n".join(latex(table) for table in built)
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{array,booktabs,graphicx}\begin{document}"
    (tmp_path / "page.tex").write_text(f"{head}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
