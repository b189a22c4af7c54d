"""What a GPU did in a step, read from the profiler's trace, and how long the host took to issue it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.profiling import operations
from benchmarks.profiling.device_work import DeviceWork, covered, device_work, read_trace
from benchmarks.profiling.timing import issue_seconds
from tests.helpers.fakes.fake_steps import CPU, NAP, Fake, images_and_labels, stop_clocks


def event(category: str, start: float, duration: float, stream: int = 7) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": category, "ts": start, "dur": duration, "tid": stream}


def test_kernels_copies_and_fills_are_counted_and_time_counts_once_where_streams_overlap() -> None:
    trace = [
        event("kernel", 100, 50),
        event("kernel", 120, 60, stream=8),
        event("gpu_memcpy", 300, 10),
        event("gpu_memset", 310, 5),
        event("gpu_user_annotation", 0, 1000),  # the profiler repeats spans of the host on the device's time line
        event("cuda_runtime", 0, 40),
        event("cpu_op", 0, 90),
        {"ph": "M", "name": "process_name", "args": {"name": "python"}},
    ]
    assert device_work(trace) == DeviceWork(kernels=4, busy_s=pytest.approx((80 + 15) / 1e6))


@pytest.mark.parametrize(
    ("intervals", "length"),
    [
        ([], 0),
        ([(5, 7)], 2),
        ([(5, 7), (1, 2)], 3),
        ([(0, 10), (2, 3), (9, 12)], 12),
        ([(0, 1), (1, 2)], 2),
    ],
    ids=["none", "one", "apart, in any order", "within and beyond", "touching"],
)
def test_the_length_of_a_union_counts_no_moment_twice(intervals: list[tuple[float, float]], length: float) -> None:
    assert covered(intervals) == length


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_a_trace_of_a_cpu_is_read_and_has_no_kernels(name: str, tmp_path: Path) -> None:
    method, (images, _) = Fake(), images_and_labels(4)
    operations.write_trace(operations.profiled(lambda: method(images), CPU), tmp_path / name)
    events = read_trace(tmp_path / name)
    assert any(one.get("cat") == "cpu_op" for one in events)
    assert device_work(events) == DeviceWork(kernels=0, busy_s=0.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only a GPU has kernels")
def test_each_kernel_of_a_gpu_is_counted_once(tmp_path: Path) -> None:
    device, size = torch.device("cuda"), 2**20
    numbers = torch.zeros(size, device=device)
    operations.write_trace(operations.profiled(lambda: numbers.add_(1).mul_(2), device), tmp_path / "trace.json")
    work = device_work(read_trace(tmp_path / "trace.json"))
    assert work.kernels == 2 * operations.STEPS
    assert 0 < work.busy_s < 1


def test_issuing_a_step_ends_before_the_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = stop_clocks(monkeypatch)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: sleep(100 * NAP))
    assert issue_seconds(lambda: sleep(NAP), torch.device("cuda")) == pytest.approx(NAP)
