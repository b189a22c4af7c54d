"""Accuracy over the hours of a training's device."""

from __future__ import annotations

import numpy as np
import pytest

from reports.evidence import Evidence
from reports.tables.cost.training_time import course, device_hours, on_one_device, unit
from reports.tables.head_to_head import head_to_head
from results.record import Record
from results.stored_tables import Columns
from tests.helpers.fakes.fake_results import columns, history, trained
from tests.helpers.report_reader import only_row, shown

CPU = {"device": "cpu", "processor": "AMD EPYC", "threads": 2}


def of_seed(seed: int, **values: object) -> Columns:
    return columns(history(seed).assign(seconds=np.arange(10.0) + seed, **values))


def test_a_course_is_the_mean_over_seeds_of_hours_and_accuracy_at_each_epoch():
    records = [trained("plain", seed) for seed in range(3)]
    tables = {record.id: of_seed(seed) for seed, record in enumerate(records)}
    found = course(records, tables.get)
    assert found is not None
    for epoch in range(10):
        seconds = [sum(table["seconds"][: epoch + 1]) for table in tables.values()]
        top1 = [100 * table["test_top1"][epoch] for table in tables.values()]
        assert found.hours[epoch] == pytest.approx(sum(seconds) / 3 / 3600)
        assert found.top1[epoch] == pytest.approx(sum(top1) / 3)
        assert (found.low[epoch], found.high[epoch]) == pytest.approx((min(top1), max(top1)))


def test_epochs_that_some_seed_did_not_evaluate_are_left_out():
    records = [trained("plain", seed) for seed in range(2)]
    tables = {record.id: of_seed(seed) for seed, record in enumerate(records)}
    tables[records[1].id]["test_top1"] = np.r_[[np.nan] * 4, history(1)["test_top1"][4:]]
    found = course(records, tables.get)
    assert found is not None
    assert len(found.hours) == 6
    assert found.hours[0] == pytest.approx((sum(range(5)) + sum(range(1, 6))) / 2 / 3600), "time goes on all the same"


def without_seconds(record: Record) -> Columns:
    return {name: values for name, values in of_seed(0).items() if name != "seconds"}


def test_without_a_history_of_seconds_the_record_gives_one_point():
    record = trained("plain", top1=0.7, training={"seconds": 1800.0})
    for tables in (lambda run: None, lambda run: without_seconds(record)):
        found = course([record], tables)
        assert found is not None
        assert (found.hours.tolist(), found.top1.tolist()) == ([0.5], [70.0])
    assert course([trained("plain", training={})], lambda run: None) is None


def test_hours_are_those_of_all_devices_and_say_which():
    record = trained("plain", training={"seconds": 1800.0, "processes": 4})
    assert device_hours(record) == 2.0
    found = course([record], {record.id: of_seed(0)}.get)
    assert found is not None
    assert found.hours[-1] == pytest.approx(4 * 45 / 3600)
    assert unit(record) == "GPU-hours on NVIDIA H200"
    assert unit(trained("plain", hardware=CPU)) == "CPU hours on AMD EPYC, 2 threads"


def test_only_trainings_on_the_most_common_device_are_compared():
    on_cpu = [trained("cal", seed, hardware=CPU) for seed in range(2)]
    moved = [trained("sef"), trained("sef", 1, hardware=CPU)]
    name, there = on_one_device(Evidence([*on_cpu, *moved, trained("plain")]).groups)
    assert name == "CPU hours on AMD EPYC, 2 threads", "on it ran three, on the other two"
    assert [[record.id for record in records] for records in there.values()] == [
        [record.id for record in on_cpu],
        [moved[1].id],
    ]
    assert on_one_device([]) == ("", {})


def test_the_table_has_the_hours_of_a_training_where_all_seeds_had_the_same_device():
    seconds = [{"seconds": 1800.0, "images_per_s": 9.0}, {"seconds": 5400.0, "images_per_s": 9.0}]
    records = [trained("plain", seed, training=one) for seed, one in enumerate(seconds)]
    table = head_to_head(Evidence(records))
    assert only_row(table)["training_hours"] == 1.0
    assert shown(table, "training, device hours") == ["1.00"]
    moved = [records[0], records[1].model_copy(update={"hardware": CPU})]
    assert only_row(head_to_head(Evidence(moved)))["training_hours"] is None
