"""What a dry run prints: rows that can be told apart, and words that can be pasted."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest

from benchmarks.cli.views import preview, terminal
from benchmarks.console import PlainConsole
from benchmarks.environment import Environment
from benchmarks.planning import expand, method_files, overrides, suite_builders
from benchmarks.planning.overrides import nested, parse_assignments
from benchmarks.planning.reference.experiments import ANY_GPU, Experiment, names_of
from results.settings import ProfileRun
from results.store import ResultStore
from tests.helpers.fakes import fake_results
from tests.helpers.small_folders import draw_noise
from tests.helpers.small_training import small_run

CELL = ProfileRun(
    method="plain",
    variant="paper",
    backbone="resnet50",
    classes=5,
    image_size=448,
    batch_size=64,
    device="cuda",
    hardware=ANY_GPU,
)


def test_rows_of_the_numbers_can_be_told_apart() -> None:
    compiled = CELL.model_copy(update={"compile": True, "precision": "bf16"})
    repeated = (compiled, compiled.model_copy(update={"repeat": 1}))
    members = [(small_run(),), (CELL,), repeated]
    rows = [Experiment("mine", names_of(runs[0]), runs, gpu=False) for runs in members]
    assert [(row["settings"], row["runs"]) for row in preview.experiment_rows(rows, "cpu")] == [
        ("epochs 2", "seed 0"),
        ("batch 64, fp32", "repeat 0"),
        ("batch 64, bf16, compiled", "repeats 0, 1"),
    ]


def test_what_a_reader_put_right_is_remarked_once_for_each_dataset(tmp_path: Path) -> None:
    for name in "abcde":
        for path in (f"train/{name}/0.png", f"valid/{name} /1.png"):
            draw_noise(tmp_path / "own" / path)
    plan = [small_run().model_copy(update={"dataset": "own", "dataset_options": {}, "seed": seed}) for seed in (0, 1)]
    found = preview.remarks([*plan, CELL, small_run()], Environment(tmp_path))
    assert found[0] == "own: valid/ is the test set, since there is no test; nothing is chosen on it"
    assert found[1] == "own: class 'a' is written in 2 ways, 'a', 'a ', and read as one"
    assert found[3:] == ["own: 3 more remarks, in: data verify own"]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal of 60 characters was told."""
    written = StringIO()
    monkeypatch.setattr(terminal, "console", PlainConsole(file=written, width=60))
    return written


def test_names_too_long_for_their_column_are_folded_not_cut(said: StringIO) -> None:
    terminal.show([{"method": f"bilinear_cnn:a_long_variant_{number}", "why": "x " * 90} for number in (1, 2)], "rows")
    assert "…" not in said.getvalue()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("bilinear_cnn", "3 of 88 published rows are reproduced here, 16 more by other variants"),
        ("plain", "18 of 40 published rows are reproduced here, 21 more by other variants"),
        ("pim", None),
    ],
)
def test_a_reproduction_tells_of_the_published_rows_that_it_does_not_answer(
    method: str, said: str | None, here: Environment
) -> None:
    notes = preview.other_rows(method, suite_builders.targets(method, here))
    assert [note[: len(said or "")] for note in notes] == ([said] if said else [])


def test_all_variants_together_leave_only_rows_that_no_run_answers(here: Environment) -> None:
    targets = suite_builders.targets("bilinear_cnn", here, variants=method_files.variants_of("bilinear_cnn"))
    (note,) = preview.other_rows("bilinear_cnn", targets)
    assert note.startswith("19 of 88 published rows are reproduced here; for the rest no number")


@pytest.mark.parametrize("method", ["bilinear_cnn", "swinfc", "ws_dan"])
def test_a_recipe_can_be_pasted_word_by_word(method: str, tmp_path: Path) -> None:
    targets = suite_builders.targets(method, Environment(tmp_path, tmp_path), variants=method_files.variants_of(method))
    recipes = [note for note in preview.target_notes(targets) if note.startswith("recipe ")]
    assert len(recipes) > 1 or method != "bilinear_cnn"
    for note in recipes:
        told = note.partition(": ")[2].removeprefix("as 1, but ").partition("without ")[0]
        nested(parse_assignments(told.rstrip(", ").split(), "--set"))
    assert not any("at its default" in note for note in recipes)


def test_seeds_of_one_experiment_are_one_row_of_the_plan(here: Environment, tmp_path: Path) -> None:
    chosen = suite_builders.compare(["plain", "sef"], "synthetic", ["test_resnet"], 3, here, {})
    runs = expand.expand(chosen, here, overrides.Changes(set={"pretrained": "none"}))
    trainings, profiles = preview.tables(runs, ResultStore(tmp_path), here)
    assert trainings[0].startswith("6 Runs of 2 trainings")
    assert [(row["method"], row["seeds"], row["state"]) for row in trainings[1]] == [
        ("plain", "0, 1, 2", "to do"),
        ("sef", "0, 1, 2", "to do"),
    ]
    assert profiles[0] == "2 Runs of 2 profiles"


def test_a_row_says_how_many_of_its_seeds_are_done(here: Environment, tmp_path: Path) -> None:
    store, runs = ResultStore(tmp_path), [small_run().model_copy(update={"seed": seed}) for seed in range(3)]
    fake_results.fill(store, [fake_results.trained("plain").model_copy(update={"id": runs[0].id, "run": runs[0]})])
    (row,) = preview.rows(runs, store, here)
    assert row["state"] == "1 done, 2 to do"


def test_what_all_rows_share_is_said_once_above_them(said: StringIO) -> None:
    terminal.show([{"method": "plain", "px": 32, "lr": 0.1}, {"method": "sef", "px": 32, "lr": 0.2}], "two rows")
    assert said.getvalue().splitlines()[:3] == ["two rows", "all rows: px 32", "method   lr"]
