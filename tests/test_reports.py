"""Reports say what the records say: the numbers, what is missing, and nothing that was not measured."""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import cells, formats, profiles, tables
from reports.answers import NOTHING_STORED, Answers
from reports.arenas import arenas
from reports.builders import build_tables
from reports.cells import DASH, absent
from reports.groups import groups, labels
from reports.missing import missing
from reports.paired import paired
from reports.provenance import provenance
from reports.readme import check_readme, pages, render_readme, write_readme
from reports.report import Report, terminal_tables, write_report
from reports.sections import sections
from reports.statistics import holm
from reports.tables import Table
from reports.wins import wins
from results.record import Record
from results.store import ResultStore
from tests.fake_results import HOSTILE, failed, fill, metrics, predictions, profiled, trained


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path / "results")
    store.prepare()
    return store


def only_row(table: Table) -> dict:
    (row,) = table.frame.to_dict("records")
    return row


def shown(table: Table, heading: str) -> list[str]:
    (column,) = [column for column in table.columns if column.heading == heading]
    return [column.show(row) for row in table.frame.to_dict("records")]


def missing_reasons(records: list[Record]) -> dict[tuple[str, str], str]:
    table = missing(records, tables.head_to_head(records), paired(records, NOTHING_STORED))
    return {(row["where"], row["value"]): row["reason"] for row in table.frame.to_dict("records")}


# Head to head


def test_accuracy_is_mean_sample_deviation_and_t_interval_over_seeds():
    row = only_row(tables.head_to_head([trained("plain", seed, top1) for seed, top1 in enumerate([0.80, 0.82, 0.87])]))
    # Mean 83; squared deviations 9 + 1 + 16, sd = sqrt(13); t(0.975, 2) = 4.30265.
    half = 4.30265 * math.sqrt(13) / math.sqrt(3)
    assert row["last_top1"] == pytest.approx(83)
    assert row["last_top1_sd"] == pytest.approx(math.sqrt(13))
    assert (row["last_top1_low"], row["last_top1_high"]) == pytest.approx((83 - half, 83 + half), abs=1e-4)
    assert (row["seeds"], row["failed"], row["views"]) == (3, 0, 1)


def test_the_three_selections_are_never_mixed():
    table = tables.head_to_head([trained("plain", seed, 0.8 + seed / 100) for seed in range(2)])
    assert shown(table, "top-1 last epoch, %") == ["80.5 ± 0.7"]
    assert shown(table, "validation-selected, %") == ["81.5 ± 0.7"]
    assert shown(table, "best on test, %") == ["82.5 ± 0.7"]


def test_where_one_epoch_was_evaluated_nothing_was_selected():
    once = trained("plain", recipe={"evaluate_every": 10})
    table = tables.head_to_head([once])
    assert shown(table, "top-1 last epoch, %") == ["80.0 (n=1)"]
    assert shown(table, "validation-selected, %") == shown(table, "best on test, %") == [DASH]
    assert shown(tables.runs([once]), "best on test, %") == [DASH]
    told = [reason for (_, value), reason in missing_reasons([once]).items() if value.endswith(" top1")]
    assert told == ["one epoch was evaluated: nothing was selected"] * 2
    twice = tables.head_to_head([trained("plain", recipe={"evaluate_every": 5})])
    assert shown(twice, "best on test, %") == ["82.0 (n=1)"]


def test_one_seed_has_neither_deviation_nor_interval():
    table = tables.head_to_head([trained("plain")])
    assert shown(table, "top-1 last epoch, %") == ["80.0 (n=1)"]
    assert shown(table, "95 % interval") == [DASH]
    assert all(absent(only_row(table)[f"last_top1_{name}"]) for name in ("sd", "low", "high"))
    assert "one seed has no spread" in missing_reasons([trained("plain")]).values()


def test_a_mean_over_fewer_seeds_than_the_row_has_says_so():
    records = [trained("plain", seed, metrics={"last": metrics(0.8)}) for seed in range(2)] + [trained("plain", 2)]
    assert shown(tables.head_to_head(records), "validation-selected, %") == ["81.0 (n=1)"]


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged():
    records = [trained("plain", 0, 0.8), trained("plain", 1, 0.4, recipe={"epochs": 2})]
    table = tables.head_to_head(records)
    assert sorted(table.frame["settings"]) == ["epochs=10", "epochs=2"]
    assert table.frame["last_top1_n"].tolist() == [1, 1]


