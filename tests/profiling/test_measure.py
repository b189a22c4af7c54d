"""Profile Runs, from the plan to the record."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution.worker import blank
from benchmarks.planning import expand
from benchmarks.planning.suite import Suite
from benchmarks.profiling import max_batch, measure
from benchmarks.profiling.counting import Counts, count
from benchmarks.profiling.profiled_method import ProfiledMethod
from datasets.loading import augment
from methods.interface import Method
from results.record import Record
from results.settings import ProfileRun

CPU = torch.device("cpu")
IMAGES = {"classes": 3, "train_per_class": 4, "test_per_class": 1, "size": 64}
TOO_LARGE = 2**15
"""Images of 64 px whose input alone (1.6 GB in one piece) exceeds a limit of 80 MB. The allocation must be that large:
memory freed by earlier tests, some hundred MB, is used again and does not count, and if it ends within an operation of
oneDNN, which does not check, the process dies."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short measurements: the numbers need not be precise here."""
    monkeypatch.setattr("benchmarks.profiling.timing.BLOCK_SECONDS", {"cpu": 0.01})
    monkeypatch.setattr("benchmarks.profiling.timing.LATENCY_SECONDS", 0.1)
    monkeypatch.setattr("benchmarks.profiling.breakdown.STEPS", 2)
    monkeypatch.setattr("benchmarks.profiling.measure_mode.WORK_SECONDS", 0.01)
    monkeypatch.setattr("benchmarks.profiling.roofline.MATRIX", {"cpu": 256})
    monkeypatch.setattr("benchmarks.profiling.roofline.COPIED", {"cpu": 2**22})


def runs_of(**changes: Any) -> list[ProfileRun]:
    entry = {
        "methods": ["plain"],
        "backbones": ["test_resnet"],
        "image_sizes": [32],
        "batch_sizes": [4],
        "classes": 5,
        **changes,
    }
    runs = expand.expand(Suite.model_validate({"about": "x", "profile": [entry]}), Environment())
    assert all(isinstance(run, ProfileRun) for run in runs)
    return runs  # type: ignore[return-value]


def measured(folder: Path, **changes: Any) -> Record:
    (run,) = runs_of(**changes)
    record = blank(run, CPU)
    measure.measure(run, record, Environment(), folder)
    return Record.model_validate_json(record.model_dump_json(exclude_none=True))


def ordered(values: Sequence[float | None]) -> bool:
    numbers = [value for value in values if value is not None]
    return all(math.isfinite(one) and one > 0 for one in numbers) and all(a <= b for a, b in pairwise(numbers))


def test_what_is_measured_is_finite_and_ordered(tmp_path: Path) -> None:
    record = measured(tmp_path)
    assert set(record.speed) == {"inference", "train"}
    for speed in record.speed.values():
        assert ordered([speed.images_per_s_p10, speed.images_per_s, speed.images_per_s_p90])
        assert speed.passes == 1
        assert set(speed.shares) == {"arithmetic", "memory", "launches"}
        assert all(0 < share < 20 for share in speed.shares.values())
    inference, train = record.speed["inference"], record.speed["train"]
    assert ordered([inference.latency_ms, inference.latency_ms_p95, inference.latency_ms_p99])
    assert (inference.latency_ms_p99 is None) == ("speed.inference.latency_ms_p99" in record.missing)
    assert inference.flops == record.model["flops"]
    assert train.flops is not None
    assert 2 * record.model["flops"] < train.flops < 3 * record.model["flops"]  # images need no gradient
    assert train.memory["weights"] == inference.memory["weights"] >= 4 * record.model["parameters"]
    network = timm.create_model("test_resnet", num_classes=record.run.classes)
    assert record.model["parameters"] == sum(one.numel() for one in network.parameters())
    assert record.limits is not None
    assert set(record.state) == {"before", "inference", "train", "after"}
    assert train.input_images_per_s is None
    assert train.breakdown == {}


