"""Memory in a profile: how it is measured and limited, and how the largest batch is found."""

from __future__ import annotations

import mmap
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from benchmarks import isolation
from benchmarks.profiling import max_batch, memory
from benchmarks.training.device import ran_out_of_memory
from benchmarks.training.optim import take_steps
from tests.helpers.fakes.fake_steps import CPU, Fake, images_and_labels, optimizer_of


def test_memory_of_a_known_tensor_counts_once() -> None:
    x = torch.ones(1000, requires_grad=True)
    with memory.saved_for_backward() as saved:
        x.exp().sin().sum()
    assert sum(saved.values()) == 4000  # exp and sin save the same tensor
    with memory.saved_for_backward([x]) as saved:
        x.square().sum()
    assert saved == {}


def new_memory(size: int) -> Tensor:
    """Bytes directly from the system: an allocator would use memory again that earlier tests freed."""
    return torch.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype=torch.uint8).fill_(1)


def test_memory_that_a_compiler_keeps_does_not_count_for_the_step() -> None:
    peak = memory.Peak(CPU)
    with peak.without():
        held = new_memory(200_000_000)
    peak.reset()
    assert peak.bytes < 50_000_000
    more = new_memory(100_000_000)
    assert 90_000_000 < peak.bytes < 150_000_000
    del held, more


def test_phases_of_memory_are_those_of_the_tensors() -> None:
    method = Fake()
    optimizer = optimizer_of(method)
    images, labels = images_and_labels()
    found = memory.by_phase(method, optimizer, lambda: take_steps(method, images, labels, optimizer, "fp32"))
    numbers = 8 * 3 * 3 * 3 + 8 * 5 + 5
    assert found["weights"] == found["gradients"] == found["optimizer"] == 4 * numbers
    assert found["activations"] >= images.numel() * 4


def test_memory_is_limited_and_the_limit_is_lifted() -> None:
    more = 2**31  # bytes in one piece: more than earlier tests freed
    with memory.limited(CPU, 50_000_000):
        with pytest.raises(RuntimeError) as caught:
            torch.empty(more, dtype=torch.uint8)
        assert ran_out_of_memory(caught.value)
    torch.empty(more, dtype=torch.uint8)


def test_a_gpus_available_memory_is_what_nobody_else_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20 * 2**30, 140 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2**30)
    assert memory.available(torch.device("cuda"), None) == 21 * 2**30
    assert memory.available(torch.device("cuda"), 5) == 5
    assert memory.available(torch.device("cuda"), 100 * 2**30) == 21 * 2**30  # no more exists


def test_available_memory_respects_the_narrowest_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"": ("max", 900, 0), "job": ("1000", 700, 50), "job/step": ("2000", 600, 0)}
    for name, (most, used, cached) in groups.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "memory.max").write_text(f"{most}\n")
        (tmp_path / name / "memory.current").write_text(f"{used}\n")
        (tmp_path / name / "memory.stat").write_text(f"anon {used}\ninactive_file {cached}\n")
    (tmp_path / "own").write_text("4:cpu:/other\n0::/job/step\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    assert sorted(memory.left_by_groups(tmp_path / "own")) == [350, 1400]
    monkeypatch.setattr(memory, "left_by_groups", lambda: [350, 1400])
    assert memory.available(CPU, None) == 350
    assert memory.available(CPU, 100) == 100


def test_the_largest_batch_is_found_within_a_sixteenth() -> None:
    for limit in [0, 1, 2, 3, 15, 33, 100, 1023, 5000]:
        tried: list[int] = []

        def fits(size: int, limit: int = limit, tried: list[int] = tried) -> bool:
            tried.append(size)
            return size <= limit

        found = max_batch.search(fits)
        assert limit - max(1, limit // 16) <= found <= limit
        assert found == 0 or found in tried
        assert len(tried) == len(set(tried)) <= 8


@pytest.mark.parametrize(
    ("device", "ended_by", "lacked"),
    [
        ("cuda", signal.SIGKILL, True),
        ("cuda", signal.SIGSEGV, False),
        ("cpu", signal.SIGSEGV, True),  # a library that does not check the result of malloc
        ("cpu", None, False),
    ],
)
def test_a_try_that_dies_of_anything_but_memory_is_an_error(
    monkeypatch: pytest.MonkeyPatch, device: str, ended_by: int | None, lacked: bool
) -> None:
    def die(*_: object, **__: object) -> bool:
        death = isolation.WorkerDied("gone")
        death.signal = ended_by
        raise death

    monkeypatch.setattr(isolation, "run_isolated", die)
    run = SimpleNamespace(batch_size=4, device=device, model_copy=lambda update: update)
    if lacked:
        assert max_batch.largest_batch(run, "train", 1) == 0  # type: ignore[arg-type]
        return
    with pytest.raises(isolation.WorkerDied):
        max_batch.largest_batch(run, "train", 1)  # type: ignore[arg-type]


def test_the_search_ends_at_the_largest_size_that_is_tried() -> None:
    assert max_batch.search(lambda _: True) == 2**16