def test_the_suite_a_run_was_made_for_is_no_setting():
    assert len(groups([trained("plain", 0, suite="quick"), trained("plain", 1, suite="head")])) == 1


def test_accuracies_on_different_splits_are_not_averaged():
    assert len(groups([trained("plain", 0), trained("plain", 1, split_sha256="other")])) == 2


def test_cost_comes_from_the_fastest_profile_of_the_same_network_and_size():
    other_size = profiled("plain", 9000, image_size=224, recipe={"image_size": 224}, id="small")
    other_variant = profiled("plain", 8000, variant="released")
    records = [trained("plain"), profiled("plain", 1000, 8), profiled("plain", 2000, 64), other_size, other_variant]
    row = only_row(tables.head_to_head(records))
    assert row["inference_images_per_s"] == 2000
    assert row["train_step_images_per_s"] == 600
    assert row["inference_peak_memory"] == 2**33
    assert (row["profiled_on"], row["profiled_as"]) == ("NVIDIA H200", "batch 64, bf16")


def test_cost_is_taken_from_the_device_that_most_profiles_ran_on():
    records = [trained("plain"), trained("sef"), profiled("sef", 900)]
    records += [profiled("plain", 1000), profiled("plain", 5000, 128, hardware={"name": "another GPU"})]
    assert set(tables.head_to_head(records).frame["profiled_on"]) == {"NVIDIA H200"}


def test_training_rates_of_different_devices_are_not_averaged():
    records = [trained("plain", 0), trained("plain", 1, hardware={"name": "Xeon"})]
    assert absent(only_row(tables.head_to_head(records))["training_images_per_s"])
    (reason,) = [reason for (_, value), reason in missing_reasons(records).items() if value == "training images per s"]
    assert "different devices" in reason


# What is missing


def test_failed_runs_are_shown_with_their_error_and_a_dash():
    records = [failed("plain", error="CUDA out of memory")]
    table = tables.head_to_head(records)
    assert shown(table, "top-1 last epoch, %") == [DASH]
    assert (only_row(table)["seeds"], only_row(table)["failed"]) == (0, 1)
    reasons = missing_reasons(records)
    assert reasons[records[0].id, "the whole Run"] == "CUDA out of memory"
    assert "every Run failed (1)" in reasons.values()
    assert tables.runs(records).frame["status"].tolist() == ["failed"]


def test_a_failed_seed_stays_in_the_row_of_its_siblings():
    row = only_row(tables.head_to_head([trained("plain", 0), trained("plain", 1), failed("plain", 2)]))
    assert (row["seeds"], row["failed"], row["last_top1_n"]) == (2, 1, 2)


def test_a_records_own_reason_is_given_for_the_dash():
    record = trained("plain", metrics={"last": metrics(0.8)}, missing={"metrics.validation": "no validation slice"})
    reasons = missing_reasons([record])
    assert reasons[record.id, "metrics.validation"] == "no validation slice"
    assert [reason for (_, value), reason in reasons.items() if value == "validation top1"] == ["no validation slice"]


def test_an_unprofiled_method_has_dashes_and_a_reason():
    table = tables.head_to_head([trained("plain")])
    assert shown(table, "inference, images/s") == [DASH]
    assert "no finished profile Run of this network and input size" in missing_reasons([trained("plain")]).values()


# Profile, paper, provenance


def test_profile_has_a_row_per_record_and_mode():
    frame = profiles.profile([profiled("plain", 1000), profiled("sef", 500)]).frame
    assert list(zip(frame["method"], frame["mode"], frame["images_per_s"], strict=True)) == [
        ("plain", "inference", 1000),
        ("plain", "train", 300),
        ("sef", "inference", 500),
        ("sef", "train", 150),
    ]


def test_published_value_stands_beside_ours_with_difference_and_cover():
    published = {"value": 82.0, "table": "Table 2", "source": "paper", "verified": True, "variant": "[D,D]"}
    top5 = published | {"metric": "top5"}
    records = [trained("plain", seed, top1, published=[published, top5]) for seed, top1 in enumerate([0.80, 0.81])]
    row = only_row(tables.paper(records))
    assert (row["published"], row["published_table"], row["published_verified"]) == (82.0, "Table 2", True)
    assert row["difference"] == pytest.approx(-1.5)
    assert row["best_difference"] == pytest.approx(0.5)
    assert row["covered"] is True


