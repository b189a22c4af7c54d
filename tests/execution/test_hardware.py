"""What is read from the machine: its processor for a record, and how often memory ran out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import hardware

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


def test_the_systems_count_of_kills_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vmstat").write_text("pgfault 3\noom_kill 12\noom_kill_other 5\n", encoding="ascii")
    monkeypatch.setattr(hardware, "VMSTAT", tmp_path / "vmstat")
    assert hardware.memory_kills() == 12
    monkeypatch.setattr(hardware, "VMSTAT", tmp_path / "nowhere")
    assert hardware.memory_kills() == 0
