"""The process that plans opens no CUDA context, which would take memory of the GPU beside every measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, isolation
from benchmarks.errors import UserError
from benchmarks.estimates.ceilings import Ceilings, ceilings
from benchmarks.gpu import Gpu

CARD = Gpu("NVIDIA H200", "GPU-1-2", 141 * 2**30, 140 * 2**30)
CUDA = torch.device("cuda")
LIMITS = Ceilings(flops_per_s=1e13, bytes_per_s=1e12, launch_s=5e-6)


@pytest.fixture
def forgetful() -> Iterator[None]:
    """What other tests asked is not known, nor do others know what was answered here."""
    for remembered in (gpu.asked, ceilings):
        remembered.cache_clear()
    yield
    for remembered in (gpu.asked, ceilings):
        remembered.cache_clear()


@pytest.fixture
def questions(forgetful: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What child processes are asked, which can open a GPU; this process can't."""
    found: list[tuple[Any, ...]] = []

    def answer(fn: Callable[..., Any], *args: Any, on_message: Callable[[Any], None]) -> Any:
        found.append(args)
        return CARD if args == ("cuda",) else LIMITS

    def refuse() -> None:
        raise AssertionError("this process opened CUDA")

    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(isolation, "run_isolated", answer)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_lazy_init", refuse)
    return found


def test_a_plan_for_a_gpu_is_made_and_shown_without_opening_it(
    questions: list[tuple[Any, ...]], fgbench: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    code, said = fgbench("run", "quick", "--dry-run", "--device", "cuda", "--results", tmp_path / "results")
    assert code == 0, said
    assert "on NVIDIA H200" in said
    assert questions.count(("cuda",)) == 1


def die(*_: Any, **__: Any) -> None:
    raise isolation.WorkerDied("its process died of SIGSEGV")


@pytest.mark.parametrize("how", [die, None])
def test_a_gpu_that_cannot_be_used_is_told_in_one_line(
    how: Callable[..., None] | None, forgetful: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how is None and torch.cuda.is_available():
        pytest.skip("this machine has a GPU that can be used")
    if how:
        monkeypatch.setattr(isolation, "run_isolated", how)
    with pytest.raises(UserError, match=r"^the GPU can't be used \(.+\); use --device cpu$") as error:
        gpu.gpu(CUDA)
    assert "\n" not in str(error.value)
