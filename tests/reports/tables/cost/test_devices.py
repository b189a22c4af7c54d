"""The table of checked devices: one row each, with what is wrong and what the device reaches."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reports.evidence import Evidence
from reports.render import markdown
from reports.render.readme_blocks import render_readme
from reports.report import write_report
from reports.tables.cost.devices import devices
from results.device_check import Check, DeviceCheck, write_check
from results.errors import ResultsError
from results.store import ResultStore
from tests.helpers.fakes.planted_checks import device_check

CASE = "resnet50, 448 px, batch 64, bf16"


def step(case: str, rate: float, method: str = "plain") -> Check:
    return Check(group="steps", method=method, case=case, status="ok", numbers={"train_images_per_s": rate})


def full_check(**more: object) -> DeviceCheck:
    ceilings = {"fp32_flops_per_s": 51.6e12, "bf16_flops_per_s": 700e12, "copy_bytes_per_s": 4.1e12}
    return device_check(
        Check(group="values", method="sef", status="wrong", finding="logits differ"),
        step(CASE, 900, "sef"),
        step(CASE, 1173.4),
        step(f"{CASE}, compiled", 1662.2),
        Check(group="feeds", case="feed modes", status="ok", numbers={"resident, images/s": 80000.0}),
        Check(group="ceilings", status="ok", numbers=ceilings),
        **more,
    )


def test_a_row_says_what_is_wrong_and_what_is_reached() -> None:
    (row,) = devices(Evidence([], device_checks=[full_check()])).rows
    assert row["device"] == "Paper GPU 9000"
    assert row["checks"] == "5 ok, 1 wrong"
    assert row["wrong"] == "values sef"
    assert (row["step"], row["train"], row["compiled"]) == (CASE, 1173.4, 1662.2)
    assert (row["fp32"], row["bf16"], row["copy"], row["resident"]) == (51.6e12, 700e12, 4.1e12, 80000)


def test_what_was_not_measured_is_a_dash() -> None:
    table = devices(Evidence([], device_checks=[device_check(step("vgg16, 448 px, batch 64, bf16, compiled", 5))]))
    (row,) = table.rows
    assert row["train"] is row["fp32"] is row["wrong"] is None
    assert "None" not in markdown.markdown(table)


def test_rates_of_a_busy_machine_are_marked() -> None:
    check = full_check(hardware={"cores": 2}, state={"before": {"load": 9.5}})
    assert r"1173\*" in markdown.markdown(devices(Evidence([], device_checks=[check])))
    assert r"1173\*" not in markdown.markdown(devices(Evidence([], device_checks=[full_check()])))


def test_of_several_checks_of_a_device_the_fullest_counts_then_the_newest() -> None:
    old, new = (full_check(started=datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 2))
    late = full_check().checks[-1].model_copy(update={"status": "not run", "numbers": {}})
    newest = device_check(*[late] * 50, started=datetime(2026, 3, 1, tzinfo=UTC))
    (row,) = devices(Evidence([], device_checks=[new, newest, old])).rows
    assert row["date"] == "2026-02-01"


def test_report_and_readme_show_stored_checks_and_a_damaged_one_is_named(store: ResultStore, tmp_path: Path) -> None:
    path = write_check(store.root, full_check(name="<b>Card</b> | 1"))
    page = tmp_path / "page.md"
    page.write_text("<!-- table: devices compact -->\n<!-- /table -->\n", encoding="utf-8")
    assert "5 ok, 1 wrong" in render_readme(page, store)
    report = write_report(store, tmp_path / "report", "All")
    text = report.html.read_text(encoding="utf-8")
    assert "Checked devices" in text
    assert "<b>Card</b>" not in text
    path.write_text("{}", encoding="utf-8")
    report = write_report(store, tmp_path / "report", "All")
    assert [name for _, name in report.left_out] == [path.name]
    assert path.name in report.page.read_text(encoding="utf-8")
    with pytest.raises(ResultsError, match="no check of a device"):
        render_readme(page, store)
