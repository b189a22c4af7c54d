"""How many trainings fit on a device at a time: by memory, by cores, and no more than there are."""

from __future__ import annotations

from types import SimpleNamespace

import joblib
import psutil
import pytest
import torch

from benchmarks import isolation
from benchmarks.environment import Environment
from benchmarks.estimates import memory
from benchmarks.estimates.estimator import Estimator
from benchmarks.estimates.side_by_side import PROCESS, fitting, line
from benchmarks.gpu import Gpu, asked
from datasets.loading.sources import HOST_SHARE
from results.settings import AnyRun
from tests.helpers.small_training import small_run

PEAK = 3 * memory.GIB


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each training needs 3 GiB; eight cores, of which each takes two."""
    monkeypatch.setattr(Estimator, "peak_bytes", lambda *_: PEAK)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def plan(seeds: int) -> list[AnyRun]:
    return [small_run().model_copy(update={"seed": seed}) for seed in range(seeds)]


def fit_on_cpu(seeds: int, available: float, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available))
    return fitting(plan(seeds), Estimator([], Environment()))


@pytest.mark.parametrize(
    ("seeds", "room", "number"),
    [(9, 100, 4), (3, 100, 3), (9, 2.5, 2), (9, 0.5, 1), (0, 100, 1)],  # cores, trainings, memory, one always
)
def test_on_a_cpu_memory_and_threads_limit_them(
    seeds: int, room: float, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit_on_cpu(seeds, room * (PEAK + PROCESS) / HOST_SHARE, monkeypatch) == number


def test_on_a_gpu_the_images_take_their_part_once_and_each_training_its_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = 5 * (PEAK + memory.CONTEXT)
    images = 39 * 3 * 32 * 32
    for free, number in ((room + images, 5), (room + images - 1, 4), (100 * room, 8)):
        asked.cache_clear()
        monkeypatch.setattr(isolation, "run_isolated", lambda *_, free=free, **__: Gpu("H200", "GPU-1", free, free))
        assert fitting(plan(9), Estimator([], Environment(device="cuda"))) == number
    asked.cache_clear()


def test_one_at_a_time_where_the_peak_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Estimator, "peak_bytes", lambda *_: None)
    assert fit_on_cpu(9, 1e12, monkeypatch) == 1


def test_hours_are_not_divided_by_what_nobody_measured() -> None:
    assert line(1) == []
    assert "3 trainings at a time" in line(3)[0]
    assert "one after the other" in line(3)[0]
