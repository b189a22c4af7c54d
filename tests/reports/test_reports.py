"""Reports say what the records say: the numbers, what is missing, and nothing that was not measured."""

from __future__ import annotations

import math

import pytest

from reports.cell_format import DASH
from reports.evidence import Evidence
from reports.tables.cost import profiles
from reports.tables.head_to_head import head_to_head
from reports.tables.published import published
from reports.tables.runs import provenance, runs
from reports.tables.table_registry import Tables
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import failed, fill, metrics, profiled, trained
from tests.helpers.report_reader import column, evidence_of, only_row, shown


def missing_reasons(records: list[Record]) -> dict[tuple[str, str], str]:
    return {(row["where"], row["value"]): row["reason"] for row in Tables(Evidence(records))["missing"].rows}


# Head to head


def test_accuracy_is_mean_sample_deviation_and_t_interval_over_seeds():
    row = only_row(
        head_to_head(Evidence([trained("plain", seed, top1) for seed, top1 in enumerate([0.80, 0.82, 0.87])]))
    )
    # Mean 83; squared deviations 9 + 1 + 16, sd = sqrt(13); t(0.975, 2) = 4.30265.
    half = 4.30265 * math.sqrt(13) / math.sqrt(3)
    assert row["last_top1"] == pytest.approx(83)
    assert row["last_top1_sd"] == pytest.approx(math.sqrt(13))
    assert (row["last_top1_low"], row["last_top1_high"]) == pytest.approx((83 - half, 83 + half), abs=1e-4)
    assert (row["seeds"], row["failed"], row["views"]) == (3, 0, 1)


def test_the_three_selections_are_never_mixed():
    table = head_to_head(Evidence([trained("plain", seed, 0.8 + seed / 100) for seed in range(2)]))
    assert shown(table, "top-1 last epoch, %") == ["80.5 ± 0.7"]
    assert shown(table, "validation-selected, %") == ["81.5 ± 0.7"]
    assert shown(table, "best on test, %") == ["82.5 ± 0.7"]


def test_where_one_epoch_was_evaluated_nothing_was_selected():
    once = trained("plain", recipe={"evaluate_every": 10})
    table = head_to_head(Evidence([once]))
    assert shown(table, "top-1 last epoch, %") == ["80.0 (n=1)"]
    assert shown(table, "validation-selected, %") == shown(table, "best on test, %") == [DASH]
    assert shown(runs(Evidence([once])), "best on test, %") == [DASH]
    told = [reason for (_, value), reason in missing_reasons([once]).items() if value.endswith(" top1")]
    assert told == ["one epoch was evaluated: nothing was selected"] * 2
    twice = head_to_head(Evidence([trained("plain", recipe={"evaluate_every": 5})]))
    assert shown(twice, "best on test, %") == ["82.0 (n=1)"]


def test_what_evaluations_and_checkpoints_took_is_shown_where_it_is_known() -> None:
    known = {"images_per_s": 50.0, "seconds": 90.0, "evaluation_seconds": 9.0, "checkpoint_seconds": 1.0}
    table = head_to_head(Evidence([trained("plain", 0), trained("plain", 1, training=known)]))
    assert shown(table, "evaluations, % of time") == ["9.0"]
    assert shown(table, "checkpoints, % of time") == ["1.0"]
    for unknown in {}, {"evaluation_seconds": 9.0}, {"evaluation_seconds": 0.0, "seconds": 0.0}:
        (row,) = head_to_head(Evidence([trained("plain", training=unknown)])).rows
        assert row["evaluation_share"] is None


def test_one_seed_has_neither_deviation_nor_interval():
    table = head_to_head(Evidence([trained("plain")]))
    assert shown(table, "top-1 last epoch, %") == ["80.0 (n=1)"]
    assert shown(table, "95 % interval") == [DASH]
    assert all(only_row(table)[f"last_top1_{name}"] is None for name in ("sd", "low", "high"))
    assert "one seed has no spread" in missing_reasons([trained("plain")]).values()


def test_a_mean_over_fewer_seeds_than_the_row_has_says_so():
    records = [trained("plain", seed, metrics={"last": metrics(0.8)}) for seed in range(2)] + [trained("plain", 2)]
    assert shown(head_to_head(Evidence(records)), "validation-selected, %") == ["81.0 (n=1)"]


