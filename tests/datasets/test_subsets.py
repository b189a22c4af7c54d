"""Datasets scored subset by subset: planned together, never in one table, and averaged only when all are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environment import Environment, subsets
from benchmarks.planning import expand, suite_builders
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from datasets import DatasetError
from datasets.readers import webfg_496
from datasets.release import Expected
from reports.cell_format import DASH
from reports.evidence import Evidence
from reports.render.readme_blocks import render_readme
from reports.report import write_report
from reports.tables.across.subset_means import averages
from reports.tables.head_to_head import head_to_head
from reports.tables.table_registry import Tables
from results.record import Record
from results.settings import ProfileRun, Run
from results.store import ResultStore
from tests.helpers.fakes.fake_results import SPLIT, failed, fill, metrics, trained
from tests.helpers.small_folders import draw_noise

WEBFG = [{"subset": "bird"}, {"subset": "aircraft"}, {"subset": "car"}]
CLASSES = {"bird": 3, "aircraft": 2, "car": 3}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A machine with a small WebFG-496, which passes for the official one."""
    released = {subset: Expected(classes, 2 * classes, 2 * classes) for subset, classes in CLASSES.items()}
    monkeypatch.setattr(webfg_496, "EXPECTED", released)
    for subset, classes in CLASSES.items():
        for split in ("train", "val"):
            for label in range(classes):
                folder = tmp_path / "webfg_496" / f"web-{subset}" / split / f"{subset} {label}"
                for number in range(2):
                    draw_noise(folder / f"{number}.jpg")
    return Environment(tmp_path)


def suite(dataset: Any) -> Suite:
    backbones = [{"name": "test_resnet", "pretrained": "none"}]
    entry = {"methods": ["plain"], "datasets": [dataset], "backbones": backbones, "seeds": 2}
    return Suite.model_validate({"about": "x", "train": [entry]})


def planned(runs: list) -> list[tuple[str, int]]:
    return [(run.dataset_options["subset"], run.seed) for run in runs if isinstance(run, Run)]


# Plans


def test_a_suite_that_names_the_dataset_gets_all_of_its_subsets(environment: Environment) -> None:
    runs = expand.expand(suite("webfg_496"), environment)
    assert planned(runs) == [(subset, seed) for subset in CLASSES for seed in range(2)]
    assert len({run.split_sha256 for run in runs if isinstance(run, Run)}) == 3
    assert "webfg_496:bird" in runs[0].label
    assert "webfg_496_bird" in runs[0].id


def test_a_subset_that_is_asked_for_stands_alone(environment: Environment) -> None:
    alone = [("car", 0), ("car", 1)]
    assert planned(expand.expand(suite({"name": "webfg_496", "options": {"subset": "car"}}), environment)) == alone
    assert (
        planned(expand.expand(suite("webfg_496"), environment, Changes(set={"dataset_options": {"subset": "car"}})))
        == alone
    )


def test_other_datasets_are_one_whole(environment: Environment) -> None:
    assert subsets("synthetic", {"classes": 3}) == [{"classes": 3}]
    assert subsets("anything", {}) == [{}]


def test_compare_trains_all_subsets_and_profiles_each_number_of_classes_once(environment: Environment) -> None:
    chosen = suite_builders.compare(["plain"], "webfg_496", ["test_resnet"], 1, environment, {"pretrained": "none"})
    runs = expand.expand(chosen, environment, Changes(set={"pretrained": "none"}))
    assert planned(runs) == [(subset, 0) for subset in CLASSES]
    assert [run.classes for run in runs if isinstance(run, ProfileRun)] == [3, 2]


def test_reproduce_on_it_trains_all_subsets(environment: Environment) -> None:
    without = {"pretrained": "none"}
    (target,) = suite_builders.targets("plain", environment, "webfg_496", "test_resnet", changes=without)
    assert target.lacking is None
    runs = expand.expand(suite_builders.reproduce("plain", [target], seeds=1), environment, Changes(set=without))
    assert planned(runs) == [(subset, 0) for subset in CLASSES]


