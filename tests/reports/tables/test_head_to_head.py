"""Head to head: each part has experiments that may be compared, and marks the best as far as tests go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from reports.cell_format import ONCE, ONCE_FOOTNOTE, PART, SOURCES
from reports.contents import Table
from reports.evidence import Evidence
from reports.names import Names
from reports.render import markdown
from reports.render.readme_blocks import render_readme
from reports.report import write_report
from reports.tables.cost.profiles import profile
from reports.tables.head_to_head import ALONE, VARIANTS, head_to_head
from reports.tables.table_registry import BUILDERS, Tables
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, metrics, predictions, profiled, trained
from tests.helpers.report_reader import PageReader, evidence_of

PLACE = "cub100, common recipe, resnet50, 448 px, epochs: 10"


def headings(table: Table) -> list[list[str]]:
    return [[column.heading for column in part.columns] for _, part in table.parts()]


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"image_size": 224}},
        {"recipe": {"epochs": 3}},
        {"backbone": "vgg16"},
        {"pretrained": "other.safetensors"},
        {"protocol": "paper"},
        {"dataset": "cars"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_may_not_be_compared_stands_in_different_parts(change: dict) -> None:
    records = [trained(method, **more) for method in ("plain", "sef") for more in ({}, change)]
    parts = [part for _, part in head_to_head(Evidence(records)).parts()]
    assert [[row["method"] for row in part.rows] for part in parts] == [["plain", "sef"]] * 2


def test_what_a_part_shares_is_in_its_heading_and_in_no_column() -> None:
    ((heading, part),) = head_to_head(Evidence([trained("plain"), trained("sef")])).parts()
    assert heading == PLACE
    assert {"backbone", "px", "epochs", "dataset"}.isdisjoint(column.heading for column in part.columns)


def test_what_only_renders_is_not_in_files_for_programs(store: ResultStore) -> None:
    fill(store, [trained("plain"), trained("sef"), profiled("plain", 1000)])
    tables = Tables(evidence_of(store))
    for table in (tables["head_to_head"], tables["profile"]):
        assert not {SOURCES, PART} & {*table.frame}
        assert {*table.frame} == {*table.rows[0]} - {SOURCES, PART}
    assert tables["head_to_head"].where(method="plain").rows[0]["profile_repeats"] == 1


def test_what_was_fitted_to_frozen_features_has_no_epochs() -> None:
    probes = [trained("plain", variant=name, training={"micro_batch": 0.0}) for name in ("knn", "linear_probe")]
    ((heading, part),) = head_to_head(Evidence(probes)).parts()
    assert heading == PLACE.removesuffix(", epochs: 10")
    assert [row["epochs"] for row in part.rows] == [None, None]
    (shown,) = Evidence([*probes, trained("sef"), trained("cal")]).comparisons
    assert str(shown) == PLACE, "trainings beside them have epochs"


def test_variants_of_whole_methods_stand_in_a_part_of_their_own() -> None:
    records = [trained("plain"), trained("sef"), trained("sef", variant="no_loss", top1=0.9), trained("x", variant="y")]
    parts = dict(head_to_head(Evidence(records)).parts())
    assert list(parts) == [PLACE, f"{PLACE}, {VARIANTS}"]
    assert [(row["method"], row["variant"]) for row in parts[f"{PLACE}, {VARIANTS}"].rows] == [("sef", "no_loss")]
    ((heading, part),) = head_to_head(Evidence([one for one in records if one.run.method == "sef"])).parts()
    assert heading == PLACE
    assert len(part.rows) == 2


def test_a_heading_says_display_names() -> None:
    names = Names(datasets={"cub100": "Birds"}, backbones={"resnet50": "ResNet-50"})
    tables = Tables(Evidence([trained("plain"), trained("sef")], names=names))
    for name in ("head_to_head", "paired"):
        ((heading, part),) = tables[name].parts()
        assert heading == "Birds, common recipe, ResNet-50, 448 px, epochs: 10"
        assert {"backbone", "px"}.isdisjoint(column.heading for column in part.columns)


def test_budgets_of_papers_own_recipes_are_shown_for_each_method() -> None:
    records = [trained("plain", protocol="paper"), trained("sef", protocol="paper", recipe={"epochs": 30})]
    ((_, part),) = head_to_head(Evidence(records)).parts()
    (epochs,) = [column for column in part.columns if column.heading == "epochs"]
    assert sorted(map(epochs.show, part.rows)) == ["10", "30"]


def test_experiments_without_a_partner_stand_together_and_are_not_compared(store: ResultStore) -> None:
    records = [trained("plain", backbone=name) for name in ("resnet50", "vgg16")] + [trained("sef", dataset="cars")]
    fill(store, records, 50)
    parts = dict(Tables(evidence_of(store))["head_to_head"].parts())
    assert list(parts) == [f"cars{PLACE.removeprefix('cub100')}", f"cub100, common recipe, {ALONE}"]
    together = parts[f"cub100, common recipe, {ALONE}"]
    assert [row["backbone"] for row in together.rows] == ["resnet50", "vgg16"]
    assert "backbone" in [column.heading for column in together.columns]
    assert not any(row["best"] for row in together.rows)


RIGHT = {"plain": range(60), "sef": range(90), "dfl_cnn": range(91), "ws_dan": range(92)}
"""Of 100 images; ws_dan's predictions are not stored."""