def test_paper_table_is_empty_where_nothing_was_published():
    assert tables.paper([trained("plain")]).frame.empty


def test_one_seed_neither_covers_nor_misses_the_published_value():
    table = tables.paper([trained("plain", published=[{"value": 82.0}])])
    assert shown(table, "interval covers it") == [DASH]


def test_provenance_tells_a_split_by_its_hash_and_sizes_not_by_its_class_names():
    split = {"sha256": "5" * 64, "test": 200, "class_names": ["Black footed Albatross"]}
    values = provenance([trained("plain", split=split)]).frame["value"].tolist()
    assert f"sha256 {'5' * 64} (test 200)" in values
    assert not any("Albatross" in value for value in values)


def test_provenance_counts_runs_per_fact_and_sums_up_what_always_changes():
    records = [trained("plain", seed, hardware={"name": "H200", "clock": seed}) for seed in range(9)]
    facts = {(row["name"], row["value"]): row["runs"] for row in provenance(records).frame.to_dict("records")}
    assert facts["name", "H200"] == 9
    assert facts["clock", "9 different values"] == 9
    assert facts["commit abc1234", "clean"] == 9


# Paired comparison


def test_pairs_are_tested_on_the_seeds_they_share(store: ResultStore):
    records = [trained("plain", 0), trained("plain", 1), trained("sef", 1), trained("sef", 2)]
    right = {"plain": np.arange(100) < 70, "sef": np.arange(100) < 80}
    for record in records:
        store.write(record, predictions=predictions(right[record.run["method"]]))
    row = only_row(paired(records, Answers(store.predictions)))
    assert (row["seeds"], row["images"]) == (1, 100)
    assert row["difference"] == pytest.approx(-10)
    assert row["p"] == row["p_holm"] == pytest.approx(2 * 0.5**10)
    assert row["better"] == "sef"


def test_pairs_are_compared_by_image_not_by_place(store: ResultStore):
    records = [trained("plain"), trained("sef")]
    table = predictions(np.arange(50) < 25)
    store.write(records[0], predictions=table)
    store.write(records[1], predictions=table.sample(frac=1, random_state=0))
    row = only_row(paired(records, Answers(store.predictions)))
    assert (row["difference"], row["p"], row["better"]) == (0, 1, "neither")


def test_only_last_epoch_predictions_are_compared(store: ResultStore):
    records = [trained("plain"), trained("sef")]
    last, best = predictions(np.zeros(20, bool)), predictions(np.ones(20, bool), "best_on_test")
    store.write(records[0], predictions=pd.concat([last, best]))
    store.write(records[1], predictions=last)
    assert only_row(paired(records, Answers(store.predictions)))["difference"] == 0


@pytest.mark.parametrize(
    ("seed", "images", "reason"),
    [(1, 50, "no seed in common"), (0, 40, "not of the same test images"), (0, 0, "no stored predictions")],
)
def test_pairs_that_cannot_be_tested_say_why(store: ResultStore, seed: int, images: int, reason: str):
    records = [trained("plain"), trained("sef", seed)]
    fill(store, records[:1], 50)
    fill(store, records[1:], images)
    table = paired(records, Answers(store.predictions))
    assert shown(table, "p McNemar (Holm)") == [DASH]
    assert reason in only_row(table)["reason"]
    frame = missing(records, tables.head_to_head(records), table).frame
    assert only_row(table)["reason"] in frame[frame["value"] == "paired test"]["reason"].tolist()


@pytest.mark.parametrize(
    "change", [{"dataset": "cars"}, {"backbone": "vgg16"}, {"protocol": "paper"}, {"recipe": {"epochs": 2}}]
)
def test_methods_under_different_conditions_are_not_paired(change: dict):
    assert paired([trained("plain"), trained("sef", **change)], NOTHING_STORED).frame.empty


def test_predictions_are_not_read_where_there_is_no_pair():
    def read(run_id: str) -> None:
        raise AssertionError(f"{run_id} was read")

    assert paired([trained("plain", seed) for seed in range(3)], Answers(read)).frame.empty