def test_cost_comes_from_the_fastest_profile_of_the_same_network_and_size():
    other_size = profiled("plain", 9000, image_size=224, id="small")
    other_variant = profiled("plain", 8000, variant="released")
    records = [trained("plain"), profiled("plain", 1000, 8), profiled("plain", 2000, 64), other_size, other_variant]
    row = only_row(head_to_head(Evidence(records)))
    assert row["inference_images_per_s"] == 2000
    assert row["train_step_images_per_s"] == 600
    assert row["inference_peak_memory"] == 2**33
    assert (row["profiled_on"], row["profiled_as"]) == ("NVIDIA H200", "batch 64, bf16")
    fastest = profiled("plain", 3000, compile=True, compile_mode="reduce-overhead")
    row = only_row(head_to_head(Evidence([trained("plain"), profiled("plain"), fastest])))
    assert row["profiled_as"] == "batch 64, bf16, compiled reduce-overhead"


def test_cost_is_the_median_of_repeats_as_in_the_table_of_profiles():
    repeats = [profiled("plain", rate, repeat=place, id=f"profile-{place}") for place, rate in enumerate((10, 30, 20))]
    table = head_to_head(Evidence([trained("plain"), *repeats, profiled("plain", 19, 8)]))
    row = only_row(table)
    assert (row["inference_images_per_s"], row["train_step_images_per_s"]) == (20, 6)
    assert row["profile_runs"].split(" ") == [record.id for record in repeats]
    assert column(profiles.profile(Evidence(repeats)).where(mode="inference"), "images_per_s") == [20]


def test_cost_is_taken_from_the_device_that_most_profiles_ran_on():
    records = [trained("plain"), trained("sef"), profiled("sef", 900)]
    records += [profiled("plain", 1000), profiled("plain", 5000, 128, hardware={"name": "another GPU"})]
    assert set(head_to_head(Evidence(records)).frame["profiled_on"]) == {"NVIDIA H200"}


def test_training_rates_of_different_devices_are_not_averaged():
    records = [trained("plain", 0), trained("plain", 1, hardware={"name": "Xeon"})]
    assert only_row(head_to_head(Evidence(records)))["training_images_per_s"] is None
    (reason,) = [reason for (_, value), reason in missing_reasons(records).items() if value == "training images per s"]
    assert "different devices" in reason


# What is missing


def test_failed_runs_are_shown_with_their_error_and_a_dash():
    records = [failed("plain", error="CUDA out of memory")]
    table = head_to_head(Evidence(records))
    assert shown(table, "top-1 last epoch, %") == [DASH]
    assert (only_row(table)["seeds"], only_row(table)["failed"]) == (0, 1)
    reasons = missing_reasons(records)
    assert reasons[records[0].id, "the whole Run"] == "CUDA out of memory"
    assert "every Run failed (1)" in reasons.values()
    assert column(runs(Evidence(records)), "status") == ["failed"]


def test_a_failed_seed_stays_in_the_row_of_its_siblings():
    row = only_row(head_to_head(Evidence([trained("plain", 0), trained("plain", 1), failed("plain", 2)])))
    assert (row["seeds"], row["failed"], row["last_top1_n"]) == (2, 1, 2)


def test_a_records_own_reason_is_given_for_the_dash():
    record = trained("plain", metrics={"last": metrics(0.8)}, missing={"metrics.validation": "no validation slice"})
    reasons = missing_reasons([record])
    assert reasons[record.id, "metrics.validation"] == "no validation slice"
    assert [reason for (_, value), reason in reasons.items() if value == "validation top1"] == ["no validation slice"]


def test_an_unprofiled_method_has_dashes_and_a_reason():
    table = head_to_head(Evidence([trained("plain")]))
    assert shown(table, "inference, images/s") == [DASH]
    assert "no finished profile Run of this network and input size" in missing_reasons([trained("plain")]).values()


# Profile, paper, provenance


def test_profile_has_a_row_per_record_and_mode():
    frame = profiles.profile(Evidence([profiled("plain", 1000), profiled("sef", 500)])).frame
    assert list(zip(frame["method"], frame["mode"], frame["images_per_s"], strict=True)) == [
        ("plain", "inference", 1000),
        ("plain", "train", 300),
        ("sef", "inference", 500),
        ("sef", "train", 150),
    ]


def test_published_value_stands_beside_ours_with_difference_and_cover():
    row = {"value": 82.0, "table": "Table 2", "source": "paper", "verified": True, "variant": "[D,D]"}
    top5 = row | {"metric": "top5"}
    records = [trained("plain", seed, top1, published=[row, top5]) for seed, top1 in enumerate([0.80, 0.81])]
    row = only_row(published(Evidence(records)))
    assert (row["published"], row["published_table"], row["published_verified"]) == (82.0, "Table 2", True)
    assert row["difference"] == pytest.approx(-1.5)
    assert row["best_difference"] == pytest.approx(0.5)
    assert row["covered"] is True


