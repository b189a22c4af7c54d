"""How fast images come to the device in each feed mode, and how fast it augments them."""

from __future__ import annotations

import time
from contextlib import closing

import torch

from benchmarks.device_check.finding import Finding
from benchmarks.device_check.photographs import photographs
from benchmarks.device_check.pixels import AUGMENTATIONS, FEED_MODES
from benchmarks.profiling.input_pipeline import InputPipeline
from datasets.interface import Dataset
from methods.interface import Sampling
from results.augmentation import Augment
from results.settings import FeedMode, Input

SECONDS = 1.5
"""Of one measurement, after the first epoch."""


def measure_feeds(device: str, small: bool) -> Finding:
    """Images/s of each feed mode with the common augmentation, a random crop: JPEG files to normalised batches."""
    with photographs(*_images(small)) as dataset:
        return _told({str(mode): images_per_s(dataset, device, small, Augment(), mode) for mode in FEED_MODES})


def measure_augmentations(device: str, small: bool) -> Finding:
    """Images/s of each augmentation, from images that are on the device already."""
    with photographs(*_images(small)) as dataset:
        cases = AUGMENTATIONS.items()
        return _told({name: images_per_s(dataset, device, small, one, "resident") for name, one in cases})


def _images(small: bool) -> tuple[int, int]:
    """How many files, and the shorter side of their images in pixels."""
    return (48, 96) if small else (512, 512)


def images_per_s(dataset: Dataset, device: str, small: bool, settings: Augment, mode: FeedMode) -> float:
    """The rate over whole batches, once every image has been read."""
    image_size, batch_size = (64, 8) if small else (448, 64)
    stored_size = _images(small)[1]
    given = Input(dataset=dataset.name, stored_size=stored_size, augment=settings, feed=mode)
    on_device = torch.device(device)
    pipeline = InputPipeline(dataset, given, image_size, batch_size, Sampling(), on_device)
    with closing(pipeline.batches("train")) as batches:
        for _ in range(len(pipeline.rows) // batch_size):
            next(batches)
        _finish(on_device)
        began, taken = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            next(batches)
            taken += batch_size
            if taken % (8 * batch_size) == 0:
                _finish(on_device)  # else the host runs ahead of the device, and the last wait exceeds the time
        _finish(on_device)
        return taken / (time.perf_counter() - began)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _told(rates: dict[str, float]) -> Finding:
    words = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    return Finding("ok", f"images/s: {words}", {f"{name}, images/s": rate for name, rate in rates.items()})