def test_a_pair_is_decided_only_if_both_tests_say_so(store: ResultStore):
    # Each seed's models differ beyond doubt, but in opposite directions: nothing is said of the methods.
    records = [trained(method, seed) for method in ("plain", "sef") for seed in range(2)]
    right = {("plain", 0): 90, ("sef", 0): 60, ("plain", 1): 61, ("sef", 1): 90}
    for record in records:
        share = right[record.run["method"], record.run["seed"]]
        store.write(record, predictions=predictions(np.arange(100) < share))
    row = only_row(paired(records, Answers(store.predictions)))
    assert (row["better"], row["p"]) == ("neither", 1)
    assert row["difference_low"] < 0 < row["difference_high"]


@pytest.mark.parametrize(
    "change", [{"recipe": {"batch_size": 64}}, {"recipe": {"augment": {"flip": 0.0}}}, {"split_sha256": "other"}]
)
def test_what_tells_two_arenas_apart_is_in_their_names(change: dict):
    records = [trained("plain"), trained("sef", **change)]
    assert paired(records, NOTHING_STORED).frame.empty
    names = [str(arena) for arena in arenas(groups(records))]
    assert len(set(names)) == 2
    assert all(name.startswith("cub100, common recipe, resnet50, 448 px, epochs: 10, ") for name in names)


def test_what_a_method_may_set_and_what_changes_no_result_keep_nobody_apart():
    recipe = {"lr_scale": {"head": 10.0}, "evaluate_every": 5, "clip_norm": None}
    assert len(paired([trained("plain"), trained("sef", recipe=recipe)], NOTHING_STORED).frame) == 1


def test_each_arena_is_corrected_for_its_own_pairs(store: ResultStore):
    pair, three = ("plain", "sef"), ("plain", "sef", "dfl_cnn")
    records = [trained(method, dataset="cars") for method in pair] + [trained(method) for method in three]
    fill(store, records, 100)
    frame = paired(records, Answers(store.predictions)).frame
    assert frame.groupby("dataset")["family"].unique().map(list).to_dict() == {"cars": [1], "cub100": [3]}
    (row,) = frame[frame["dataset"] == "cars"].to_dict("records")
    assert row["p_holm"] == row["p"]


def test_a_page_that_shows_some_pairs_corrects_for_all_of_their_arena(store: ResultStore, readme: Path):
    fill(store, [trained(method) for method in ("plain", "sef", "dfl_cnn")], 100)
    whole = paired(store.records(), Answers(store.predictions)).frame
    (row,) = whole[(whole["first"] == "plain") & (whole["second"] == "sef")].to_dict("records")
    readme.write_text("<!-- table: paired method=[ps][le]* variant=paper -->\n<!-- /table -->\n")
    (line,) = [line for line in render_readme(readme, store).splitlines() if line.startswith("| plain")]
    told = [cell.strip() for cell in line.split("|")]
    assert f"{row['p_holm']:.3f}" in told
    assert "3" in told[-3], "pairs corrected for"


def test_with_one_seed_who_is_better_is_marked(store: ResultStore):
    records = [trained("plain"), trained("sef")]
    for record in records:
        store.write(record, predictions=predictions(np.arange(100) < (90 if record.run["method"] == "sef" else 60)))
    assert shown(paired(records, Answers(store.predictions)), "better at 5 %") == ["sef (n=1)"]


def test_both_tests_are_corrected_for_the_number_of_pairs(store: ResultStore):
    records = [trained(method) for method in ("plain", "sef", "dfl_cnn")]
    fill(store, records, 100)
    frame = paired(records, Answers(store.predictions)).frame
    for key in ("p", "p_bootstrap"):
        assert frame[f"{key}_holm"].tolist() == pytest.approx(holm(frame[key].tolist()))


def test_win_matrix_counts_wins_losses_and_what_is_open(store: ResultStore):
    records = [trained("plain"), trained("sef"), trained("dfl_cnn"), trained("ws_dan")]
    shares = {"plain": 60, "sef": 90, "dfl_cnn": 91}
    for record in records:
        known = record.run["method"] in shares
        table = predictions(np.arange(100) < shares[record.run["method"]]) if known else None
        store.write(record, predictions=table)
    table = wins(paired(records, Answers(store.predictions)))
    counts = {
        row["method"]: (row["wins"], row["losses"], row["open"], row["untested"])
        for row in table.frame.to_dict("records")
    }
    nothing = {"ws_dan": (0, 0, 0, 3)}
    assert counts == {"plain": (0, 2, 0, 1), "sef": (1, 0, 1, 1), "dfl_cnn": (1, 0, 1, 1)} | nothing
    methods = table.frame["method"].tolist()
    against_plain = dict(zip(methods, shown(table, "plain"), strict=True))
    assert against_plain == {"plain": "·", "sef": "+30.0 better", "dfl_cnn": "+31.0 better", "ws_dan": DASH}
    assert dict(zip(methods, shown(table, "sef"), strict=True))["dfl_cnn"] == "+1.0 open"


