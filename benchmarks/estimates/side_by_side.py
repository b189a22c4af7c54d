"""How many trainings fit on a device at a time: `--parallel auto`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import joblib
import torch

from benchmarks.errors import REFUSED
from benchmarks.estimates import memory
from benchmarks.estimates.estimator import Estimator
from benchmarks.gpu import gpu
from datasets.loading.sources import DEVICE_SHARE, expected_bytes
from results.settings import AnyRun, Run

PROCESS = memory.GIB // 2
"""Bytes of the host that a process takes before it trains: 440 MB with the libraries of a Run, on Linux."""


def fitting(to_do: Sequence[AnyRun], estimator: Estimator) -> int:
    """As many as memory allows at the peaks of the trainings that need most, and as the host has cores; at least one.

    One, too, where a peak is unknown. On a CPU each training uses torch's present number of threads.
    """
    trainings = _one_of_each([run for run in to_do if isinstance(run, Run)])
    peaks = [_peak(run, estimator) for run in trainings]
    if not peaks or None in peaks:
        return 1
    peak = max(peak for peak in peaks if peak is not None)
    number = sum(isinstance(run, Run) for run in to_do)
    if estimator.environment.device == "cpu":
        cores = joblib.cpu_count() // torch.get_num_threads()
        return max(min(memory.free("cpu") // (peak + PROCESS), cores, number), 1)
    free = gpu(torch.device("cuda")).free
    images = max(_image_bytes(run, estimator) for run in trainings)
    if images <= DEVICE_SHARE * free:  # then they are kept on the device
        free -= images
    return max(min(free // (peak + memory.CONTEXT), joblib.cpu_count(), number), 1)


def line(number: int) -> list[str]:
    """A line on the hours of a plan that carries out `number` trainings at a time; none if that is one."""
    if number == 1:
        return []
    saved = "what that saves is not known before it is measured, so the hours are those of one after the other"
    return [f"{number} trainings at a time: {saved}"]


def _one_of_each(trainings: Sequence[Run]) -> list[Run]:
    """One seed of each experiment."""
    return list({run.experiment: run for run in trainings}.values())


def _peak(run: Run, estimator: Estimator) -> int | None:
    with suppress(*REFUSED):  # a plan is checked elsewhere
        return estimator.peak_bytes(run)
    return None


def _image_bytes(run: Run, estimator: Estimator) -> int:
    """Of the decoded images on the device; 0 if they are streamed there batch by batch."""
    if estimator.environment.feed not in ("auto", "resident"):
        return 0
    with suppress(*REFUSED):
        dataset = estimator.environment.open(run.dataset, run.dataset_options)
        return expected_bytes(len(dataset), run.recipe.stored_size, run.recipe.resize)
    return 0