def compared(store: ResultStore, right: Mapping[str, range] = RIGHT) -> list[Record]:
    records = [trained(method, top1=len(some) / 100) for method, some in right.items()]
    for record in records:
        known = record.run.method != "ws_dan"
        table = predictions(np.isin(np.arange(100), right[record.run.method])) if known else None
        store.write(record, predictions=table)
    return records


def bold(table: Table) -> set[str]:
    return {row["method"] for row in table.rows if row["best"]}


def test_bold_are_the_best_and_what_no_test_shows_to_be_worse(store: ResultStore) -> None:
    compared(store, {method: right for method, right in RIGHT.items() if method != "ws_dan"})
    assert bold(Tables(evidence_of(store))["head_to_head"]) == {"sef", "dfl_cnn"}


def test_nothing_is_bold_where_the_best_was_not_tested(store: ResultStore) -> None:
    compared(store)
    assert bold(Tables(evidence_of(store))["head_to_head"]) == set()


def test_what_was_not_tested_against_the_best_is_not_bold(store: ResultStore) -> None:
    compared(store, RIGHT | {"ws_dan": range(89)})
    assert bold(Tables(evidence_of(store))["head_to_head"]) == {"sef", "dfl_cnn"}


def test_a_lone_experiment_is_not_bold(store: ResultStore) -> None:
    fill(store, [trained("plain")], 50)
    assert bold(Tables(evidence_of(store))["head_to_head"]) == set()


def test_bold_is_shown_in_pages_but_not_in_a_terminal(store: ResultStore) -> None:
    compared(store, {method: right for method, right in RIGHT.items() if method != "ws_dan"})
    report = write_report(store, store.root / "report", "x")
    assert "**91.0 (n=1)**" in report.page.read_text()
    assert "**60.0 (n=1)**" not in report.page.read_text()
    page = PageReader(report.html)
    assert page.strong == ["91.0 (n=1)", "90.0 (n=1)"]
    assert "*" not in markdown.terminal(report.tables["head_to_head"])


def test_a_page_that_shows_some_methods_marks_the_best_of_these(store: ResultStore, tmp_path: Path) -> None:
    compared(store, {method: right for method, right in RIGHT.items() if method != "ws_dan"})
    page = tmp_path / "README.md"
    page.write_text("<!-- table: head_to_head compact method=[ps]* -->\n<!-- /table -->\n")
    text = render_readme(page, store)
    assert f"*{PLACE}*" in text
    assert "**90.0 (n=1)**" in text
    assert "**60.0 (n=1)**" not in text
    page.write_text("<!-- table: head_to_head compact method=sef -->\n<!-- /table -->\n")
    assert "90.0 (n=1)" in render_readme(page, store)
    assert "**" not in render_readme(page, store)


def test_notes_are_short_and_columns_say_what_they_mean(store: ResultStore) -> None:
    records = [trained(method, seed) for method in ("plain", "sef") for seed in range(2)]
    tables = Tables(Evidence([*records, profiled("plain")]))
    for name in BUILDERS:
        assert len(re.findall(r"[.?!](?= |$)", tables[name].note)) <= 5, name
    assert "best on test, %" in dict(tables["head_to_head"].meanings)
    fill(store, records)
    page = write_report(store, store.root / "report", "x", formats=("md",)).page.read_text()
    assert "\n- best on test, %: the test set chose the epoch" in page


def test_intervals_are_shown_by_default(store: ResultStore) -> None:
    fill(store, [trained(method, seed) for method in ("plain", "sef") for seed in range(2)], 100)
    ((_, part),) = head_to_head(evidence_of(store)).parts()
    (row,) = [row for row in part.rows if row["method"] == "sef"]
    interval = f"{row['last_top1_low']:.1f} … {row['last_top1_high']:.1f}"
    assert interval in markdown.terminal(part)
    assert interval in markdown.markdown(part)


def test_single_measurements_are_marked_and_the_mark_explained() -> None:
    seeds = [trained("plain", 0), trained("plain", 1), profiled("plain"), trained("sef")]
    repeats = [profiled("sef", repeat=place, id=f"profile-{place}") for place in range(2)]
    ((_, part),) = head_to_head(Evidence([*seeds, *repeats])).parts()
    shown = {column.heading: [column.show(row) for row in part.rows] for column in part.columns}
    assert [row["method"] for row in part.rows] == ["plain", "sef"]
    assert shown["top-1 last epoch, %"] == ["80.0 ± 0.0", f"80.0 {ONCE}"]
    assert shown["inference, images/s"] == [f"2000 {ONCE}", "2000"]
    assert part.footnote == ONCE_FOOTNOTE
    for _, one in profile(Evidence([profiled("plain")])).parts():
        assert one.footnote == ONCE_FOOTNOTE
    assert not any(one.footnote for _, one in profile(Evidence(repeats)).parts())


def test_where_nothing_is_single_no_mark_is_explained() -> None:
    every = {"last": metrics(0.8), "validation": metrics(0.8, 8), "best_on_test": metrics(0.8, 9)}
    table = head_to_head(Evidence([trained("plain", seed, metrics=every) for seed in range(2)]))
    assert table.footnote == ""
