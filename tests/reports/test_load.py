"""A rate that was measured while the machine had other work carries a mark in every table and figure."""

from __future__ import annotations

import pytest

from reports.cell_format import BUSY, BUSY_FOOTNOTE
from reports.evidence import Evidence
from reports.figures.select import drawings
from reports.load import overloaded
from reports.render import markdown
from reports.render.latex import latex, tabular
from reports.tables.cost.profiles import profile
from reports.tables.head_to_head import head_to_head
from reports.tables.regressions import regressions
from reports.tables.table_registry import build_tables
from results.record import Record
from results.speed import Limits
from tests.helpers.fakes.fake_results import profiled, trained

HARDWARE = {"name": "NVIDIA H200", "device": "cuda", "cores": 2}


def under(record: Record, before: object, after: object) -> Record:
    """The record of a machine of two cores with these loads before and after."""
    state = {"before": {"load": before}, "after": {"load": after}}
    return record.model_copy(update={"hardware": HARDWARE, "state": state})


@pytest.mark.parametrize(
    ("record", "busy"),
    [
        (under(profiled("plain"), 3.0, 3.0), True),
        (under(profiled("plain"), 1.0, 9.0), False),  # its own work
        (under(trained("plain"), 2.0, 2.2), False),  # its own threads fill the cores
        (under(trained("plain"), 3.0, 4.0), True),
        (trained("plain"), False),
        (trained("plain").model_copy(update={"training": {"images_per_s": 9.0, "parallel": 2}}), True),
        (trained("plain").model_copy(update={"training": {"images_per_s": 9.0, "parallel": 1}}), False),
        (profiled("plain"), False),
        (under(profiled("plain"), "much", 3.0), False),
    ],
)
def test_more_work_than_cores_is_known_from_the_record(record: Record, busy: bool) -> None:
    assert overloaded(record) is busy


def records(load: float) -> list[Record]:
    more = [profiled("plain", batch_size=32), profiled("sef")]
    return [under(one, load, load) for one in (trained("plain"), profiled("plain"), *more)]


def test_marked_rates_are_explained_below_every_table() -> None:
    for table in (head_to_head(Evidence(records(9.0))), profile(Evidence(records(9.0)))):
        assert "2000*" in markdown.terminal(table)
        assert BUSY_FOOTNOTE in markdown.terminal(table)
        assert "2000\\*" in markdown.markdown(table)
        assert f"\n\n{BUSY_FOOTNOTE}".replace("*", "\\*") in markdown.markdown(table)
        for text in (latex(table), tabular(table)):
            assert r"2000 & \textsuperscript{*}" in text
            assert BUSY_FOOTNOTE.replace("*", "{*}") in text


def test_a_quiet_machine_leaves_no_mark() -> None:
    for table in (head_to_head(Evidence(records(1.0))), profile(Evidence(records(1.0)))):
        for text in (markdown.terminal(table), markdown.markdown(table), latex(table)):
            assert BUSY_FOOTNOTE not in text.replace("\\*", BUSY).replace("{*}", BUSY)
            assert "2000*" not in text.replace("\\*", BUSY).replace("{*}", BUSY)


def test_each_side_of_a_comparison_has_its_own_mark() -> None:
    text = markdown.markdown(regressions([profiled("plain")], [under(profiled("plain", 900), 9.0, 9.0)]))
    assert "900\\*" in text
    assert "2000\\*" not in text


def test_figures_with_marked_rates_say_so_in_their_captions() -> None:
    for load, marked in ((9.0, True), (1.0, False)):
        evidence = Evidence(records(load))
        found = {one.kind: one.caption for one in drawings(evidence, build_tables(evidence), lambda _: None)}
        for kind in ("throughput", "batch_sweep"):
            assert (BUSY_FOOTNOTE in found[kind]) is marked
        assert BUSY_FOOTNOTE not in found["memory"]


def test_a_caption_explains_no_mark_that_its_figure_does_not_show() -> None:
    trainings = [under(trained("plain"), 9.0, 9.0), under(trained("sef"), 9.0, 9.0)]
    evidence = Evidence([*trainings, under(profiled("plain"), 1.0, 1.0)])
    found = {one.kind: one.caption for one in drawings(evidence, build_tables(evidence), lambda _: None)}
    assert BUSY_FOOTNOTE not in found["throughput"], "it shows rates of inference"


def counted(batch: int) -> Record:
    """A profile with all that a roofline needs."""
    record = profiled("plain", batch_size=batch, limits=Limits(flops_per_s=1e12, bytes_per_s=1e11, launch_s=1e-6))
    work = {"flops": 1e9, "bytes": 1e8}
    return record.model_copy(
        update={"speed": {mode: speed.model_copy(update=work) for mode, speed in record.speed.items()}}
    )


def test_a_roofline_marks_its_own_measurements_alone() -> None:
    records = [under(counted(batch), load, load) for batch, load in ((32, 9.0), (64, 1.0))]
    evidence = Evidence(records)
    found = {one.kind: one for one in drawings(evidence, build_tables(evidence), lambda _: None)}
    assert BUSY_FOOTNOTE in found["batch_sweep"].caption
    assert BUSY_FOOTNOTE not in found["roofline"].caption
    assert not any(work.name.endswith("*") for work in found["roofline"].arguments[0])
