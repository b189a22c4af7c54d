"""How long a Run takes: finished Runs like it come before profiles, and these before a guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import hardware
from benchmarks.environment import Environment, Execution
from benchmarks.estimates import images
from benchmarks.estimates.ceilings import ceilings
from benchmarks.estimates.estimator import Estimator
from benchmarks.estimates.pace import seconds_of_fit
from benchmarks.hardware import device_name
from results.record import Record
from results.settings import ProfileRun, Run
from tests.helpers.fakes import fake_results
from tests.helpers.small_training import small_run

SIZES = {"train": 18, "validation": 6, "test": 15}
RUN = small_run(epochs=10)
WORK = 180 + 210 / 3
"""Of `RUN`: 10 epochs of 18 images to train on, and of 21 to evaluate at a third of the cost."""


def took(seconds: float, run: Run, **changes: Any) -> Record:
    """The record of a finished training on this device."""
    name = device_name(torch.device("cpu"))
    fields = {"run": run, "split": SIZES, "hardware": {"name": name}, "seconds": seconds}
    return fake_results.trained("plain").model_copy(update=fields | changes)


def profile(rate: float, run: Run, batch_size: int = 5) -> Record:
    """Of the network of `run` on this device: `rate` images/s in inference, 0.3 of it in training."""
    record = fake_results.profiled(run.method, rate)
    shared = {key: getattr(run, key) for key in ("variant", "backbone", "options", "image_size", "precision")}
    assert isinstance(record.run, ProfileRun)
    changed = record.run.model_copy(update={**shared, "batch_size": batch_size})
    return record.model_copy(update={"run": changed, "hardware": {"name": device_name(torch.device("cpu"))}})


def test_a_training_processes_its_splits_once_an_epoch() -> None:
    assert images.of_run(RUN, Environment()) == images.Images(trained=180, forwarded=0, evaluated=210)
    assert images.of_sizes(RUN, SIZES).work == pytest.approx(WORK)


def test_a_phase_that_trains_the_head_alone_makes_forward_passes() -> None:
    found = images.of_run(small_run("bilinear_cnn", epochs=10), Environment())
    assert (found.trained, found.forwarded) == (7 * 18, 3 * 18)


def test_a_run_that_shared_its_device_says_nothing_of_one_that_has_it_alone() -> None:
    shared = took(900.0, RUN, training={"parallel": 2})
    found = Estimator([shared, took(100.0, RUN, training={})], Environment()).of(RUN)
    assert found is not None
    assert found.seconds == pytest.approx(100.0)


def test_finished_runs_of_the_same_kind_come_first() -> None:
    estimator = Estimator([took(100.0, RUN), profile(1.0, RUN)], Environment())
    found = estimator.of(small_run(epochs=20))
    assert found is not None
    assert (found.source, found.seconds) == ("finished Runs", pytest.approx(200.0))


def test_the_same_variant_comes_before_another() -> None:
    other = RUN.model_copy(update={"variant": "stride_16"})
    estimator = Estimator([took(100.0, other)], Environment())
    assert estimator.of(RUN).seconds == pytest.approx(100.0)  # type: ignore[union-attr]
    estimator.add(took(30.0, RUN))
    assert estimator.of(RUN).seconds == pytest.approx(30.0)  # type: ignore[union-attr]


def test_a_linear_probe_is_fitted_for_longer_than_its_features_take() -> None:
    """By a guess and by a profile; nearest neighbours that are done say nothing of it."""
    neighbours, linear = (small_run(f"plain:{name}", image_size=16) for name in ("knn", "linear_probe"))
    for records in ([], [profile(1e9, linear), profile(1e9, neighbours), took(1e6, neighbours)]):
        found = Estimator(records, Environment()).of(linear)
        assert found is not None
        assert found.source == ("guess" if not records else "profile")
    counted = Estimator([], Environment()).counted
    few, many = (seconds_of_fit(linear, counted, "cpu", images, images // 10) for images in (30, 90))
    assert few > 0
    assert many == pytest.approx(9 * few), "three times the images and the classes"
    assert seconds_of_fit(neighbours, counted, "cpu", 90, 9) == 0


def test_features_that_were_kept_do_not_make_the_next_probe_look_short() -> None:
    probe = small_run("plain:knn")
    kept = took(1.0, probe, training={"micro_batch": 0.0, "seconds": 60.0, "evaluation_seconds": 40.0})
    assert Estimator([kept], Environment()).of(probe).seconds == pytest.approx(100.0)  # type: ignore[union-attr]


def test_a_profile_of_this_device_comes_before_a_guess() -> None:
    found = Estimator([profile(10.0, RUN)], Environment()).of(RUN)
    assert found is not None
    assert (found.source, found.seconds) == ("profile", pytest.approx(180 / 3 + 210 / 10))


def test_the_profile_with_the_nearest_batch_counts() -> None:
    found = Estimator([profile(1.0, RUN, 64), profile(10.0, RUN, 8)], Environment()).of(RUN)
    assert found is not None
    assert found.seconds == pytest.approx(180 / 3 + 210 / 10)


def compiled(record: Record) -> Record:
    """The same training or profile, but compiled."""
    if isinstance(record.run, ProfileRun):
        return record.model_copy(update={"run": record.run.model_copy(update={"compile": True})})
    return record.model_copy(update={"training": {"compile_seconds": 1.0}})


COMPILES = Environment(execution=Execution(compile=True))


@pytest.mark.parametrize(("environment", "seconds"), [(Environment(), 100.0), (COMPILES, 30.0)])
def test_compiled_trainings_are_estimated_from_compiled_ones(environment: Environment, seconds: float) -> None:
    found = Estimator([took(100.0, RUN), compiled(took(30.0, RUN))], environment).of(RUN)
    assert found is not None
    assert (found.source, found.seconds) == ("finished Runs", pytest.approx(seconds))


@pytest.mark.parametrize(("environment", "rate"), [(Environment(), 10.0), (COMPILES, 20.0)])
def test_compiled_trainings_are_estimated_from_compiled_profiles(environment: Environment, rate: float) -> None:
    found = Estimator([profile(10.0, RUN), compiled(profile(20.0, RUN))], environment).of(RUN)
    assert found is not None
    assert (found.source, found.seconds) == ("profile", pytest.approx((180 / 0.3 + 210) / rate))


def test_each_mode_of_the_compiler_has_estimates_of_its_own() -> None:
    graphs = Environment(execution=Execution(compile=True, compile_mode="reduce-overhead"))
    records = [took(100.0, RUN), compiled(took(30.0, RUN)), took(10.0, RUN, compiled="reduce-overhead")]
    for environment, seconds in ((Environment(), 100.0), (COMPILES, 30.0), (graphs, 10.0)):
        assert Estimator(records, environment).of(RUN).seconds == pytest.approx(seconds)  # type: ignore[union-attr]


@pytest.mark.parametrize("record", [took(100.0, RUN), profile(10.0, RUN)], ids=["Run", "profile"])
def test_an_estimate_of_a_compiled_training_says_that_it_is_from_uncompiled_ones(record: Record) -> None:
    expected = Estimator([record], Environment()).of(RUN)
    found = Estimator([record], COMPILES).of(RUN)
    assert found is not None
    assert expected is not None
    assert (found.source, found.seconds) == ("uncompiled", expected.seconds)


@pytest.mark.parametrize("of_another", ["device", "method", "network", "size", "status"])
def test_what_says_nothing_about_a_run_is_left_out(of_another: str) -> None:
    record = {
        "device": took(1e6, RUN, hardware={"name": "another"}),
        "method": took(1e6, small_run("bilinear_cnn")),
        "network": took(1e6, RUN.model_copy(update={"backbone": "resnet50"})),
        "size": took(1e6, small_run(image_size=16)),
        "status": took(1e6, RUN, status="failed"),
    }[of_another]
    found = Estimator([record], Environment()).of(RUN)
    assert found is not None
    assert found.source == "guess"


@pytest.mark.parametrize(
    "changes",
    [
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"split": {"train": 10**400}},
        {"split": {"train": 0}},
        {"split": {"test": 5}},
        {"training": {"processes": float("nan")}},
        {"training": {"processes": -1.0}},
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_left_out(changes: dict[str, Any]) -> None:
    found = Estimator([took(1.0, RUN).model_copy(update=changes), profile(0.0, RUN)], Environment()).of(RUN)
    assert found is not None
    assert found.source == "guess"


@pytest.mark.parametrize("rate", [0.0, float("nan"), float("inf")])
def test_a_profile_without_a_rate_is_left_out(rate: float) -> None:
    record = profile(10.0, RUN)
    record.speed["inference"].images_per_s = rate
    found = Estimator([record], Environment()).of(RUN)
    assert found is not None
    assert found.source == "guess"


@pytest.mark.parametrize("value", [0, -1, 1e999, "x"])
def test_damaged_files_of_the_cache_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(hardware, "overloaded", lambda: False)  # then ceilings are kept
    before = _guessed_anew()
    kept = list(tmp_path.glob("estimates/*.json"))
    assert len(kept) == 2
    for file in kept:
        values = json.loads(file.read_bytes())
        file.write_text(json.dumps(values | {key: value for key in ("pixels", "flops_per_s") if key in values}))
    assert before / 10 < _guessed_anew() < 10 * before


def _guessed_anew() -> float:
    """Seconds, by nothing that this process remembers."""
    ceilings.cache_clear()
    found = Estimator([], Environment()).of(RUN)
    assert found is not None
    return found.seconds


def test_a_guess_grows_with_the_work() -> None:
    estimator = Estimator([], Environment())
    once, twice, larger = (
        estimator.of(run) for run in (RUN, small_run(epochs=20), small_run(image_size=64, stored_size=64, epochs=10))
    )
    assert once is not None
    assert twice is not None
    assert larger is not None
    assert twice.seconds == pytest.approx(2 * once.seconds)
    assert once.seconds < larger.seconds <= 4.01 * once.seconds


def test_several_processes_divide_the_time() -> None:
    alone = Estimator([took(100.0, RUN)], Environment()).of(RUN)
    together = Estimator([took(100.0, RUN)], Environment(), processes=4).of(RUN)
    shared = Estimator([took(100.0, RUN, training={"processes": 2.0})], Environment()).of(RUN)
    assert [one.seconds for one in (alone, together, shared) if one] == pytest.approx([100.0, 25.0, 200.0])


def test_profiles_take_as_long_as_those_before_them() -> None:
    record = profile(10.0, RUN)
    found = Estimator([record], Environment()).of(record.run)
    assert found is not None
    assert (found.source, found.seconds) == ("finished Runs", 60.0)
    unknown = Estimator([], Environment()).of(record.run)
    assert unknown is not None
    assert unknown.source == "guess"
