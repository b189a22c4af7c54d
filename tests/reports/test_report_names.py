"""A whole report shows names wherever people look, and keeps ids wherever programs do."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from reports.contents import Report
from reports.evidence import Evidence
from reports.figures.select import drawings
from reports.names import Names
from reports.report import terminal_tables, write_report
from reports.tables.table_registry import build_tables
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, profiled, trained
from tests.helpers.report_reader import PageReader

IDS = ("ws_dan", "cub100", "resnet50", "vgg16", "plain")
NAMES = Names(
    {"ws_dan": "WS-DAN", "plain": "Baseline"}, {"cub100": "CUB-100"}, {"resnet50": "ResNet-50", "vgg16": "VGG-16"}
)
SHOWN = ("paired", "wins", "backbones", "head_to_head", "ablation", "missing")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = ResultStore(tmp_path_factory.mktemp("results"))
    names = [("ws_dan", "paper"), ("ws_dan", "maps_4"), ("plain", "paper")]
    networks = ("resnet50", "vgg16")
    fill(
        store,
        [
            trained(method, top1=top1, variant=variant, backbone=network, pretrained="weights")
            for network in networks
            for (method, variant), top1 in zip(names, (0.9, 0.7, 0.6), strict=True)
        ],
        60,
    )
    return write_report(store, tmp_path_factory.mktemp("report"), "Names", names=NAMES)


@pytest.mark.parametrize("table", SHOWN)
def test_tables_show_names_and_their_csv_holds_ids(report: Report, table: str) -> None:
    title = report.tables[table].title
    page, data = PageReader(report.html), (report.page.parent / f"{table}.csv").read_text(encoding="utf-8")
    told = " ".join(text for row in page.rows[table] for text, _ in row.values())
    told += " ".join(heading for row in page.rows[table] for heading in row)
    told += " ".join(
        values.get("aria-label", "") for _, values in page.tags if f"Table: {title}" in values.get("aria-label", "")
    )
    assert "WS-DAN" in told
    assert not [one for one in IDS if one in told]
    assert "ws_dan" in data
    assert not [name for name in ("WS-DAN", "CUB-100", "ResNet-50", "Baseline") if name in data]


@pytest.mark.parametrize("format_", ["report.md", "head_to_head.tex"])
def test_pages_for_readers_have_names_in_headings(report: Report, format_: str) -> None:
    text = (report.page.parent / format_).read_text(encoding="utf-8")
    assert "Head to head: CUB-100, common recipe" in text or "#### CUB-100, common recipe" in text
    assert "WS-DAN" in text


def test_the_terminal_and_the_facts_of_the_page_have_names(report: Report) -> None:
    terminal = "\n".join(terminal_tables(report))
    assert "CUB-100, common recipe, ResNet-50, 448 px, epochs: 10: " in terminal
    assert "ws_dan" not in terminal
    facts = PageReader(report.html).text
    assert "Baseline; WS-DAN" in facts
    assert "ResNet-50; VGG-16" in facts


def test_figures_are_titled_by_names_and_their_files_named_by_ids(report: Report) -> None:
    figures = [figure for several in report.figures.values() for figure in several]
    assert {"throughput", "gains", "curves", "calibration", "confused"} <= report.figures.keys()
    assert not [figure.title for figure in figures if any(one in figure.title for one in IDS)]
    assert all("cub100" in figure.paths[0].name for figure in figures)


def test_figures_of_profiles_are_titled_by_names(store: ResultStore) -> None:
    fill(store, [profiled("plain", 1000, size, id=f"profile-{size}") for size in (8, 16)])
    evidence = Evidence(store.records(), names=NAMES)
    titles = [one.title for one in drawings(evidence, build_tables(evidence), store.history_columns)]
    assert len(titles) >= 2
    assert all("ResNet-50" in title and "resnet50" not in title for title in titles)


def test_rows_of_a_figure_and_of_its_table_say_the_same_name(report: Report) -> None:
    with (report.page.parent / "paired.csv").open(encoding="utf-8") as file:
        assert {row["better"] for row in csv.DictReader(file)} == {"ws_dan"}
    better = {row["better at 5 %"][0] for row in PageReader(report.html).rows["paired"]}
    assert better == {"WS-DAN (n=1)"}


def test_a_hostile_name_is_text_everywhere(store: ResultStore, tmp_path: Path) -> None:
    fill(store, [trained("plain"), trained("sef", top1=0.6)], 20)
    names = Names({"plain": HOSTILE, "sef": HOSTILE}, {"cub100": HOSTILE}, {"resnet50": HOSTILE})
    written = write_report(store, tmp_path / "report", "x", names=names)
    page = PageReader(written.html)
    assert "<script>alert(1)</script>" in page.text
    assert sum(tag == "script" and values.get("type") != "text/plain" for tag, values in page.tags) == 1
    assert "(plain)" in page.text
    assert "<script>" not in written.page.read_text(encoding="utf-8")
    assert "\x1b" not in "".join(terminal_tables(written))
