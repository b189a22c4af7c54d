"""A report as it is written: its summary, its parts in their order, and what a damaged file leaves of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.contents import Format, Report
from reports.evidence import Evidence
from reports.report import terminal_tables, write_report
from reports.tables.table_registry import build_tables
from results.errors import ResultsError
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, failed, fill, make_old, profiled, trained
from tests.helpers.report_reader import PageReader


def test_no_table_has_two_columns_of_one_name():
    for name, table in build_tables(Evidence([])).items():
        headings = [column.heading for column in table.columns]
        assert sorted(set(headings)) == sorted(headings), name


def test_the_summary_names_the_best_of_each_arena_and_counts_reasons(store: ResultStore, tmp_path: Path):
    records = [trained("plain"), trained("sef", top1=0.7), trained("sef", top1=0.9, variant="no_lmgm")]
    fill(store, [*records, trained("sef", top1=0.6, recipe={"epochs": 3})])
    summary = write_report(store, tmp_path / "report", "x").summary
    best = [sentence.partition(" plain and sef can't")[0] for sentence in summary if "last-epoch top-1" in sentence]
    place = "cub100, common recipe, resnet50, 448 px, epochs"
    assert best == [
        f"{place}: 10: plain has the highest last-epoch top-1 of 2, 80.0 % (n=1).",
        f"{place}: 3: sef has a last-epoch top-1 of 60.0 % (n=1).",
    ]
    assert any(re.fullmatch(r"Values are missing for \d+ reasons, listed below\.", sentence) for sentence in summary)


def test_a_tie_has_no_winner(store: ResultStore, tmp_path: Path):
    fill(store, [trained("plain"), trained("sef"), trained("ws_dan", top1=0.7)])
    (told,) = [one for one in write_report(store, tmp_path / "report", "x").summary if "highest" in one]
    assert "plain at 80.0 % (n=1) and sef at 80.0 % (n=1) share the highest last-epoch top-1 of 3; none" in told


def test_pairs_without_a_test_count_as_none(store: ResultStore, tmp_path: Path):
    fill(store, [trained("plain")])
    store.write(trained("sef"))  # without predictions
    summary = write_report(store, tmp_path / "report", "x").summary
    assert not any("differ at 5 %" in sentence for sentence in summary)
    assert "1 pair could not be tested; the table of pairs says why." in summary


@pytest.mark.parametrize("file", ["predictions.parquet", "history.csv"])
def test_one_damaged_file_leaves_the_report_whole_and_is_named(store: ResultStore, tmp_path: Path, file: str):
    records = [trained("plain"), trained("sef")]
    fill(store, records, 20)
    make_old(store.root / records[0].id)  # checksums would tell
    damaged = store.root / records[0].id / file
    damaged.write_bytes(
        damaged.read_bytes()[: damaged.stat().st_size // 2] if file.endswith("parquet") else b"\xff\x00"
    )
    read = store.predictions if file.endswith("parquet") else store.history
    with pytest.raises(ResultsError, match=rf"{file}: is damaged; restore it, or move"):
        read(records[0].id)
    report = write_report(store, tmp_path / "report", "x")
    rows = report.tables["missing"].frame
    (reason,) = rows[(rows["where"] == records[0].id) & (rows["value"] == file)]["reason"]
    assert str(damaged) in reason
    assert report.figures["curves"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"file/x.*choose another --out"):
        write_report(ResultStore(tmp_path), tmp_path / "file" / "x", "x")


def test_a_report_sweeps_what_one_that_was_killed_left(store: ResultStore, tmp_path: Path):
    left = tmp_path / "report" / "figures" / ".curves.png.abcd1234.png"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    write_report(store, tmp_path / "report", "x")
    assert not left.exists()


def test_an_empty_store_says_that_there_is_nothing_yet_and_how_to_fill_it(tmp_path: Path):
    report = write_report(ResultStore(tmp_path / "nowhere"), tmp_path / "report", "Empty")
    page = PageReader(report.html).text
    assert "There is nothing yet" in page
    assert "There is nothing yet" in report.page.read_text()
    assert "run_all.py reproduce METHOD" in page
    assert "run_all.py profile" in page
    assert "nothing yet" in terminal_tables(report)[0]
    assert report.figures == {}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    store = ResultStore(folder / "results")
    records = [trained(method, seed, 0.8 + seed / 100) for method in ("plain", HOSTILE) for seed in range(2)]
    fill(store, [*records, profiled("plain"), failed("sef"), trained("plain", protocol="paper")], 60)
    return write_report(store, folder / "report", "Birds & <b>cars</b>")


def test_report_reads_summary_then_jobs_then_missing_then_provenance_and_an_empty_job_last(report: Report):
    text = report.page.read_text()
    order = ["6 done, 1 failed", "## Compare", "## Profile", "### What is missing", "### Provenance", "## Reproduce"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "<" not in text.replace("](", "")


def test_report_opens_with_accuracy_against_throughput_of_most_methods(store: ResultStore, tmp_path: Path):
    several = [trained(name, dataset="cub_200_2011") for name in ("plain", "sef", "ws_dan")]
    fill(store, [trained("plain"), trained("sef"), *several, *(profiled(name) for name in ("plain", "sef", "ws_dan"))])
    report = write_report(store, tmp_path / "report", "x")
    assert report.opening is not None
    assert report.opening.title.startswith("Accuracy against throughput: cub_200_2011")
    assert report.page.read_text().index(report.opening.paths[0].stem) < report.page.read_text().index("\n## ")
    page = report.html.read_text()
    assert page.count(f'alt="{report.opening.title}"') == 1
    assert page.index(f'alt="{report.opening.title}"') < page.index('class="chapter"')


def test_report_links_are_relative_and_lead_to_files(report: Report):
    links = re.findall(r"(?<!\\)\]\((.*?)\)", report.page.read_text())
    assert links
    assert all((report.page.parent / link).is_file() for link in links)
    assert all(path.is_file() for path in report.paths)


@pytest.mark.parametrize("formats", [("html",), ("md",), ("csv",), ("latex",), ("md", "csv")])
def test_only_the_formats_asked_for_are_written_and_linked(
    store: ResultStore, tmp_path: Path, formats: tuple[Format, ...]
):
    fill(store, [trained("plain"), trained("sef"), profiled("plain"), profiled("sef")])
    report = write_report(store, tmp_path / "report", "x", formats=formats)
    files = {path for path in (tmp_path / "report").rglob("*") if path.is_file() and not path.name.startswith(".")}
    assert files == set(report.paths)
    suffix = {"html": ".html", "md": ".md", "csv": ".csv", "latex": ".tex"}
    assert {path.suffix for path in files if path.parent.name != "figures"} == {suffix[name] for name in formats}
    for page, links in ((report.html, r'href="([^"#]+)"'), (report.page, r"(?<!\\)\]\((.*?)\)")):
        if page in files:
            assert all((page.parent / link).is_file() for link in re.findall(links, page.read_text()))


def test_report_keeps_protocols_in_separate_tables(report: Report):
    text = report.page.read_text()
    assert "#### cub100, common recipe" in text
    assert "#### cub100, paper recipe" in text


def test_report_on_chosen_records_leaves_out_the_others(store: ResultStore, tmp_path: Path):
    fill(store, [trained("plain"), trained("sef")])
    report = write_report(store, tmp_path / "report", "One", [trained("plain")])
    assert "sef" not in report.page.read_text()


def test_a_report_on_many_comparisons_draws_some_figures_of_each_kind_and_says_how_to_see_the_others(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(store, [trained("plain", seed, dataset=name) for name in ("cars", "cub") for seed in range(2)], 20)
    monkeypatch.setattr("reports.report.MOST", 1)
    report = write_report(store, tmp_path / "report", "x")
    assert {"curves", "calibration"} <= report.figures.keys()
    assert {len(figures) for figures in report.figures.values()} == {1}
    (sentence,) = [sentence for sentence in report.summary if "more figures can be drawn" in sentence]
    assert "run_all.py report --only dataset=NAME" in sentence


def test_a_page_whose_tables_take_all_room_leaves_figures_out(
    store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(store, [trained("plain", seed, dataset=name) for name in ("cars", "cub") for seed in range(2)], 20)
    whole = write_report(store, tmp_path / "whole", "x").html.stat().st_size
    monkeypatch.setattr("reports.render.html.FIGURES", 0)
    monkeypatch.setattr("reports.render.html.PAGE", 0)
    written = write_report(store, tmp_path / "small", "x")
    assert "left out to keep this page small" in PageReader(written.html).text
    assert written.html.stat().st_size < whole