def test_win_matrix_of_each_comparison_has_its_own_opponents(store: ResultStore):
    records = [trained(method, dataset=dataset) for method, dataset in (("a", "x"), ("b", "x"), ("a", "y"), ("c", "y"))]
    fill(store, records, 50)
    parts = dict(sections(wins(paired(records, Answers(store.predictions)))))
    headings = [[column.heading for column in part.columns] for part in parts.values()]
    assert [("b" in found, "c" in found) for found in headings] == [(True, False), (False, True)]


# Intervals


def test_with_predictions_the_interval_is_over_images_and_seeds(store: ResultStore):
    records = [trained("plain", seed) for seed in range(2)]
    fill(store, records, 200)
    frame = tables.head_to_head(records, Answers(store.predictions)).frame
    (row,) = frame.to_dict("records")
    assert row["last_top1_over"] == "images and seeds"
    # 200 images at 80 %: a standard error of 2.8 points.
    assert 5 < row["last_top1_high"] - row["last_top1_low"] < 20
    assert DASH not in shown(tables.head_to_head(records, Answers(store.predictions)), "95 % interval")


def test_one_seed_has_an_interval_over_images_alone_in_a_column_of_its_own(store: ResultStore):
    fill(store, [trained("plain")], 200)
    table = tables.head_to_head(store.records(), Answers(store.predictions))
    assert shown(table, "95 % interval") == [DASH]
    assert DASH not in shown(table, "95 % over images alone")


def test_without_predictions_the_interval_is_marked_as_one_over_seeds_alone():
    records = [trained("plain", seed, 0.8 + seed / 100) for seed in range(3)]
    (cell,) = shown(tables.head_to_head(records), "95 % interval")
    assert cell.endswith("(seeds)")
    assert any("not stored" in reason for reason in missing_reasons(records).values())


def test_training_rate_tells_the_range_of_seeds_on_hosts_of_one_kind():
    rates = [{"images_per_s": rate} for rate in (30.0, 50.0)]
    host = {"device": "cpu", "name": "Xeon", "processor": "Xeon", "threads": 2}
    records = [trained("plain", seed, training=rate, hardware=host) for seed, rate in enumerate(rates)]
    assert shown(tables.head_to_head(records), "training, images/s") == ["40 (30 … 50)"]
    assert shown(tables.head_to_head(records[:1]), "training, images/s") == ["30"]


def test_known_deviations_stand_beside_the_published_value():
    published = [{"value": 82.0, "table": "Table 2"}]
    records = [
        trained("plain", seed, published=published, deviations=["The paper names no weight decay."]) for seed in (0, 1)
    ]
    assert shown(tables.paper(records), "known deviations") == ["The paper names no weight decay."]


# Formats


def test_nothing_has_no_sign():
    row = {"x": -0.04, "x_low": -0.04, "x_high": 0.04}
    assert cells.signed("x", "").show(row) == "+0.0"
    assert cells.interval("x", "").show(row) == "0.0 … 0.0"


def test_hostile_names_stay_text_in_markdown():
    text = formats.markdown(tables.head_to_head([trained(HOSTILE)]))
    heading, _, row = text.splitlines()
    assert "<script" not in text
    assert "\x1b" not in text
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"(?<!\\)\|", heading))
    assert r"\$x\$ \*y\* \[z\](u)" in row


def test_csv_keeps_names_as_they_are_and_numbers_unrounded():
    table = tables.head_to_head([trained(HOSTILE, 0, 0.8), trained(HOSTILE, 1, 1 / 3)])
    (row,) = csv.DictReader(io.StringIO(formats.csv(table)))
    assert row["method"] == HOSTILE
    assert float(row["last_top1"]) == 100 * (0.8 + 1 / 3) / 2