def test_all_passes_over_an_image_are_counted(tmp_path: Path) -> None:
    record = measured(tmp_path, methods=["ws_dan"], image_sizes=[64])
    assert record.speed["train"].passes == 3
    assert record.speed["inference"].passes == 2


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_counted_step_is_like_every_later_one(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first, in which the optimiser creates its state."""
    counted: list[Counts] = []

    def twice(method: Method, step: Callable[[], object]) -> Counts:
        counted.extend([count(method, step), count(method, step)])
        return counted[-2]

    monkeypatch.setattr("benchmarks.profiling.measure_mode.count", twice)
    measured(tmp_path, set={"optimizer": optimizer})
    assert len(counted) == 4
    assert counted[0] == counted[1]
    assert counted[2] == counted[3]


def test_input_breakdown_operations_and_trace_are_measured_on_request(tmp_path: Path) -> None:
    dataset = {"name": "synthetic", "options": IMAGES}
    record = measured(tmp_path, dataset=dataset, extras=["breakdown", "operations", "trace"])
    for mode, speed in record.speed.items():
        assert ordered([speed.end_to_end_images_per_s])
        assert ordered([speed.input_images_per_s])
        assert {"backbone", "method's head", "input"} <= set(speed.breakdown)
        assert 0 < len(speed.operations) <= 10
        assert (tmp_path / f"trace-{mode}.json.gz").is_file()
    assert {"backward", "optimizer", "loss functions"} <= set(record.speed["train"].breakdown)


def test_a_dataset_with_more_classes_than_the_method_is_refused() -> None:
    with pytest.raises(UserError, match="3 classes, more than 2"):
        runs_of(dataset={"name": "synthetic", "options": IMAGES}, classes=2)


def test_a_lack_of_memory_is_a_result(tmp_path: Path) -> None:
    record = measured(tmp_path, batch_sizes=[TOO_LARGE], image_sizes=[64], memory_limit=80_000_000)
    assert record.exceeded["train"] == 80_000_000
    assert "needs more than 0.07 GiB" in record.missing["speed.train"]
    assert "train" not in record.speed


def test_rates_remain_if_memory_is_too_small_for_further_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran_out(*_: object) -> None:
        raise torch.OutOfMemoryError("too much to trace")

    monkeypatch.setattr("benchmarks.profiling.measure_mode.costliest", ran_out)
    record = measured(tmp_path, extras=["operations"])
    assert record.exceeded == {}
    for mode, speed in record.speed.items():
        assert speed.images_per_s > 0
        assert "but not with" in record.missing[f"speed.{mode}.operations"]


def test_compiled_code_that_fits_is_measured_even_if_it_does_not_fit_uncompiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran_out(*_: object) -> None:
        raise torch.OutOfMemoryError("eager")

    monkeypatch.setattr("benchmarks.training.compiling.compile.BACKEND", "eager")
    monkeypatch.setattr("benchmarks.profiling.measure_mode.count", ran_out)
    record = measured(tmp_path, compile=[True])
    assert set(record.speed) == {"inference", "train"}
    assert record.speed["train"].shares == {}
    assert "more memory" in record.missing["speed.train.flops"]
    assert set(measured(tmp_path).exceeded) == {"inference", "train"}


def test_a_single_image_that_batch_norm_cannot_learn_from_is_measured_in_inference(tmp_path: Path) -> None:
    record = measured(tmp_path, batch_sizes=[1])
    assert set(record.speed) == {"inference"}
    assert "raise batch_size" in record.missing["speed.train"]
    assert record.exceeded == {}


def test_batch_sizes_are_tried_compiled_if_the_run_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(
        "benchmarks.training.compiling.compile.BACKEND", lambda graph, _: compiled.append(graph) or graph
    )
    for compile_ in (False, True):
        (run,) = runs_of(compile=[compile_], memory_limit=2**30)
        assert max_batch.steps_fit(run, "inference", 2**30, lambda _: None)
        assert bool(compiled) == compile_


def test_batch_sizes_are_tried_within_the_memory_limit() -> None:
    (run,) = runs_of(image_sizes=[64], memory_limit=80_000_000)
    assert run.memory_limit is not None
    assert max_batch.steps_fit(run, "train", run.memory_limit, lambda _: None)
    large = run.model_copy(update={"batch_size": TOO_LARGE})
    assert not max_batch.steps_fit(large, "train", run.memory_limit, lambda _: None)


def test_a_cpus_largest_batch_is_searched_only_with_a_memory_limit(tmp_path: Path) -> None:
    record = measured(tmp_path, extras=["largest_batch"])
    assert "--memory-limit" in record.missing["speed.train.largest_batch"]
    assert record.speed["train"].largest_batch is None


def test_a_failed_search_leaves_the_other_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise ValueError("Expected more than 1 value per channel\nand more")

    monkeypatch.setattr(max_batch, "largest_batch", fail)
    record = measured(tmp_path, memory_limit=2**31, extras=["largest_batch"])
    assert set(record.speed) == {"inference", "train"}
    assert record.missing["speed.train.largest_batch"].endswith("ValueError: Expected more than 1 value per channel")


def test_the_largest_batch_is_found_even_if_the_run_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(max_batch, "largest_batch", lambda *_: 37)
    asked = {"batch_sizes": [TOO_LARGE], "image_sizes": [64], "memory_limit": 80_000_000, "extras": ["largest_batch"]}
    record = measured(tmp_path, **asked)
    assert set(record.exceeded) == {"inference", "train"}
    assert record.missing["speed.train"].endswith("0.07 GiB; the largest batch that fits is 37")


def test_a_sweep_searches_the_largest_batch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(max_batch, "largest_batch", lambda *_: 37)
    runs = runs_of(batch_sizes="sweep", memory_limit=2**31, extras=["largest_batch"])
    found = []
    for run in runs[:3]:
        record = blank(run, CPU)
        measure.measure(run, record, Environment(), tmp_path)
        assert record.speed["inference"].largest_batch or "at batch 2" in record.missing["speed.train.largest_batch"]
        found.append(record.speed["inference"].largest_batch)
    assert found == [None, 37, None]


@pytest.mark.parametrize("failing", [{1}, {2}, {1, 2}])
def test_without_memory_for_the_ceilings_the_other_results_remain(
    failing: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_limits, calls = measure.measure_limits, 0

    def full(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in failing:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return measure_limits(*arguments)

    monkeypatch.setattr(measure, "measure_limits", full)
    record = measured(tmp_path)
    assert set(record.speed) == {"inference", "train"}
    assert (record.limits is None) == ("limits" in record.missing) == (len(failing) == 2)
    assert bool(record.speed["train"].shares) == (len(failing) == 1)


def test_a_compiled_profile_has_its_compile_time_and_compiled_input_and_says_why_there_is_no_breakdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    input_compiled, train_batch = set[bool](), augment.train_batch

    def noted(*arguments: Any, compile: bool) -> torch.Tensor:
        input_compiled.add(compile)
        return train_batch(*arguments, compile=compile)

    monkeypatch.setattr(augment, "train_batch", noted)
    monkeypatch.setattr("benchmarks.training.compiling.compile.BACKEND", "eager")
    dataset = {"name": "synthetic", "options": IMAGES}
    record = measured(tmp_path, dataset=dataset, compile=[True], extras=["breakdown"])
    assert input_compiled == {True}
    for mode, speed in record.speed.items():
        assert speed.compile_s is not None
        assert speed.compile_s > 0
        assert set(speed.shares) == {"arithmetic"}
        assert "compiled code" in record.missing[f"speed.{mode}.bytes"]
        assert "border" in record.missing[f"speed.{mode}.breakdown"]


def test_runs_are_the_product_of_all_options_and_of_repeats() -> None:
    runs = runs_of(batch_sizes=[4, 8], precisions=["fp32", "bf16"], compile=[False, True], repeats=2)
    assert len({run.id for run in runs}) == len({run.label for run in runs}) == 16
    assert {run.repeat for run in runs} == {0, 1}


def test_each_mode_of_the_compiler_is_a_cell_and_uncompiled_code_has_none() -> None:
    runs = runs_of(compile=[False, True], compile_mode=["default", "reduce-overhead"])
    assert [run.ways for run in runs] == [[], ["compiled"], ["compiled reduce-overhead"]]
    assert len({run.id for run in runs}) == len({run.label for run in runs}) == 3
    assert "compile_mode" not in runs[1].settings
    assert "checkpointing" not in runs[1].settings


def test_modes_of_a_compiler_that_is_not_used_are_refused() -> None:
    with pytest.raises(ValueError, match=r"set compile to \[true\]"):
        runs_of(compile_mode=["max-autotune"])


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_code_is_compiled_in_the_mode_of_the_run(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def compile_(function: Callable[..., object], **options: object) -> Callable[..., object]:
        asked.append(options["mode"])
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    (run,) = runs_of(compile=[True], compile_mode=[mode])
    ProfiledMethod(run).compile()
    assert set(asked) == {mode}


def test_checkpointing_keeps_fewer_activations_and_computes_them_again(tmp_path: Path) -> None:
    without, with_it = (measured(tmp_path, checkpointing=[one], image_sizes=[64]) for one in (False, True))
    whole, again = without.speed["train"], with_it.speed["train"]
    assert again.memory["activations"] < 0.8 * whole.memory["activations"]
    assert again.memory["weights"] == whole.memory["weights"]
    assert whole.flops is not None
    assert again.flops is not None
    assert whole.flops < again.flops <= whole.flops + without.model["flops"]  # at most one more forward pass
    assert with_it.speed["inference"].flops == without.speed["inference"].flops


def test_a_cpu_has_no_kernels_and_none_are_called_missing(tmp_path: Path) -> None:
    record = measured(tmp_path)
    only_on_gpus = ("kernels", "busy_share", "issue_ms")
    assert not [name for name in record.missing if name.endswith(only_on_gpus)]
    for speed in record.speed.values():
        assert (speed.kernels, speed.busy_share, speed.issue_ms) == (None, None, None)


def test_adamw_has_twice_the_state_of_sgd(tmp_path: Path) -> None:
    (run,) = runs_of()
    one, two = (run.model_copy(update={"optimizer": name}) for name in ("sgd", "adamw"))
    bytes_of = []
    for each in (one, two):
        record = blank(each, CPU)
        measure.measure(each, record, Environment(), tmp_path)
        bytes_of.append(record.speed["train"].memory["optimizer"])
    assert bytes_of[1] > 1.9 * bytes_of[0] > 0
