"""How long the command line takes to start, in CPU seconds and as a share of what importing torch takes."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).parents[2]
ROUNDS = 3


def cpu_seconds(*words: str) -> float:
    """CPU seconds of Python with these arguments, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("verb", ["--help", "list methods", "list suites", "status"])
def test_the_command_line_starts(benchmark: BenchmarkFixture, verb: str) -> None:
    times = []
    benchmark.pedantic(lambda: times.append(cpu_seconds("run_all.py", *verb.split())), rounds=ROUNDS)
    assert len(times) >= 1
    if benchmark.stats is not None:  # absent when benchmarks are switched off
        torch = min(cpu_seconds("-c", "import torch") for _ in range(ROUNDS))
        benchmark.extra_info |= {"CPU seconds": min(times), "of importing torch": min(times) / torch}
