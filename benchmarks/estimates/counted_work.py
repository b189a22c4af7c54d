"""The work that one image is for a method on a network, counted on torch's meta device, where nothing is computed.

Where a method makes several optimiser steps of a batch, the work is that of all, and the memory that of the largest.

A count takes about half a second and is kept in the cache folder. To save counts, work grows with the image's area, and
a variant that is trained has the share of the paper's own that it has on a small network, where that can take both:
near enough for a guess.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import timm
import torch
from pydantic import BaseModel, ConfigDict, Field, RootModel
from torch import Tensor

import methods
from benchmarks.estimates import kept
from benchmarks.planning import method_files
from benchmarks.planning.method_checks import stand_in
from benchmarks.profiling.counting import count
from benchmarks.profiling.live_bytes import peak_bytes, storage_of
from methods.backbones import TimmBackbones
from methods.interface import Method
from results.settings import AnyRun
from results.values.numbers import Pixels

CLASSES = 200
"""As many as CUB-200-2011 has; a classifier is a small part of the work."""
BATCH = 4
"""Images that are counted: enough for a method that needs pairs."""
SMALL: Mapping[str, Any] = {"backbone": "test_resnet", "options": {}}
"""A network on which a count takes a tenth of a second."""
SMALL_PIXELS = 96
FORMAT = 4
"""Increase it when another thing is counted: old counts are then not found any more."""


Amount = Annotated[float, Field(ge=0, le=1e24, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=10**15)]


class Work(BaseModel):
    """Of the forward pass of a training step, per image of `pixels` x `pixels`. Bounded: it may be a damaged file's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: Pixels
    flops: Amount
    """2 per multiply-add."""
    bytes: Amount
    """What the operations read and write, each by itself."""
    launches: Number
    """Operations of a batch, however large."""
    activations: Amount
    """Bytes that wait for a backward pass; where there is none, those that live at a time in the forward pass."""
    evaluated: Annotated[float, Field(gt=0, le=1)]
    """Share of it that the forward pass of an evaluation is, by the images that pass through a backbone."""
    with_gradients: Annotated[float, Field(ge=0, le=1)]
    """Share of it that has a backward pass, by the same images; the rest is computed without gradients (SnapMix's class
    maps)."""
    weights: Number
    """Bytes of parameters and buffers."""
    features: Number
    """Numbers per image that the method is fitted to; 0 where it is trained."""

    def times(self, factor: float) -> Work:
        """The same with more or less of everything that an image needs."""
        changed = {name: factor * getattr(self, name) for name in ("flops", "bytes", "activations")}
        return self.model_copy(update=changed)

    def in_proportion(self, variant: Work, paper: Work) -> Work:
        """The same with more or less of everything that an image needs, as `variant` has it beside `paper`, and with
        the variant's share of gradients."""
        as_large = paper.times((variant.pixels / paper.pixels) ** 2)
        names = ("flops", "bytes", "activations", "evaluated")
        changed = {name: getattr(self, name) * getattr(variant, name) / getattr(as_large, name) for name in names}
        return self.model_copy(update=changed | {"with_gradients": variant.with_gradients})


class _Count(RootModel[Work | None]):
    """What was found: None for a method that can't be counted."""


class CountedWork:
    """Counts each method on each network once, and each variant once on a small network."""

    def __init__(self) -> None:
        self._known: dict[str, Work | None] = {}

    def of(self, run: AnyRun) -> Work | None:
        """None if the method can't be counted: its code reads values, and the meta device has none."""
        learns = stand_in(run.label, run.method, run.options).phases()
        paper = method_files.options_of(run.method, "paper") if learns else run.options
        found = self._counted(run, {"backbone": run.backbone, "options": run.backbone_options}, paper)
        if found is None:
            return None
        grown = found.times((run.image_size / found.pixels) ** 2)
        if run.options == paper:
            return grown
        variant, whole = (self._counted(run, SMALL, options) for options in (run.options, paper))
        return grown.in_proportion(variant, whole) if variant and whole else grown

    def _counted(self, run: AnyRun, network: Mapping[str, Any], options: Mapping[str, Any]) -> Work | None:
        name = json.dumps([run.method, network, options], sort_keys=True)
        if name not in self._known:
            pixels = SMALL_PIXELS if network is SMALL else run.image_size
            self._known[name] = _kept(run.method, network, options, pixels)
        return self._known[name]


