"""Every table compiles in the documents of papers, of one and of two columns, and nothing juts out of the page."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest

from reports.cell_format import bold, number, text, words
from reports.contents import Table
from reports.evidence import Evidence
from reports.predictions import PredictionCache
from reports.render.latex import document, latex, latex_text
from reports.tables.table_registry import build_tables
from results.store import REFERENCE, ResultStore
from tests.helpers.fakes.fake_results import failed, prediction_table, profiled, trained
from tests.helpers.report_reader import evidence_of

REASON = "no pdflatex; Debian has it: apt install texlive-latex-recommended texlive-latex-extra texlive-science"
pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason=REASON)

ROOT = Path(__file__).parents[3]
EVERY_SIGN = (
    string.printable + "äßŁœğ “quoted” −±≈→·…–— ½ µm² € 中文 Ωω \U0001f426 e\u0301 \u202e\u00a0\x1b[31m -- ?` !`"
)
LONG = "a_method_with_quite_a_long_name_that_goes_on_and_on_" * 2 + "W" * 40
FAULTS = re.compile(r"^(?:!|Overfull|LaTeX Warning: (?:Float too large|Reference)|Missing character).*", re.MULTILINE)
LARGE = "[12pt]"
"""A page has less room, in letters, than at 10 points."""
OPTIONS = (LARGE, "[twocolumn]")


def faults(folder: Path, tables: dict[str, Table], options: str = LARGE) -> list[str]:
    """What LaTeX complains of in the document with these tables."""
    page = document(tables)
    for name, table in tables.items():
        source = latex(table)
        (folder / f"{name}.tex").write_text(source, encoding="utf-8")
        if options != LARGE and r"\begin{longtable}" in source:
            page = page.replace(f"\\input{{{name}}}\n", f"\\onecolumn\\input{{{name}}}\\twocolumn\n")
    return compiled(folder, page, options)


def compiled(folder: Path, page: str, options: str = LARGE) -> list[str]:
    """What LaTeX complains of, in one pass: a long table knows its widths at once if all rows are one chunk."""
    page = page.replace(r"\documentclass{article}", f"\\documentclass{options}{{article}}")
    page = page.replace(r"\begin{document}", "\\setcounter{LTchunksize}{1000}\n\\begin{document}")
    (folder / "page.tex").write_text(page, encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "page.tex"]  # without a PDF no fonts are made
    subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    return FAULTS.findall((folder / "page.log").read_text(encoding="utf-8", errors="replace"))


@pytest.fixture(scope="module")
def reference() -> dict[str, Table]:
    """The tables of the committed records."""
    built = build_tables(evidence_of(ResultStore(ROOT / "results" / REFERENCE)))
    return {name: table for name, table in built.items() if table.rows}


@pytest.mark.parametrize("options", OPTIONS)
def test_all_tables_of_the_committed_records(reference: dict[str, Table], tmp_path: Path, options: str) -> None:
    assert len(reference) > 10
    assert faults(tmp_path, reference, options) == []


def hostile() -> dict[str, Table]:
    """The tables of experiments and profiles with names that are long, or have every sign."""
    names = ["plain", EVERY_SIGN, LONG, "[x]", "*", *(f"method_{number}" for number in range(6))]
    every = [trained(name, seed, variant=variant) for name in names for seed in range(2) for variant in ("paper", LONG)]
    every += [trained(name, backbone=name, pretrained=name, dataset=EVERY_SIGN) for name in names]
    every += [trained(name, dataset=LONG, error=LONG) for name in names[:3]]
    every += [failed(name, 3, EVERY_SIGN * 3) for name in names]
    every += [trained(name, published=[{"value": 81.0, "table": LONG}], protocol="paper") for name in names]
    every += [profiled(name, batch_size=size) for name in names for size in (1, 64)]
    answers = PredictionCache(lambda run_id: prediction_table([len(run_id) % 3 != place % 3 for place in range(40)]))
    return {name: table for name, table in build_tables(Evidence(every, answers)).items() if table.rows}


@pytest.mark.parametrize("options", OPTIONS)
def test_all_tables_with_hostile_names(tmp_path: Path, options: str) -> None:
    assert faults(tmp_path, hostile(), options) == []


def test_bold_values_and_every_kind_of_cell(tmp_path: Path) -> None:
    columns = (text("name"), bold(number("value", "value", 1), "best"), bold(words("word"), "best"))
    rows = [
        {"name": str(at), "value": value, "word": "a [b", "best": True} for at, value in enumerate((-1.5, 100, None))
    ]
    assert faults(tmp_path, {"small": Table("small", "Small", rows, columns, "A note.")}) == []


def test_every_letter_is_known_or_a_code_point(tmp_path: Path) -> None:
    letters = [chr(code) for code in range(0x20, 0x2200) if chr(code).isprintable()]
    page = document(()).replace(r"\begin{document}", "\\begin{document}\n" + "\n\n".join(map(latex_text, letters)))
    assert compiled(tmp_path, page) == []
