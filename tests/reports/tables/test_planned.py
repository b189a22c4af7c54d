"""What is not measured stays visible: in which row, why, and what fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.environment import Environment
from benchmarks.planning.overrides import NO_CHANGES
from benchmarks.planning.reference.experiments import experiments
from benchmarks.planning.reference.missing import missing, planned_rows
from reports.render import markdown
from reports.render.readme_blocks import check_readme, write_readme
from reports.tables.planned import fitting, gaps, planned
from results.errors import ResultsError
from results.store import REFERENCE, ResultStore
from tests.helpers.fakes.fake_results import HOSTILE

ROOT = Path(__file__).parents[3]


def row(method: str = "ws_dan", **changes: Any) -> dict[str, Any]:
    values = {"suite": "papers", "job": "train", "dataset": "cub_200_2011", "protocol": "paper", "method": method}
    values |= {"backbone": "inception_v3", "px": 448, "published": 89.4, "seeds": [], "why": "needs cub_200_2011"}
    return values | {"command": "reproduce all --missing"} | changes


def cells(text: str) -> list[dict[str, str]]:
    """The rows of a Markdown table by its headings."""
    heading, _, *rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(map(str.strip, heading), map(str.strip, row), strict=True)) for row in rows]


def test_a_missing_row_is_shown_with_the_published_value_and_the_reason() -> None:
    text = markdown.markdown(planned([row(), row("sef", published=None, seeds=[1, 2], why="needs a GPU")]))
    assert "| ws_dan" in text
    assert "89.4" in text
    assert "needs cub_200_2011" in text
    assert cells(text)[1] == {
        "method": "sef",
        "published, %": "–",
        "Runs": "2",
        "seeds": "1, 2",
        "why": "needs a GPU",
    }


def test_rows_that_are_missing_for_one_reason_in_one_place_are_told_at_once() -> None:
    rows = [row("plain"), row("ws_dan"), row("ws_dan:maps_4"), row("sef", why="needs a GPU")]
    text = markdown.markdown(gaps(rows))
    assert "plain, ws_dan (paper, maps_4)" in text
    assert [row["rows"] for row in cells(text)] == ["3", "1"]


def test_rows_that_lack_further_seeds_are_told_from_those_that_are_not_there() -> None:
    text = markdown.markdown(gaps([row(seeds=[0, 1, 2]), row("sef", seeds=[1, 2]), row("plain", seeds=[1, 2])]))
    assert [(row["methods"], row["seeds"]) for row in cells(text)] == [("ws_dan", "0, 1, 2"), ("sef, plain", "1, 2")]


def test_rows_are_chosen_as_records_are() -> None:
    rows = [row("ws_dan:maps_4"), row("ws_dan"), row("sef", px=96)]
    assert fitting(rows, {"method": "ws_dan", "variant": "maps_*"}) == rows[:1]
    assert fitting(rows, {"input": "96"}) == rows[2:]
    assert fitting(rows, {"variant": "paper", "suite": "papers"}) == rows[1:]


def test_nothing_missing_is_said_so_and_names_stay_text() -> None:
    assert markdown.markdown(planned([])) == markdown.markdown(gaps([])) == markdown.NOTHING
    assert "<script>" not in markdown.markdown(gaps([row(HOSTILE)]))


def test_a_page_shows_what_is_missing_and_is_stale_when_it_is_there(tmp_path: Path) -> None:
    store, page = ResultStore(tmp_path), tmp_path / "README.md"
    page.write_text("<!-- table: planned compact method=ws_dan -->\n<!-- /table -->\n", encoding="utf-8")
    store.plan([row(), row("sef")])
    pages = ResultStore(tmp_path / REFERENCE)
    write_readme(page, pages)
    assert "89.4" in page.read_text(encoding="utf-8")
    assert "sef" not in page.read_text(encoding="utf-8")
    store.plan([row("sef")])
    assert not check_readme(page, pages)


def test_a_broken_list_of_what_is_missing_is_named(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.plan([]).write_text("[", encoding="utf-8")
    with pytest.raises(ResultsError, match=r"planned\.json.*publish all"):
        store.planned()


def test_the_committed_list_is_what_the_committed_records_lack(real_data: Path, real_weights: Path) -> None:
    store = ResultStore(ROOT / "results" / REFERENCE)
    rows = experiments(Environment(real_data, real_weights), NO_CHANGES)
    assert planned_rows(missing(rows, store.records())) == store.planned()