def test_missing_numbers_are_empty_in_csv():
    (row,) = csv.DictReader(io.StringIO(formats.csv(tables.head_to_head([trained("plain")]))))
    assert row["last_top1_sd"] == row["inference_images_per_s"] == ""


def test_terminal_tables_fit_and_carry_no_control_characters(store: ResultStore):
    names = ["plain", "a_method_with_quite_a_long_name_that_goes_on", HOSTILE]
    records = [trained(name, seed, variant="released_by_the_authors") for name in names for seed in range(2)]
    records += [trained("plain", backbone="swin_base_patch4_window12_384.ms_in22k"), profiled("plain"), failed("sef")]
    fill(store, records, 50)
    texts = terminal_tables(write_report(store, store.root / "report", "x"))
    assert max(len(line) for text in texts[1:] for line in text.splitlines()) <= formats.WIDTH
    assert "\x1b" not in "".join(texts)
    assert any("83.0" in text or "80.0" in text for text in texts)


def test_long_terminal_tables_say_how_many_rows_are_left_out():
    table = tables.runs([trained("plain", seed) for seed in range(50)])
    assert formats.terminal(table).endswith("… 10 more in runs.csv")


def test_labels_are_as_short_as_tells_rows_apart():
    records = [trained("plain"), trained("ws_dan"), trained("ws_dan", variant="released")]
    frame = pd.DataFrame([group.names for group in groups(records)])
    assert sorted(labels(frame)) == ["plain", "ws_dan paper", "ws_dan released"]


# The report


def test_no_table_has_two_columns_of_one_name():
    for name, table in build_tables([], NOTHING_STORED).items():
        headings = [column.heading for column in table.columns]
        assert sorted(set(headings)) == sorted(headings), name


def test_the_summary_names_the_best_of_each_arena_and_counts_reasons(store: ResultStore, tmp_path: Path):
    records = [trained("plain"), trained("sef", top1=0.7), trained("sef", top1=0.9, variant="no_lmgm")]
    fill(store, [*records, trained("sef", top1=0.6, recipe={"epochs": 3})])
    summary = write_report(store, tmp_path / "report", "x").summary
    best = [sentence.partition(": highest last-epoch top-1 in %: ") for sentence in summary if "highest" in sentence]
    assert [(place, told) for place, _, told in best] == [
        ("cub100, common recipe, resnet50, 448 px, epochs: 10", "80.0 (n=1), plain paper (of 2 with an accuracy)."),
        ("cub100, common recipe, resnet50, 448 px, epochs: 3", "60.0 (n=1), sef paper (of 1 with an accuracy)."),
    ]
    assert any(re.fullmatch(r"Values are missing for \d+ reasons, listed below\.", sentence) for sentence in summary)


def test_an_empty_store_says_that_there_is_nothing_yet(tmp_path: Path):
    report = write_report(ResultStore(tmp_path / "nowhere"), tmp_path / "report", "Empty")
    assert "There is nothing yet" in report.page.read_text()
    assert "nothing yet" in terminal_tables(report)[0]
    assert report.pictures == {}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    store = ResultStore(folder / "results")
    records = [trained(method, seed, 0.8 + seed / 100) for method in ("plain", HOSTILE) for seed in range(2)]
    fill(store, [*records, profiled("plain"), failed("sef"), trained("plain", protocol="paper")], 60)
    return write_report(store, folder / "report", "Birds & <b>cars</b>")


