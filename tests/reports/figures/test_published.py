"""Published accuracies beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from reports.evidence import Evidence
from reports.figures.kinds.published import Published, published_and_ours, reproductions
from reports.figures.looks import Looks
from reports.tables.published import published
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, fill, trained
from tests.helpers.report_reader import asked_of, drawn, texts


def row(value: float, table: str = "Table 1", verified: bool = True) -> dict[str, Any]:
    return {"table": table, "value": value, "variant": "x", "source": "y", "verified": verified, "input_size": 448}


def paper(method: str, rows: Sequence[dict[str, Any]], seeds: int = 2, **changes: Any) -> list[Record]:
    return [
        trained(method, seed, 0.8 + seed / 100, protocol="paper", published=rows, **changes) for seed in range(seeds)
    ]


def test_a_line_has_what_was_published_and_replicated_and_ours():
    rows = [row(87.3), row(86.0, "replication of ours", False), row(85.5, "User report")]
    table = published(
        Evidence([*paper("sef", rows), *paper("cal", [row(90.0)], 1, changed=["epochs: 2 in place of 160"])])
    )
    cal, sef = reproductions(table.rows)
    assert sef.published == (Published(87.3, False, True), Published(86.0, True, False), Published(85.5, True, True))
    assert (sef.ours, cal.name, cal.changed) == (pytest.approx(80.5), "cal (n=1)", True)
    axes = drawn(published_and_ours([cal, sef], Looks.of([cal.experiment, sef.experiment]))).axes[0]
    values = {round(float(line.get_xdata()[0]), 6) for line in axes.lines if len(line.get_xdata()) == 1}
    assert values >= {87.3, 86.0, 85.5, 80.5, 80.0, 90.0}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cal (n=1)", "sef"]


def test_published_values_without_a_result_of_ours_are_not_drawn(store: ResultStore):
    failed = [one.model_copy(update={"status": "failed", "metrics": {}}) for one in paper("cal", [row(90.0)])]
    fill(store, [*failed, *paper("sef", [row(87.0)])])
    (found,) = asked_of(store)["published"]
    assert "cal" not in texts(drawn(found.draw(*found.arguments)))
    assert published_and_ours([], Looks(())) is None


def test_a_hostile_name_is_text():
    rows = published(Evidence(paper(HOSTILE, [row(87.0)]))).rows
    figure = drawn(published_and_ours(reproductions(rows), Looks.of([(HOSTILE, "paper")])))
    figure.draw_without_rendering()
    assert "\x1b" not in texts(figure)