def test_a_subset_that_is_not_here_is_named_before_anything_runs(environment: Environment) -> None:
    assert environment.data_root is not None
    (environment.data_root / "webfg_496" / "web-car").rename(environment.data_root / "elsewhere")
    with pytest.raises(DatasetError, match="web-car is missing"):
        expand.expand(suite("webfg_496"), environment)
    without = {"pretrained": "none"}
    (target,) = suite_builders.targets("plain", environment, "webfg_496", "test_resnet", changes=without)
    assert target.lacking == "needs dataset webfg_496"
    bird = {**without, "dataset_options": {"subset": "bird"}}
    (target,) = suite_builders.targets("plain", environment, "webfg_496", "test_resnet", changes=bird)
    assert target.lacking is None


# Commands for data


def test_verify_names_each_subset_and_takes_one_by_name(
    environment: Environment, fgbench: Callable[..., tuple[int, str]]
) -> None:
    code, said = fgbench("data", "verify", "WebFG-496", "--data", environment.data_root, "--json")
    assert (code, [row["name"] for row in json.loads(said)]) == (0, [f"webfg_496:{subset}" for subset in CLASSES])
    code, said = fgbench("data", "verify", "webfg_496:car", "--data", environment.data_root, "--json")
    assert (code, [row["name"] for row in json.loads(said)]) == (0, ["webfg_496:car"])


def test_prepare_decodes_each_subset_or_the_named_one(
    environment: Environment, fgbench: Callable[..., tuple[int, str]]
) -> None:
    size = ("--size", "8", "--data", environment.data_root)
    said = fgbench("data", "prepare", "webfg_496", *size)[1]
    assert said.count("webfg_496-8-squash") == 3
    assert all(f"decoding webfg_496:{subset}: " in said for subset in CLASSES)
    assert fgbench("data", "prepare", "webfg_496:bird", *size)[1].count("webfg_496-8-squash") == 1


@pytest.mark.parametrize("verb", [("verify",), ("prepare", "--size", "8")])
def test_a_subset_that_does_not_exist_is_answered_with_those_that_do(
    environment: Environment, refused: Callable[..., tuple[int, str]], verb: tuple[str, ...]
) -> None:
    _, said = refused("data", *verb, "webfg_496:brid", "--data", environment.data_root)
    assert "webfg_496 has no subset 'brid'; it has webfg_496:bird, webfg_496:aircraft, webfg_496:car" in said


# Reports


def on(subset: str, seed: int = 0, top1: float = 0.8, method: str = "plain", **changes: Any) -> Record:
    split = SPLIT | {"sha256": subset * 8, "subsets": WEBFG}
    own = {"dataset": "webfg_496", "dataset_options": {"subset": subset}, "split_sha256": split["sha256"]}
    identity = {"id": f"{method}-{subset}-{seed}-{len(str(changes))}", "split": split}
    return trained(method, seed, top1, **(own | identity | changes))


def on_all(seed: int, *top1: float, method: str = "plain", **changes: Any) -> list[Record]:
    return [on(subset, seed, one, method, **changes) for subset, one in zip(CLASSES, top1, strict=True)]


def shown(records: list[Record]) -> list[dict[str, str]]:
    table = averages(Evidence(records))
    return [{column.heading: column.show(row) for column in table.columns} for row in table.rows]


def test_the_mean_is_over_subsets_for_each_seed_and_then_over_seeds() -> None:
    (row,) = averages(Evidence(on_all(0, 0.70, 0.80, 0.90) + on_all(1, 0.76, 0.84, 0.95))).rows
    assert (row["bird_top1"], row["aircraft_top1"], row["car_top1"]) == pytest.approx((73, 82, 92.5))
    assert row["last_top1"] == pytest.approx((80 + 85) / 2)
    assert row["last_top1_sd"] == pytest.approx(5 / 2**0.5)
    assert row["best_on_test_top1"] == pytest.approx(82.5 + 2)
    assert (row["dataset"], row["seeds"], row["settings"]) == ("webfg_496", 2, "")


def test_subsets_have_images_of_their_own_and_are_one_experiment() -> None:
    digits = {"bird": "1", "aircraft": "2", "car": "3"}
    records = [on(subset, images_sha256=digit * 64, classes_sha256=digit * 64) for subset, digit in digits.items()]
    (row,) = averages(Evidence(records)).rows
    assert (row["last_top1"], row["settings"]) == (pytest.approx(80), "")


def test_the_means_interval_is_marked_as_one_over_seeds() -> None:
    (row,) = shown(on_all(0, 0.70, 0.80, 0.90) + on_all(1, 0.71, 0.81, 0.91))
    assert row["95 % interval of the mean"].endswith("(seeds)")


