"""What a record says of the machine, and what a user without a name can do on it."""

from __future__ import annotations

import os

import pytest
import torch

from benchmarks import hardware
from benchmarks.execution import cluster_jobs, locks

CPU = torch.device("cpu")


@pytest.mark.parametrize(("threads", "words"), [(1, "1 thread"), (2, "2 threads")])
def test_a_processor_is_named_with_its_instructions_and_threads(
    threads: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "_processor", lambda: "AMD EPYC")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert hardware.device_name(CPU) == f"AMD EPYC (AVX512), {words}"
    found = hardware.hardware(CPU)
    assert (found["processor"], found["capability"], found["threads"]) == ("AMD EPYC", "AVX512", threads)


def test_a_user_that_the_system_has_no_name_for_can_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is started with a number for its user."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**20 + 7)
    with locks.device_lock("test-of-names", lambda: None):
        pass
    cluster_jobs.slurm_queue()
