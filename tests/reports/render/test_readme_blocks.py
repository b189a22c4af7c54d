"""Tables inside README and other pages are what the records give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reports.render.readme_blocks import check_readme, pages, render_readme, write_readme
from reports.tables.paired import paired
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, profiled, trained
from tests.helpers.report_reader import evidence_of


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text("# A\n<!-- table: head_to_head dataset=cub100 -->\nold\n<!-- /table -->\nend\n")
    return path


def test_readme_tables_are_rendered_between_their_markers(store: ResultStore, readme: Path):
    fill(store, [trained("plain"), trained("sef", dataset="cars"), profiled("plain", 2000)])
    text = render_readme(readme, store)
    assert text.startswith("# A\n<!-- table: head_to_head dataset=cub100 -->\n\n*cub100, common recipe, resnet50, ")
    assert text.endswith("\n<!-- /table -->\nend\n")
    assert "old" not in text
    assert "| sef" not in text
    assert " 2000 (n=1) |" in text


def test_a_compact_readme_table_keeps_the_columns_that_matter_most(store: ResultStore, readme: Path):
    fill(store, [trained("plain")])
    readme.write_text("<!-- table: head_to_head compact dataset=cub100 -->\n<!-- /table -->\n")
    compact = render_readme(readme, store)
    assert "top-1 last epoch" in compact
    assert "calibration" not in compact
    readme.write_text("<!-- table: head_to_head dataset=cub100 -->\n<!-- /table -->\n")
    assert "calibration" in render_readme(readme, store)


def test_readme_check_fails_until_the_table_is_what_the_records_give(store: ResultStore, readme: Path):
    fill(store, [trained("plain")])
    assert not check_readme(readme, store)
    write_readme(readme, store)
    assert check_readme(readme, store)
    fill(store, [trained("plain", 1)])
    assert not check_readme(readme, store)


@pytest.mark.parametrize(
    ("content", "said"), [(b"my own notes\r\n", "has no block such as"), (b"\xff\xfe", "is no text in UTF-8")]
)
def test_a_page_without_blocks_is_named_and_not_touched(
    content: bytes, said: str, store: ResultStore, tmp_path: Path
) -> None:
    page = tmp_path / "notes.md"
    page.write_bytes(content)
    before = page.stat()
    with pytest.raises(ValueError, match=rf"notes\.md: {said}"):
        write_readme(page, store)
    assert page.read_bytes() == content
    assert page.stat().st_ino == before.st_ino


def test_a_page_keeps_its_ends_of_lines(store: ResultStore, tmp_path: Path) -> None:
    fill(store, [trained("plain")])
    page = tmp_path / "page.md"
    page.write_bytes(b"before\r\n<!-- table: runs -->\r\n<!-- /table -->\r\nafter\r\n")
    write_readme(page, store)
    written = page.read_bytes()
    assert written.endswith(b"<!-- /table -->\r\nafter\r\n")
    assert written.count(b"\n") == written.count(b"\r\n")


def test_tables_in_latex_files_are_rendered_between_their_comments(store: ResultStore, tmp_path: Path):
    fill(store, [trained("plain")])
    page = tmp_path / "paper.tex"
    page.write_text("before\n% table: head_to_head compact dataset=cub100\nold\n% /table\nafter\n")
    write_readme(page, store)
    text = page.read_text()
    assert text.startswith("before\n% table: head_to_head compact dataset=cub100\n\\setlength{\\tabcolsep}")
    assert text.endswith("\n% /table\nafter\n")
    assert "\\end{tabular}\n" in text
    assert check_readme(page, store)


def test_the_pages_of_a_checkout_are_those_with_tables_or_answers(tmp_path: Path):
    for folder in ("docs/deep", "reports", "methods/plain", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    marked = "<!-- table: runs -->\n<!-- /table -->\n"
    for name in ("README.md", "docs/deep/a.md", "methods/plain/README.md", "elsewhere/b.md"):
        (tmp_path / name).write_text(marked)
    (tmp_path / "docs/none.md").write_text("no table\n")
    (tmp_path / "reports/t.tex").write_text("% table: runs\n% /table\n")
    (tmp_path / "docs/answers.md").write_text("<!-- answer: first=m:a second=m:b -->\n<!-- /answer -->\n")
    names = [str(path.relative_to(tmp_path)) for path in pages(tmp_path)]
    assert names == ["README.md", "docs/answers.md", "docs/deep/a.md", "reports/t.tex", "methods/plain/README.md"]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [("head_to_had", "'head_to_head'"), ("runs datset=cub100", "'dataset'"), ("runs cub100", "name=value")],
)
def test_readme_names_the_nearest_table_or_filter(store: ResultStore, readme: Path, asked: str, nearest: str):
    readme.write_text(f"<!-- table: {asked} -->\n<!-- /table -->\n")
    with pytest.raises(ValueError, match=nearest):
        render_readme(readme, store)


@pytest.mark.parametrize("kind", ["table: runs", "answer: first=m:a second=m:b"])
@pytest.mark.parametrize("follows", ["", "<!-- answer: first=m:a second=m:b -->\n<!-- /answer -->\n"])
def test_a_block_without_an_end_does_not_swallow_what_follows(
    store: ResultStore, readme: Path, kind: str, follows: str
):
    readme.write_text(f"<!-- {kind} -->\nmuch text\n{follows}")
    with pytest.raises(ValueError, match=f"has no <!-- /{kind.partition(':')[0]} -->"):
        render_readme(readme, store)


ROOT = Path(__file__).parents[3]


def check_of_all_pages(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run_all.py", "report", "--check", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_committed_pages_are_what_the_committed_records_give():
    assert ROOT / "README.md" in pages(ROOT)
    done = check_of_all_pages()
    assert (done.returncode, done.stdout) == (0, "")


def test_check_on_the_command_line_fails_for_pages_that_other_records_would_fill(tmp_path: Path):
    (tmp_path / "reference").mkdir()
    done = check_of_all_pages("--results", str(tmp_path))
    assert done.returncode == 1
    assert "README.md: its tables are out of date; run report --readme" in " ".join(done.stdout.split())


def test_a_page_that_shows_some_pairs_corrects_for_all_that_are_comparable(store: ResultStore, readme: Path):
    fill(store, [trained(method) for method in ("plain", "sef", "dfl_cnn")], 100)
    whole = paired(evidence_of(store)).frame
    (row,) = whole[(whole["first"] == "plain") & (whole["second"] == "sef")].to_dict("records")
    readme.write_text("<!-- table: paired method=[ps][le]* variant=paper -->\n<!-- /table -->\n")
    (line,) = [line for line in render_readme(readme, store).splitlines() if line.startswith("| plain")]
    cells = [cell.strip() for cell in line.split("|")]
    assert f"{row['p_holm']:.3f}" in cells
    assert cells[-2] == "3", "pairs corrected for"
