"""Profile Runs in tables: repeats make one row, too little memory is told, and what became slower is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from reports.cell_format import BUSY
from reports.evidence import Evidence
from reports.render import markdown
from reports.tables import regressions
from reports.tables.cost import profiles
from results.record import Record
from results.speed import Operation
from tests.helpers.fakes.fake_results import failed, profiled, trained


def repeats(*rates: float, noise: float = 0.05, **changes: Any) -> list[Record]:
    """One cell, measured several times; p10 and p90 lie `noise` off the median."""
    records = []
    for repeat, rate in enumerate(rates):
        record = profiled("plain", rate, id=f"plain-{repeat}", repeat=repeat, **changes)
        for speed in record.speed.values():
            speed.images_per_s_p10 = speed.images_per_s * (1 - noise)
            speed.images_per_s_p90 = speed.images_per_s * (1 + noise)
        records.append(record)
    return records


def row_of(table: Any, **wanted: Any) -> dict[str, Any]:
    (row,) = table.where(**wanted).rows
    return row


def verdict(before: list[Record], after: list[Record], mode: str = "inference") -> str:
    return str(row_of(regressions.regressions(before, after), mode=mode)["verdict"])


def test_repeats_of_a_cell_are_one_row_with_their_spread() -> None:
    row = row_of(profiles.profile(Evidence(repeats(900, 1000, 1200))), mode="inference")
    assert row["images_per_s"] == 1000
    assert row["repeats"] == 3
    assert row["spread"] == pytest.approx(30)
    assert (row["images_per_s_p10"], row["images_per_s_p90"]) == (pytest.approx(855), pytest.approx(1260))
    assert row["runs"] == "plain-0 plain-1 plain-2"


def test_one_measurement_has_no_spread() -> None:
    assert profiles.profile(Evidence(repeats(900))).frame["spread"].isna().all()


def test_cells_of_the_same_name_say_in_which_settings_they_differ() -> None:
    frame = profiles.profile(Evidence([*repeats(900, classes=20), *repeats(800, classes=200)])).frame
    assert set(frame["settings"]) == {"classes=20", "classes=200"}
    assert set(profiles.profile(Evidence(repeats(900, classes=20))).frame["settings"]) == {""}


def test_what_can_not_be_compared_is_said() -> None:
    before, after = repeats(1000), repeats(900)
    assert regressions.not_compared(before, after) == []
    gone = profiled("plain", status="failed", speed={}, id="plain-broken")
    assert regressions.not_compared([*before, *repeats(5, batch_size=8)], [*after, gone]) == [
        "2 measurements are only before and not compared",
        "failed after: plain-broken",
    ]


def test_extras_make_no_other_cell_but_the_precision_does() -> None:
    records = [*repeats(900), *repeats(1000, extras=["breakdown"], memory_limit=5)]
    assert len(profiles.profile(Evidence(records)).frame) == 2
    assert len(profiles.profile(Evidence([*records, *repeats(500, precision="fp32")])).frame) == 4


def test_memory_that_did_not_suffice_is_shown_as_a_bound() -> None:
    (record,) = repeats(900)
    record.exceeded["train"] = 139 * 2**30
    del record.speed["train"]
    table = profiles.profile(Evidence([record]))
    (memory,) = [column for column in table.columns if column.heading == "memory, GiB"]
    assert memory.show(row_of(table, mode="train")) == "> 139.00"
    assert memory.show(row_of(table, mode="inference")) == "8.00"


def test_the_largest_share_tells_what_a_step_is_bound_by() -> None:
    (record,) = repeats(900)
    record.speed["train"].shares = {"arithmetic": 0.2, "memory": 0.62, "launches": 0.1}
    assert row_of(profiles.profile(Evidence([record])), mode="train")["bound"] == "memory, 62 %"
    record.speed["train"].shares = {"arithmetic": 0.2, "memory": 0.26, "launches": 0.1}
    assert row_of(profiles.profile(Evidence([record])), mode="train")["bound"] == "none (memory 26 %)"
    record.speed["train"].shares = {"arithmetic": 0.2}  # compiled: what else it waits for is not known
    assert row_of(profiles.profile(Evidence([record])), mode="train")["bound"] is None


def test_of_compiled_code_only_a_share_of_half_a_step_bounds_it() -> None:
    (record,) = repeats(900)
    record.speed["train"].shares = {"arithmetic": 0.2, "launches": 0.45}
    assert row_of(profiles.profile(Evidence([record])), mode="train")["bound"] is None
    record.speed["train"].shares = {"arithmetic": 0.2, "launches": 0.9}
    assert row_of(profiles.profile(Evidence([record])), mode="train")["bound"] == "launches, 90 %"


def test_what_a_gpu_did_has_columns_where_it_was_measured() -> None:
    (record,) = repeats(900)
    headings = ("kernels", "issuing a step, ms", "GPU busy, %")
    without = markdown.markdown(profiles.profile(Evidence([record])))
    assert not any(heading in without for heading in headings)
    for speed in record.speed.values():
        speed.kernels, speed.issue_ms, speed.busy_share = 812.0, 9.5, 0.875
    table = profiles.profile(Evidence([record]))
    assert all(heading in markdown.markdown(table) for heading in headings)
    assert row_of(table, mode="train")["busy_share"] == 87.5


def test_energy_and_rates_are_marked_where_other_processes_used_the_gpu() -> None:
    (record,) = repeats(900)
    for speed in record.speed.values():
        speed.joules_per_image = 0.5
    record.state = {mode: {"other_processes": others} for mode, others in (("train", 1), ("inference", 0))}
    table = profiles.profile(Evidence([record]))
    (energy,) = [column for column in table.columns if column.heading == "energy, J"]
    assert energy.show(row_of(table, mode="train")) == "0.500" + BUSY
    assert energy.show(row_of(table, mode="inference")) == "0.500"
    assert row_of(table, mode="train")["conditions"] == "other processes on the GPU"
    assert row_of(table, mode="inference")["conditions"] is None


def test_how_code_was_compiled_and_whether_it_was_checkpointed_name_a_row() -> None:
    records = [
        *repeats(900),
        *repeats(1000, compile=True),
        *repeats(1100, compile=True, compile_mode="reduce-overhead"),
        *repeats(700, checkpointing=True),
    ]
    frame = profiles.profile(Evidence(records)).where(mode="train").frame
    assert sorted(frame["compiled"]) == ["no", "no", "reduce-overhead", "yes"]
    assert sorted(frame["checkpointed"].dropna()) == ["yes"]
    assert set(frame["settings"]) == {""}
    assert "checkpointed" not in markdown.terminal(profiles.profile(Evidence(repeats(900))))


def test_a_sweep_tells_how_near_each_batch_comes_to_the_best() -> None:
    records = [profiled("plain", rate, batch) for rate, batch in ((500, 8), (900, 64), (1000, 256))]
    frame = profiles.profile(Evidence(records)).where(mode="inference").frame
    assert dict(zip(frame["batch_size"], frame["of_best"], strict=True)) == {8: 50, 64: 90, 256: 100}
    assert profiles.profile(Evidence(records[:1])).frame["of_best"].isna().all()


def test_a_table_without_repeats_or_a_sweep_has_no_column_for_them() -> None:
    alone = markdown.terminal(profiles.profile(Evidence(repeats(900))))
    assert "best" not in alone
    assert "spread" not in alone
    assert "spread" in markdown.terminal(profiles.profile(Evidence(repeats(900, 1000))))
    sweep = [profiled("plain", rate, batch) for rate, batch in ((500, 8), (1000, 256))]
    assert "best" in markdown.terminal(profiles.profile(Evidence(sweep)))


def test_a_method_is_told_in_shares_of_the_plain_backbone_of_the_same_cell() -> None:
    records = [profiled("plain", 1000, 64), profiled("sef", 800, 64), profiled("sef", 500, 8)]
    frame = profiles.profile(Evidence(records)).where(mode="inference").frame.set_index(["method", "batch_size"])
    assert frame["of_plain"]["sef", 64] == pytest.approx(80)
    assert frame["of_plain"].drop(("sef", 64)).isna().all()
    assert "of plain" not in markdown.terminal(profiles.profile(Evidence(records[::2])))


def test_plain_under_other_settings_is_no_measure_for_a_method() -> None:
    def share(*records: Record) -> Any:
        frame = profiles.profile(Evidence(records)).where(mode="inference").frame.set_index("method")
        return frame["of_plain"]["sef"]

    sef = profiled("sef", 800, classes=100)
    alike, other = profiled("plain", 1000, classes=100), profiled("plain", 500, classes=1000, id="other")
    assert share(sef, alike, other) == pytest.approx(80)
    assert pd.isna(share(sef, other))
    cut = profiled("plain", 400, classes=100, options={"tap": 16}, id="cut")
    for records in ((sef, alike, cut), (sef, cut, alike)):
        assert share(*records) == pytest.approx(80)


def test_a_share_of_plain_is_marked_where_the_ranges_meet_or_a_rate_was_measured_once() -> None:
    # p10 and p90 lie a tenth off the median.
    rates = {"plain": 1000, "sef": 900, "dfl_cnn": 800}
    twice = [profiled(method, rate, id=f"{method}-{n}", repeat=n) for method, rate in rates.items() for n in (0, 1)]
    for records, dfl_cnn in ((twice, "80"), (twice[:-1], "≈ 80")):
        table = profiles.profile(Evidence(records))
        (column,) = [column for column in table.columns if column.heading == "of plain, %"]
        rows = table.where(mode="inference").rows
        assert {row["method"]: column.show(row) for row in rows} == {"plain": "", "sef": "≈ 90", "dfl_cnn": dfl_cnn}


@pytest.mark.parametrize(("hours", "shown"), [((0, 1), "80"), ((2, 9), "80"), ((8, 9), "≈ 80")])
def test_a_share_of_plain_is_marked_where_hours_lie_between_the_two(hours: tuple[int, int], shown: str) -> None:
    """A busy neighbour of a virtual machine halves its rates; no load inside says so."""
    day = datetime(2026, 11, 30, tzinfo=UTC)
    records = [profiled("plain", 1000, id=f"plain-{n}", repeat=n, started=day + timedelta(hours=n)) for n in (0, 1)]
    records += [
        profiled("dfl_cnn", 800, id=f"dfl_cnn-{n}", repeat=n, started=day + timedelta(hours=hours[n])) for n in (0, 1)
    ]
    table = profiles.profile(Evidence(records))
    (column,) = [column for column in table.columns if column.heading == "of plain, %"]
    assert column.show(row_of(table, mode="inference", method="dfl_cnn")) == shown


def test_the_time_of_a_pass_is_told_in_that_of_plains_pass() -> None:
    """A training step of three passes that takes six times as long costs twice as much a pass."""
    records = [profiled("plain", 1200, 64), profiled("ws_dan", 200, 64), profiled("sef", 600, 64)]
    for record, passes in zip(records, (1.0, 3.0, None), strict=True):
        record.speed["train"].passes = passes
    frame = profiles.profile(Evidence(records)).where(mode="train").frame.set_index("method")
    assert frame["pass_of_plain"]["ws_dan"] == pytest.approx(2)
    assert frame["pass_of_plain"].drop("ws_dan").isna().all()
    assert "time of a pass" not in markdown.terminal(profiles.profile(Evidence(records))), "a row is a line there"


def test_rates_with_other_images_are_another_cell() -> None:
    images = {"dataset": "cub100", "feed": "resident", "stored_size": 512}
    both = [*repeats(900, input=images), *repeats(800, input=images | {"dataset": "synthetic"})]
    frame = profiles.profile(Evidence(both)).where(mode="train").frame
    assert dict(zip(frame["settings"], frame["images_per_s"], strict=True)) == {
        "input=cub100, resident": pytest.approx(270),
        "input=synthetic, resident": pytest.approx(240),
    }


def test_what_held_a_rate_down_is_said() -> None:
    (record,) = repeats(900, hardware={"name": "NVIDIA H200", "device": "cuda", "cores": 2})
    assert profiles.profile(Evidence([record])).frame["conditions"].isna().all()
    record.state = {"before": {"load": 3.5}, "train": {"throttled": ["power cap"]}}
    record.speed["inference"].steady = False
    table = profiles.profile(Evidence([record]))
    assert row_of(table, mode="train")["conditions"] == "clocks: power cap, more work than cores"
    assert row_of(table, mode="inference")["conditions"] == "more work than cores, never steady"


def test_parts_and_operations_have_a_row_each_costliest_first() -> None:
    (record,) = repeats(900)
    record.speed["train"].breakdown = {"backbone": 10.0, "backward": 30.0}
    record.speed["train"].operations = [Operation(name="convolution", milliseconds=4.0, share=0.5, calls=53)]
    parts = profiles.parts(Evidence([record])).frame
    assert list(parts["part"]) == ["backward", "backbone"]
    assert list(parts["share"]) == [75, 25]
    assert list(profiles.operations(Evidence([record])).frame["share"]) == [50]
    assert profiles.parts(Evidence(repeats(900))).frame.empty


def test_slower_means_that_the_ranges_do_not_meet() -> None:
    before = repeats(1000)
    assert verdict(before, repeats(850)) == regressions.SLOWER
    assert verdict(before, repeats(1200)) == regressions.FASTER
    assert verdict(before, repeats(950)) == regressions.ALIKE
    assert row_of(regressions.regressions(before, repeats(850)), mode="train")["change"] == pytest.approx(-15)


def test_one_measurement_has_to_differ_by_more_than_two_processes_do() -> None:
    assert verdict(repeats(1000), repeats(890)) == regressions.ALIKE
    assert verdict(repeats(1000, 1000), repeats(890)) == regressions.ALIKE
    assert verdict(repeats(1000, 1000), repeats(890, 890)) == regressions.SLOWER


def test_noise_of_either_side_hides_a_difference() -> None:
    assert verdict(repeats(1000, noise=0.2), repeats(850)) == regressions.ALIKE
    assert verdict(repeats(1000), repeats(850, noise=0.2)) == regressions.ALIKE
    assert verdict(repeats(1000, 800), repeats(850)) == regressions.ALIKE


def test_a_cell_that_no_longer_fits_is_worse() -> None:
    (after,) = repeats(1000)
    after.exceeded["train"] = 1
    del after.speed["train"]
    table = regressions.regressions(repeats(1000), [after])
    assert verdict(repeats(1000), [after], "train") == regressions.NO_ROOM
    assert regressions.worse(table) == 1


def test_only_the_same_cell_on_the_same_device_is_compared() -> None:
    before = [*repeats(1000), trained("plain"), failed("plain")]
    for other in ({"batch_size": 8}, {"precision": "fp32"}, {"options": {"x": 1}}, {"hardware": {"name": "slow"}}):
        assert regressions.regressions(before, repeats(100, **other)).frame.empty
    assert len(regressions.regressions(before, repeats(100)).frame) == 2
    assert regressions.worse(regressions.regressions(before, [])) == 0


def test_measurements_of_other_rules_are_a_row_of_their_own_but_compared_before_and_after() -> None:
    old = [record.model_copy(update={"hash": "by other rules"}) for record in repeats(1000)]
    assert set(profiles.profile(Evidence([*old, *repeats(850)])).frame["settings"]) == {"rules=other", "rules=today's"}
    assert verdict(old, repeats(850)) == regressions.SLOWER