def test_only_seeds_that_all_subsets_have_count_for_the_mean() -> None:
    (row,) = shown([*on_all(0, 0.7, 0.8, 0.9), on("bird", 1, 0.1)])
    assert (row["seeds"], row["mean, %"]) == ("1", "80.0 (n=1)")
    assert row["bird, %"].endswith("(n=2)"), "the subset's own row has both"


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (on_all(0, 0.7, 0.8, 0.9)[:2], "no finished Run on car"),
        ([*on_all(0, 0.7, 0.8, 0.9)[:2], failed("plain", dataset="webfg_496", dataset_options=WEBFG[2])], "on car"),
        ([*on_all(0, 0.7, 0.8, 0.9)[:2], on("car", 1)], "no seed that all subsets have"),
        (
            [*on_all(0, 0.7, 0.8, 0.9), on("car", 1, split=SPLIT | {"sha256": "new", "subsets": WEBFG})],
            "different splits of car",
        ),
        (
            [*on_all(0, 0.7, 0.8, 0.9), on("car", 1, images_sha256="b" * 64)],
            "different images of car",
        ),
    ],
)
def test_without_all_subsets_there_is_a_dash_and_a_reason(records: list[Record], reason: str) -> None:
    (row,) = shown(records)
    assert row["mean, %"] == DASH
    assert row["bird, %"] == "70.0 (n=1)"
    (absent_mean,) = Tables(Evidence(records))["missing"].where(value="mean over subsets").rows
    assert reason in absent_mean["reason"]


def test_a_selection_that_one_subset_lacks_has_no_mean() -> None:
    records = [*on_all(0, 0.7, 0.8, 0.9)[:2], on("car", 0, 0.9, metrics={"last": metrics(0.9)})]
    (row,) = averages(Evidence(records)).rows
    assert row["last_top1"] == pytest.approx(80)
    assert row["validation_top1"] is None


def test_experiments_that_differ_in_more_than_the_subset_are_averaged_apart() -> None:
    records = on_all(0, 0.7, 0.8, 0.9) + on_all(0, 0.1, 0.2, 0.3, recipe={"epochs": 2}) + on_all(0, 0, 0, 0, method="x")
    found = {(row["method"], row["settings"]): row["last_top1"] for row in averages(Evidence(records)).rows}
    assert found == pytest.approx({("plain", "epochs=10"): 80, ("plain", "epochs=2"): 20, ("x", ""): 0})


def test_datasets_that_are_one_whole_have_no_row() -> None:
    assert averages(
        Evidence([trained("plain"), trained("plain", dataset="cars", dataset_options={"subset": "car"})])
    ).frame.empty


def test_subsets_are_never_in_one_table_and_their_mean_stands_after_them(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    fill(store, on_all(0, 0.7, 0.8, 0.9) + on_all(0, 0.6, 0.7, 0.8, method="sef"), 40)
    text = write_report(store, tmp_path / "report", "WebFG").page.read_text()
    headings = [line for line in text.splitlines() if line.startswith("##")]
    compare = headings[headings.index("## Compare") : headings.index("## Records")]
    settings = "common recipe, resnet50, 448 px, epochs: 10"
    comparisons = [f"#### webfg_496:{subset}, {settings}" for subset in sorted(CLASSES)]
    assert compare == [
        "## Compare",
        "### Head to head",
        *comparisons,
        "### Averages over subsets",
        f"#### webfg_496, {settings}",
        "### Pretraining",
        "### Win matrix",
        *comparisons,
        "### Paired comparison",
        *comparisons,
    ]
    assert (
        "Averages over subsets" not in write_report(store, tmp_path / "two", "x", [trained("plain")]).page.read_text()
    )


def test_a_readme_table_takes_one_subset_or_all(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    fill(store, on_all(0, 0.71, 0.82, 0.93))
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table: averages dataset=webfg_496:* -->\n<!-- /table -->\n")
    assert "| 82.0 (n=1) |" in " ".join(render_readme(readme, store).split())
    readme.write_text("<!-- table: head_to_head dataset=webfg_496:car -->\n<!-- /table -->\n")
    text = render_readme(readme, store)
    assert "93.0" in text
    assert "71.0" not in text


def test_an_option_that_is_a_number_makes_no_other_task() -> None:
    head = head_to_head(Evidence([trained("plain", dataset_options={"classes": 3})])).frame
    assert head["dataset"].tolist() == ["cub100"]