def test_report_reads_summary_then_jobs_then_missing_then_provenance(report: Report):
    text = report.page.read_text()
    order = ["6 done, 1 failed", "## Reproduce", "## Compare", "## Profile", "### What is missing", "### Provenance"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "<" not in text.replace("](", "")


def test_report_links_are_relative_and_lead_to_files(report: Report):
    links = re.findall(r"(?<!\\)\]\((.*?)\)", report.page.read_text())
    assert links
    assert all((report.page.parent / link).is_file() for link in links)
    assert all(path.is_file() for path in report.paths)


def test_report_keeps_protocols_in_separate_tables(report: Report):
    text = report.page.read_text()
    assert "#### cub100, common recipe" in text
    assert "#### cub100, paper recipe" in text


def test_report_on_chosen_records_leaves_out_the_others(store: ResultStore, tmp_path: Path):
    fill(store, [trained("plain"), trained("sef")])
    report = write_report(store, tmp_path / "report", "One", [trained("plain")])
    assert "sef" not in report.page.read_text()


# README


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text("# A\n<!-- table: head_to_head dataset=cub100 -->\nold\n<!-- /table -->\nend\n")
    return path


def test_readme_tables_are_rendered_between_their_markers(store: ResultStore, readme: Path):
    fill(store, [trained("plain"), trained("sef", dataset="cars"), profiled("plain", 2000)])
    text = render_readme(readme, store)
    assert text.startswith("# A\n<!-- table: head_to_head dataset=cub100 -->\n\n| method")
    assert text.endswith("\n<!-- /table -->\nend\n")
    assert "old" not in text
    assert "| sef" not in text
    assert " 2000 |" in text


def test_a_compact_readme_table_keeps_the_columns_that_matter_most(store: ResultStore, readme: Path):
    fill(store, [trained("plain")])
    readme.write_text("<!-- table: head_to_head compact dataset=cub100 -->\n<!-- /table -->\n")
    compact = render_readme(readme, store)
    assert "top-1 last epoch" in compact
    assert "calibration" not in compact
    readme.write_text("<!-- table: head_to_head dataset=cub100 -->\n<!-- /table -->\n")
    assert "calibration" in render_readme(readme, store)


def test_an_interval_does_not_leave_the_scale(store: ResultStore):
    for seed, top1 in enumerate((0.99, 0.5)):
        fill(store, [trained("plain", seed, top1=top1)])
    (row,) = tables.head_to_head(store.records()).frame.to_dict("records")
    assert (row["last_top1_low"], row["last_top1_high"]) == (0, 100)


def test_readme_check_fails_until_the_table_is_what_the_records_give(store: ResultStore, readme: Path):
    fill(store, [trained("plain")])
    assert not check_readme(readme, store)
    write_readme(readme, store)
    assert check_readme(readme, store)
    fill(store, [trained("plain", 1)])
    assert not check_readme(readme, store)


def test_tables_in_latex_files_are_rendered_between_their_comments(store: ResultStore, tmp_path: Path):
    fill(store, [trained("plain")])
    page = tmp_path / "paper.tex"
    page.write_text("before\n% table: head_to_head compact dataset=cub100\nold\n% /table\nafter\n")
    write_readme(page, store)
    text = page.read_text()
    assert text.startswith("before\n% table: head_to_head compact dataset=cub100\n\\begin{tabular}")
    assert text.endswith("\\end{tabular}\n% /table\nafter\n")
    assert check_readme(page, store)


def test_the_pages_of_a_checkout_are_those_with_tables(tmp_path: Path):
    for folder in ("docs/deep", "reports", "methods/plain", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    marked = "<!-- table: runs -->\n<!-- /table -->\n"
    for name in ("README.md", "docs/deep/a.md", "methods/plain/README.md", "elsewhere/b.md"):
        (tmp_path / name).write_text(marked)
    (tmp_path / "docs/none.md").write_text("no table\n")
    (tmp_path / "reports/t.tex").write_text("% table: runs\n% /table\n")
    names = [str(path.relative_to(tmp_path)) for path in pages(tmp_path)]
    assert names == ["README.md", "docs/deep/a.md", "reports/t.tex", "methods/plain/README.md"]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [("head_to_had", "'head_to_head'"), ("runs datset=cub100", "'dataset'"), ("runs cub100", "name=value")],
)
def test_readme_names_the_nearest_table_or_filter(store: ResultStore, readme: Path, asked: str, nearest: str):
    readme.write_text(f"<!-- table: {asked} -->\n<!-- /table -->\n")
    with pytest.raises(ValueError, match=nearest):
        render_readme(readme, store)


def test_readme_block_without_an_end_is_an_error(store: ResultStore, readme: Path):
    readme.write_text("<!-- table: runs -->\nall that follows")
    with pytest.raises(ValueError, match="has no <!-- /table -->"):
        render_readme(readme, store)


ROOT = Path(__file__).parents[1]


def test_committed_pages_are_what_the_committed_records_give():
    store = ResultStore(ROOT / "results" / "reference")
    found = pages(ROOT)
    assert ROOT / "README.md" in found
    assert [page for page in found if not check_readme(page, store)] == []


def test_check_on_the_command_line_fails_for_pages_that_other_records_would_fill(tmp_path: Path):
    command = [sys.executable, "run_all.py", "report", "--check", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "README.md: its tables are not what the records give; run report --readme" in done.stdout
