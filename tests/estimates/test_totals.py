"""What a dry run says last: Runs, images, time and its source, disk, memory."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.environment import Environment, Execution
from benchmarks.estimates import memory, totals
from benchmarks.estimates.counted_work import CountedWork
from benchmarks.estimates.estimator import Estimator
from benchmarks.planning import method_files
from datasets.loading.store import open_store
from results.settings import ProfileRun, Run
from tests.estimates.test_estimator import RUN, profile, took
from tests.helpers.small_training import small_run

GIB = 2**30
PLAN = [RUN.model_copy(update={"seed": seed}) for seed in range(3)]


def said(word: str, found: list[str]) -> str:
    """The one line that begins with a word."""
    (line,) = [line for line in found if line.startswith(f"{word}:")]
    return line


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))


def test_what_is_done_counts_no_more() -> None:
    found = totals.lines(PLAN, {PLAN[0].id}, Estimator([took(1800.0, RUN)], Environment()))
    assert said("total", found) == "total: 3 Runs, 1 done, 2 to do"
    assert said("images", found) == "images: 360 to train on, 420 to evaluate"
    assert "about 60 min on" in said("time", found)
    assert said("time", found).endswith("by finished Runs like them")
    assert totals.lines(PLAN, {run.id for run in PLAN}, Estimator([], Environment())) == [
        "total: 3 Runs, 3 done, 0 to do"
    ]


def test_each_source_is_told_with_its_share() -> None:
    other = RUN.model_copy(update={"precision": "bf16"})
    records = [took(7200.0, RUN), profile(1.0, other)]
    found = said("time", totals.lines([*PLAN, other], set(), Estimator(records, Environment())))
    assert "6.0 hours by finished Runs like them (3 Runs)" in found
    assert "14 min by this device's profiles (1 Run)" in found


def test_a_guess_names_its_factor_and_the_command_that_replaces_it() -> None:
    found = totals.lines(PLAN, set(), Estimator([], Environment()))
    assert said("time", found).endswith("guessed from counted work, within a factor of 4")
    command = "python run_all.py profile --methods plain --backbone test_resnet --image-size 32 --batch-size 5"
    assert any(line.endswith(command) for line in found)


def test_the_command_of_a_profile_has_the_options_that_were_set_by_hand(
    fgbench: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """Without them it would measure another network, and the guess would stay."""
    of_variant = method_files.options_of("plain", "stride_16")
    run = RUN.model_copy(update={"variant": "stride_16", "options": of_variant | {"tap": 8}})
    command = totals.profile_command(run, Execution())
    assert command.endswith("--batch-size 5 --set options.tap=8")
    assert "options" not in totals.profile_command(run.model_copy(update={"options": of_variant}), Execution())
    code, said = fgbench(*shlex.split(command)[2:], "--dry-run", "--device", "cpu", "--results", tmp_path)
    assert code == 0, said
    words = run.model_copy(update={"options": run.options | {"tap": ["a b", True]}})
    assert shlex.split(totals.profile_command(words, Execution()))[-1] == 'options.tap=["a b",true]'


@pytest.mark.parametrize(("rate", "advised"), [(10.0, True), (0.1, False)])
def test_a_profile_is_advised_only_where_it_takes_about_a_minute(rate: float, advised: bool) -> None:
    """Of a compiled plan, which an uncompiled profile does not measure."""
    compiles = Environment(execution=Execution(compile=True))
    found = totals.lines(PLAN, set(), Estimator([profile(rate, RUN)], compiles))
    assert any("a profile of about a minute" in line for line in found) == advised


def test_a_profile_is_advised_only_where_its_whole_batch_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = RUN.model_copy(update={"recipe": RUN.recipe.model_copy(update={"batch_size": 500, "accumulate": 100})})
    needed = Estimator([], Environment()).peak_bytes(pieces)
    assert needed is not None
    monkeypatch.setattr(memory, "free", lambda _: 2 * needed)
    found = totals.lines([pieces], set(), Estimator([], Environment()))
    assert not any("a profile of about a minute" in line for line in found)


def test_a_method_whose_work_cannot_be_counted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Estimator, "of", lambda _self, _run: None)
    found = said("time", totals.lines(PLAN[:1], set(), Estimator([], Environment())))
    assert found.startswith("time: unknown for 1 Run of plain,")


def test_a_compiled_plan_says_that_its_time_is_that_of_uncompiled_runs() -> None:
    compiles = Environment(execution=Execution(compile=True, compile_mode="max-autotune"))
    found = totals.lines(PLAN, set(), Estimator([took(1800.0, RUN)], compiles))
    assert "that were not compiled so" in said("time", found)
    assert any(line.endswith("--batch-size 5 --compile-mode max-autotune") for line in found)


@pytest.mark.parametrize(
    ("processes", "jobs", "hours", "words"),
    [
        (1, 1, "6.0 hours", ";"),
        (4, 1, "90 min", ", if 4 processes share each training without loss;"),
        (1, 2, "3.0 hours", ", if 2 jobs run at a time without loss;"),
        (1, 64, "2.0 hours", ", if 3 jobs run at a time without loss;"),
    ],
)
def test_several_processes_and_jobs_divide_the_hours(processes: int, jobs: int, hours: str, words: str) -> None:
    estimator = Estimator([took(7200.0, RUN)], Environment(), processes)
    found = said("time", totals.lines(PLAN, set(), estimator, jobs))
    assert f"about {hours} on" in found
    assert words in found


def test_stores_that_are_there_take_no_more_disk(tmp_path: Path) -> None:
    estimator = Estimator([took(60.0, RUN)], Environment())
    assert "1 store of decoded images" in said("disk", totals.lines(PLAN, set(), estimator))
    dataset = Environment().open(RUN.dataset, RUN.dataset_options)
    open_store(dataset, RUN.recipe.stored_size, RUN.recipe.resize)
    assert not any(line.startswith("disk") for line in totals.lines(PLAN, set(), estimator))


@pytest.mark.parametrize(
    ("gib", "words"),
    [(1.0, "8 GB or more"), (10.5, "12 GB or more"), (15.5, "24 GB or more"), (90.0, "more than 80 GB")],
)
def test_a_gpu_is_named_by_a_common_size(gib: float, words: str) -> None:
    assert words in memory.gpu_needed(int(gib * GIB))


def test_memory_is_measured_or_grows_with_the_batch() -> None:
    estimator = Estimator([profile(1.0, RUN)], Environment())
    assert memory.peak_bytes(RUN, estimator.profiles, estimator.counted) == pytest.approx(0.3 * 2**33)
    one = RUN.model_copy(update={"recipe": RUN.recipe.model_copy(update={"accumulate": 5})})
    assert memory.peak_bytes(one, estimator.profiles, estimator.counted) == pytest.approx(0.3 * 2**33 / 5)

    def guessed(run: Run, **changes: int) -> int:
        found = memory.peak_bytes(run, [], estimator.counted, **changes)
        assert found is not None
        return found

    larger = RUN.model_copy(update={"recipe": RUN.recipe.model_copy(update={"batch_size": 500})})
    pieces = larger.model_copy(update={"recipe": larger.recipe.model_copy(update={"accumulate": 100})})
    assert guessed(RUN) < guessed(larger) < 100 * guessed(RUN)
    assert guessed(larger, processes=100) == guessed(larger, most=5) == guessed(pieces) == guessed(RUN)


def test_a_profile_with_another_optimizer_is_corrected_by_the_numbers_that_each_keeps_per_weight() -> None:
    record = profile(1.0, RUN)
    trained = record.speed["train"].model_copy(update={"memory": {"weights": 1000, "optimizer": 1000}})
    with_sgd = [record.model_copy(update={"speed": record.speed | {"train": trained}})]

    def peak(optimizer: str) -> int:
        found = memory.peak_bytes(small_run(optimizer={"name": optimizer, "lr": 0.1}), with_sgd, CountedWork())
        assert found is not None
        return found

    assert peak("sgd") == trained.peak_memory
    assert peak("adamw") == peak("adam") == trained.peak_memory + 1000


def test_a_probe_holds_neither_gradients_nor_an_optimisers_state_nor_what_waits_for_a_backward_pass() -> None:
    probe, counted = small_run("plain:linear_probe"), CountedWork()

    def guessed(run: Run, most: int | None = None) -> int:
        found = memory.peak_bytes(run, [], counted, most=most)
        assert found is not None
        return found

    work = counted.of(probe)
    assert work is not None
    assert guessed(probe) == pytest.approx(1.3 * (work.weights + 64 * work.activations), abs=1)
    for recipe in ({"batch_size": 500}, {"optimizer": {"name": "adamw", "lr": 0.1}}):
        assert guessed(small_run("plain:linear_probe", **recipe)) == guessed(probe)
    assert guessed(probe, most=4) < guessed(probe)
    alike = small_run("plain", batch_size=64)
    assert work.activations < 0.5 * counted.of(alike).activations  # type: ignore[union-attr]


def test_a_probe_s_memory_is_what_a_profile_measured_without_a_training_step() -> None:
    probe = small_run("plain:linear_probe")
    record = profile(1.0, probe, batch_size=32)
    assert isinstance(record.run, ProfileRun)
    measured = record.model_copy(
        update={
            "run": record.run.model_copy(update={"variant": probe.variant}),
            "speed": {"inference": record.speed["inference"]},
        }
    )
    speed = measured.speed["inference"]
    fixed = sum(speed.memory.values())
    found = memory.peak_bytes(probe, [measured], CountedWork())
    assert found == pytest.approx(fixed + (speed.peak_memory - fixed) * 64 / 32, abs=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (3600, "60 min"), (6600, "1.8 hours"), (400_000, "4.6 days"), (472_357_440, "5 470 days")],
)
def test_durations_are_as_coarse_as_estimates_are(seconds: float, words: str) -> None:
    assert totals.duration(seconds) == words
