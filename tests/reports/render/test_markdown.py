"""Tables as text: names stay text, numbers are not cut, and left-out rows are counted."""

from __future__ import annotations

import csv
import io
import re

from reports import cell_format
from reports.evidence import Evidence
from reports.groups import groups, hardware_name, labels
from reports.render import markdown
from reports.report import terminal_tables, write_report
from reports.tables.head_to_head import head_to_head
from reports.tables.published import published
from reports.tables.runs import runs
from reports.tables.table_registry import build_tables
from results.store import ResultStore
from results.values.text_tables import WIDTH
from tests.helpers.fakes.fake_results import HOSTILE, failed, fill, profiled, trained


def test_zero_has_no_minus_sign():
    row = {"x": -0.04, "x_low": -0.04, "x_high": 0.04}
    assert cell_format.signed("x", "").show(row) == "+0.0"
    assert cell_format.interval("x", "").show(row) == "0.0 … 0.0"


def test_hostile_names_stay_text_in_markdown():
    text = markdown.markdown(head_to_head(Evidence([trained(HOSTILE)])))
    heading, _, row = [line for line in text.splitlines() if line.startswith("|")]
    assert "<script" not in text
    assert "\x1b" not in text
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"(?<!\\)\|", heading))
    assert r"\$x\$ \*y\* \[z\](u)" in row


def test_csv_keeps_names_as_they_are_and_numbers_unrounded():
    table = head_to_head(Evidence([trained(HOSTILE, 0, 0.8), trained(HOSTILE, 1, 1 / 3)]))
    (row,) = csv.DictReader(io.StringIO(markdown.csv(table)))
    assert row["method"] == HOSTILE
    assert float(row["last_top1"]) == 100 * (0.8 + 1 / 3) / 2


def test_missing_numbers_are_empty_in_csv():
    (row,) = csv.DictReader(io.StringIO(markdown.csv(head_to_head(Evidence([trained("plain")])))))
    assert row["last_top1_sd"] == row["inference_images_per_s"] == ""


def test_a_csv_without_rows_has_the_columns_that_the_table_shows():
    for name, table in build_tables(Evidence([])).items():
        (heading,) = csv.reader(io.StringIO(markdown.csv(table)))
        assert len(heading) > 1, name
        assert set(heading) == {*table.split, *(column.key for column in table.columns)} - {"", cell_format.PART}
    empty, filled = (list(csv.reader(io.StringIO(markdown.csv(runs(Evidence(some)))))) for some in ([], [trained("a")]))
    assert set(empty[0]) <= set(filled[0])


def test_terminal_tables_fit_and_carry_no_control_characters(store: ResultStore):
    names = ["plain", "a_method_with_quite_a_long_name_that_goes_on", HOSTILE]
    records = [trained(name, seed, variant="released_by_the_authors") for name in names for seed in range(2)]
    records += [trained("plain", backbone="swin_base_patch4_window12_384.ms_in22k"), profiled("plain"), failed("sef")]
    fill(store, records, 50)
    report = write_report(store, store.root / "report", "x")
    for width in (80, WIDTH):
        texts = terminal_tables(report, width)
        assert max(len(line) for text in texts[1:] for line in text.splitlines()) <= width
        assert {"released_by_the_authors", "swin_base_patch4_window12_384.ms_in22k"} <= set("".join(texts).split())
    assert "\x1b" not in "".join(texts)
    assert any("83.0" in text or "80.0" in text for text in texts)


def test_long_terminal_tables_say_how_many_rows_are_left_out():
    table = runs(Evidence([trained("plain", seed) for seed in range(50)]))
    assert markdown.terminal(table).endswith("… 10 more in runs.csv")


def test_labels_are_the_shortest_that_differ():
    records = [trained("plain"), trained("ws_dan"), trained("ws_dan", variant="released")]
    assert sorted(labels([group.names for group in groups(records)])) == ["plain", "ws_dan paper", "ws_dan released"]


def test_empty_columns_are_left_out_except_the_one_that_the_table_is_about():
    text = markdown.markdown(head_to_head(Evidence([failed("plain")])))
    assert "top-1 last epoch" in text
    assert "best on test" not in text
    assert "best on test" in markdown.markdown(head_to_head(Evidence([failed("plain"), trained("sef")])))
    assert "best_on_test_top1" in markdown.csv(head_to_head(Evidence([failed("plain")]))), (
        "files for programs stay whole"
    )


def test_tables_for_people_have_a_minus_and_csv_a_hyphen():
    rows = [{"metric": "top1", "value": 84.1, "table": "2", "source": "a paper", "verified": True}]
    table = published(Evidence([trained("plain", published=rows)]))
    assert "−4.1" in markdown.markdown(table)
    assert "-4.0" in markdown.csv(table)


def test_one_thread_is_not_plural():
    record = trained("plain", hardware={"device": "cpu", "processor": "EPYC", "threads": 1})
    assert hardware_name(record) == "EPYC, 1 thread"
