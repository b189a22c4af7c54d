"""Whether a step makes the host wait for the GPU: training, inference and augmentation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from benchmarks.device_check.finding import Finding, one_line
from benchmarks.device_check.networks import BATCH, CLASSES, SIZE, small_network
from benchmarks.device_check.pixels import AUGMENTATIONS, CROP, moved, ragged_batch
from benchmarks.device_check.steps import Cell
from benchmarks.profiling.profiled_method import ProfiledMethod
from benchmarks.training.device import numerics
from datasets.loading import augment
from datasets.loading.sampling import batch_generator

WAIT = "synchroniz"
"""In the message of the error that torch raises."""


def check_waits(method: str) -> Finding:
    """Takes a training step and an inference step of the method on the GPU in bf16, with waiting forbidden."""
    cell = Cell(method, small_network(method), SIZE, BATCH, "bf16", classes=CLASSES)
    with numerics("bf16"):
        profiled = ProfiledMethod(cell.run("cuda", BATCH))
        for mode in ("train", "inference"):
            step = profiled.step(mode)
            for _ in range(2):  # what is set up once may wait
                step()
            try:
                with waits_forbidden():
                    step()
            except RuntimeError as error:
                return _wait(error, mode)
    return Finding("ok", "no wait in training and inference")


def check_augmentation_waits(device: str) -> Finding:
    """Augments a batch on the GPU in every way, with waiting forbidden."""
    batch = moved(ragged_batch(), device)
    for name, settings in AUGMENTATIONS.items():
        augment.train_batch(batch, settings, CROP, batch_generator(0, 0, 0))
        try:
            with waits_forbidden():
                augment.train_batch(batch, settings, CROP, batch_generator(0, 0, 1))
        except RuntimeError as error:
            return _wait(error, name)
    return Finding("ok", f"no wait in {len(AUGMENTATIONS)} augmentations")


@contextlib.contextmanager
def waits_forbidden() -> Iterator[None]:
    """Within, what makes the host wait for the GPU raises `RuntimeError`."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _wait(error: RuntimeError, where: str) -> Finding:
    if WAIT not in str(error):
        raise error
    return Finding("wrong", f"the host waits in {where} ({one_line(error)})")