def _kept(method: str, network: Mapping[str, Any], options: Mapping[str, Any], pixels: int) -> Work | None:
    """From the cache folder, else counted; that it can't be counted is kept too."""
    key = {
        "format": FORMAT,
        "code": hashlib.sha256(b"".join(map(Path.read_bytes, _code(method)))).hexdigest(),
        "network": network,
        "options": options,
        "pixels": pixels,
        "versions": [torch.__version__, timm.__version__],
    }
    found = kept.read_or_make("work", key, _Count, lambda: _Count(_count(method, network, options, pixels)))
    return found.root if found else None


def _code(method: str) -> list[Path]:
    """What a method may consist of: its own folder, the blocks that methods share, and what gives it its backbone."""
    folder = Path(methods.FOLDER)
    shared = [file for room in (method, "ops", "transformers") for file in sorted((folder / room).rglob("*.py"))]
    return [*sorted(folder.glob("*.py")), *shared]


def _count(name: str, network: Mapping[str, Any], options: Mapping[str, Any], pixels: int) -> Work | None:
    try:
        with torch.device("meta"), _without_autocast():
            backbones = TimmBackbones(network["backbone"], pixels, options=network["options"])
            method = methods.load(name)(backbones, CLASSES, **options)
            method.to(memory_format=torch.channels_last).train()
            images = torch.empty(BATCH, 3, pixels, pixels)
            labels = torch.arange(BATCH) // (method.sampling.images_per_class or 1) % CLASSES
            if method.phases():
                saved: list[int] = []
                counts = count(method, lambda: saved.extend(_saved_by_steps(method, images, labels)))
                activations, features = max(saved, default=0), 0
            else:
                forward = torch.no_grad()(partial(method.eval(), images))
                counts, activations = count(method, forward), peak_bytes(forward)
                features = method.frozen_features(images).shape[1]
    except Exception:  # a method's code may do anything; then there is no guess
        return None
    return Work(
        pixels=pixels,
        flops=counts.flops / BATCH,
        bytes=counts.bytes / BATCH,
        launches=counts.launches,
        activations=activations / BATCH,
        evaluated=min(method.views * BATCH / max(counts.backbone_images, 1), 1.0),
        with_gradients=counts.images_with_gradients / counts.backbone_images if counts.backbone_images else 1.0,
        weights=sum(one.numel() * one.element_size() for one in [*method.parameters(), *method.buffers()]),
        features=features,
    )


def _saved_by_steps(method: Method, images: Tensor, labels: Tensor) -> Iterator[int]:
    """The bytes that wait for the backward pass of each optimiser step, whose forward passes are taken."""
    steps = method.steps(images, labels)
    while True:
        with _saved_bytes() as saved:
            losses = next(steps, None)
            if losses is None:
                return
            sum(losses.values())
        yield sum(saved.values())


@contextlib.contextmanager
def _saved_bytes() -> Iterator[dict[int, int]]:
    """Yields storage -> bytes of what waits for the backward pass. On the meta device, storages have no address."""
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            saved[storage_of(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield saved


def _without_autocast() -> contextlib.AbstractContextManager[Any]:
    """Within, there is no autocast: torch refuses it on the meta device."""
    return mock.patch.multiple(torch, autocast=_NoAutocast, is_autocast_enabled=lambda *_: False)


class _NoAutocast(contextlib.nullcontext[None]):
    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()