def test_paper_table_is_empty_where_nothing_was_published():
    assert published(Evidence([trained("plain")])).frame.empty


def test_one_seed_neither_covers_nor_misses_the_published_value():
    table = published(Evidence([trained("plain", published=[{"value": 82.0}])]))
    assert shown(table, "interval covers it") == [DASH]


def test_provenance_tells_a_split_by_its_hash_and_sizes_not_by_its_class_names():
    split = {"sha256": "5" * 64, "test": 200, "class_names": ["Black footed Albatross"]}
    values = column(provenance(Evidence([trained("plain", split=split)])), "value")
    assert f"sha256 {'5' * 64} (test 200)" in values
    assert not any("Albatross" in value for value in values)


def test_provenance_tells_images_by_their_hash_or_that_it_was_not_taken():
    runs_on = [trained("plain"), trained("plain", images_sha256="a" * 64), trained("plain", dataset="synthetic")]
    rows = [row for row in provenance(Evidence(runs_on)).rows if row["kind"] == "images"]
    assert sorted((row["name"], row["value"]) for row in rows) == [
        ("cub100", "predates the check of images and class names"),
        ("cub100", f"sha256 {'a' * 64}"),
    ]


def test_provenance_counts_runs_per_fact_and_sums_up_what_always_changes():
    records = [trained("plain", seed, hardware={"name": "H200", "clock": seed}) for seed in range(9)]
    facts = {(row["name"], row["value"]): row["runs"] for row in provenance(Evidence(records)).rows}
    assert facts["name", "H200"] == 9
    assert facts["clock", "9 different values"] == 9
    assert facts["commit abc1234", "clean"] == 9


# Intervals


def test_with_predictions_the_interval_is_over_images_and_seeds(store: ResultStore):
    records = [trained("plain", seed) for seed in range(2)]
    fill(store, records, 200)
    table = head_to_head(evidence_of(store))
    row = only_row(table)
    assert row["last_top1_over"] == "images and seeds"
    # 200 images at 80 %: a standard error of 2.8 points.
    assert 5 < row["last_top1_high"] - row["last_top1_low"] < 20
    assert DASH not in shown(table, "95 % interval")


def test_one_seed_has_an_interval_over_images_alone_in_a_column_of_its_own(store: ResultStore):
    fill(store, [trained("plain")], 200)
    table = head_to_head(evidence_of(store))
    assert shown(table, "95 % interval") == [DASH]
    assert DASH not in shown(table, "95 % over images alone")


def test_without_predictions_the_interval_is_marked_as_one_over_seeds_alone():
    records = [trained("plain", seed, 0.8 + seed / 100) for seed in range(3)]
    (cell,) = shown(head_to_head(Evidence(records)), "95 % interval")
    assert cell.endswith("(seeds)")
    assert any("not stored" in reason for reason in missing_reasons(records).values())


def test_training_rate_tells_the_range_of_seeds_on_hosts_of_one_kind():
    rates = [{"images_per_s": rate} for rate in (30.0, 50.0)]
    host = {"device": "cpu", "name": "Xeon", "processor": "Xeon", "threads": 2}
    records = [trained("plain", seed, training=rate, hardware=host) for seed, rate in enumerate(rates)]
    assert shown(head_to_head(Evidence(records)), "training, images/s") == ["40 (30 … 50)"]
    assert shown(head_to_head(Evidence(records[:1])), "training, images/s") == ["30"]


def test_known_deviations_stand_beside_the_published_value():
    rows = [{"value": 82.0, "table": "Table 2"}]
    records = [
        trained("plain", seed, published=rows, deviations=["The paper names no weight decay."]) for seed in (0, 1)
    ]
    assert shown(published(Evidence(records)), "known deviations") == ["The paper names no weight decay."]


def test_a_recipe_changed_by_hand_is_told_and_covers_no_published_value():
    rows, changed = [{"value": 82.0, "table": "Table 2"}], ["epochs: 2 in place of 160"]
    records = [trained("plain", seed, top1=0.80 + seed / 25, published=rows) for seed in range(2)]
    assert shown(published(Evidence(records)), "interval covers it") == ["yes"]
    table = published(Evidence([record.model_copy(update={"changed": changed}) for record in records]))
    assert (shown(table, "changed by hand"), shown(table, "interval covers it")) == (changed, ["–"])


def test_an_interval_does_not_leave_the_scale(store: ResultStore):
    for seed, top1 in enumerate((0.99, 0.5)):
        fill(store, [trained("plain", seed, top1=top1)])
    (row,) = head_to_head(Evidence(store.records())).rows
    assert (row["last_top1_low"], row["last_top1_high"]) == (0, 100)
