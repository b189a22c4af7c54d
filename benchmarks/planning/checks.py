"""What would fail at once: found for all Runs of a plan together, before the first of them starts.

A check is one function that yields the faults of one kind. What may be slow is done once per dataset, file or network.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import methods
from benchmarks.environment import Environment
from benchmarks.errors import PlanError, UserError
from benchmarks.planning import method_checks
from benchmarks.planning.phases import PhasePlan, phase_plans
from datasets.formats.heads import head_fault
from datasets.interface import Dataset
from datasets.loading.prefetch import map_in_threads
from datasets.loading.sampling import check_batch_size, check_batches, drops_last
from methods.backbones import TimmBackbones, fill
from methods.checkpoints import is_finite
from methods.errors import BackboneError
from methods.interface import Method, Tap
from methods.networks import check_size, create_network, is_fixed_size, without_weights
from methods.weight_files import find_weights
from results.settings import AnyRun, Run

READERS = 8
"""Threads that look at images: a file system in a network answers several at once."""
IMAGES_NAMED = 10
"""Unreadable images of a dataset that are named; more are counted."""
SMALL = 96
"""Pixels below which an image may be too small for a network: most halve it five times, Inception-v3 needs 75."""

ANY_SIZE = 128
"""Pixels of an image that every network for images of any size takes."""


def require_startable(runs: Iterable[AnyRun], environment: Environment, processes: int = 1) -> None:
    """Raises `UserError` with a line for each reason why some of the Runs would fail at once.

    `processes`: how many train each Run together.
    """
    _refuse(runs, lambda run: _faults(run, environment, processes))


def require_sizes(runs: Iterable[AnyRun], processes: int = 1) -> None:
    """The same for sizes of images and batches that can't be used. Neither images nor weights need be here."""
    _refuse(runs, lambda run: _sizes(run, processes))


def _refuse(runs: Iterable[AnyRun], faults_of: Callable[[AnyRun], Iterable[str]]) -> None:
    """Raises `UserError` with a line for each fault of the Runs; those of one experiment have the same."""
    experiments: dict[str, list[AnyRun]] = defaultdict(list)
    for run in runs:
        experiments[run.experiment].append(run)
    found: dict[str, list[AnyRun]] = defaultdict(list)
    for members in experiments.values():
        for fault in dict.fromkeys(faults_of(members[0])):
            found[fault] += members
    lines = [f"{fault} ({_named(members)})" for fault, members in found.items()]
    if len(lines) == 1:
        raise UserError(lines[0])
    if lines:
        raise PlanError(lines)


def _named(runs: list[AnyRun]) -> str:
    return runs[0].label if len(runs) == 1 else f"{len(runs)} Runs, the first: {runs[0].label}"


def _faults(run: AnyRun, environment: Environment, processes: int) -> Iterator[str]:
    yield from _size(run)
    yield from _checkpointing(run, environment)
    if isinstance(run, Run):
        yield from _weights(run, environment)
        yield from _batches(run, environment, processes)
        yield from _tensorboard(environment)
        yield from _images(environment.open(run.dataset, run.dataset_options))


def _sizes(run: AnyRun, processes: int) -> Iterator[str]:
    yield from _size(run)
    if isinstance(run, Run):
        yield from _batch_sizes(run, processes)


def _size(run: AnyRun) -> Iterator[str]:
    """Images of a size that the network refuses, or that are too small for the maps that the method takes."""
    network = run.backbone, run.image_size, _json(run.backbone_options)
    fault = _refuses(*network)
    if fault is None and run.image_size < SMALL and not _passes(*network):
        fault = _gives_no_maps(run.method, _json(run.options), *network)
    if fault:
        yield fault


def _checkpointing(run: AnyRun, environment: Environment) -> Iterator[str]:
    """A network whose activations can't be computed again in the backward pass, where that is asked for."""
    asked = environment.execution.checkpointing if isinstance(run, Run) else run.checkpointing
    network = run.backbone, run.image_size, _json(run.backbone_options)
    if asked and (fault := method_checks.no_checkpointing(run.method, _json(run.options), *network)):
        yield fault


def _weights(run: Run, environment: Environment) -> Iterator[str]:
    """A weight file of another network, one that can't be read, or one without a layer that the method needs or with
    values in it that are not finite."""
    if run.pretrained == "none":
        return
    file = _file(run.backbone, run.pretrained, environment.weights_root)
    # The weights of a network for any size don't depend on it: one size stands for all, so that less is looked at.
    size = run.image_size if is_fixed_size(run.backbone) else ANY_SIZE
    network = run.backbone, size, _json(run.backbone_options)
    fault, unfilled = _filled(*network, file)
    options = _json(run.options)
    if unfilled and not run.allow_unfilled:
        taps = method_checks.taps_of(run.method, options, run.backbone)
        if not _suffices(*network, taps, unfilled):
            fault = _gives_no_maps(run.method, options, *network, file)
    if fault is None and not run.allow_unfilled and not _is_finite(file):
        fault = _gives_no_maps(run.method, options, *network, file)
    if fault:
        yield fault


def _batch_sizes(run: Run, processes: int) -> Iterator[str]:
    """Sizes of batches that the method can't use."""
    method = _stand_in(run.method, _json(run.options))
    for phase in phase_plans(method, run.recipe):
        sampling = method.sampling.groups(phase.batch_size)
        try:
            check_batch_size(phase.batch_size, sampling, processes, method.sampling.together)
        except ValueError as error:
            yield f"{run.method} on {run.dataset}: {error}; set batch_size"


def _batches(run: Run, environment: Environment, processes: int) -> Iterator[str]:
    """Batches that can't be formed of the dataset's training images, or from which nothing can be learnt."""
    dataset = environment.open(run.dataset, run.dataset_options)
    rows = _training_rows(dataset, run.recipe.validation)
    options = _json(run.options)
    method = _stand_in(run.method, options)
    sampling, together, limit = method.sampling, method.sampling.together, environment.execution.micro_batch
    for phase in phase_plans(method, run.recipe):
        try:
            check_batches(
                dataset.labels[rows], phase.batch_size, sampling.groups(phase.batch_size), processes, together
            )
        except ValueError as error:
            yield f"{run.method} on {dataset.name}: {error}; set batch_size"
            continue
        if isinstance(limit, int) and limit < together:
            yield f"{run.method}: {together} images of a batch belong together; set --batch-size to {together} or more"
            continue
        if phase.trains is None and _takes_one_image(run, environment, method, phase, len(rows), processes):
            network = run.backbone, run.image_size, _json(run.backbone_options)
            if why := _no_step_on_one_image(run.method, options, *network):
                yield f"{why}; batches are cut into single images: set batch_size, accumulate or --batch-size for two"


def _tensorboard(environment: Environment) -> Iterator[str]:
    """Scalars that nothing here can write."""
    if environment.execution.tensorboard and find_spec("tensorboard") is None:
        yield "--tensorboard needs a package: pip install tensorboard, or leave it out"


@cache
def _images(dataset: Dataset) -> tuple[str, ...]:
    """Files that can't be images, judged by their first bytes."""
    files = [file for file in map(dataset.file, range(len(dataset))) if file is not None]
    faults = [fault for fault in map_in_threads(head_fault, files, READERS, 8 * READERS) if fault]
    more = len(faults) - IMAGES_NAMED
    rest = [f"{more} more images of {dataset.name} can't be read: data verify {dataset.name} names them"]
    return (*faults[:IMAGES_NAMED], *(rest if more > 0 else []))


def _takes_one_image(
    run: Run, environment: Environment, method: Method, phase: PhasePlan, images: int, processes: int
) -> bool:
    """Whether some pass of a training sees a single image: a batch, a process's share of it, or a piece of that."""
    together, limit = method.sampling.together, environment.execution.micro_batch
    piece = ceil(ceil(phase.batch_size / processes) / (together * run.recipe.accumulate)) * together
    if 1 in (piece, limit):
        return True
    last = images % phase.batch_size
    dropped = drops_last(images, phase.batch_size, processes, together, method.sampling.drop_last)
    if method.sampling.images_per_class is not None:
        totals = [phase.batch_size]
    elif images < phase.batch_size:
        totals = [images]
    else:
        totals = [phase.batch_size, *([] if dropped else [last])]
    return any(total // processes == 1 for total in totals)


# What is found out once. Options are JSON, since dictionaries have no hash.


def _json(options: Mapping[str, Any]) -> str:
    return json.dumps(dict(options), sort_keys=True)


@cache
def _training_rows(dataset: Dataset, validation: float) -> NDArray[np.int64]:
    return dataset.split(validation)["train"]


@cache
def _stand_in(method: str, options: str) -> Method:
    return method_checks.stand_in(method, method, json.loads(options))


@cache
def _file(backbone: str, pretrained: str, root: Path | None) -> Path:
    found = find_weights(backbone, pretrained, root)
    assert found is not None, "a Run with a file's name has a file"
    return found.path


@cache
def _refuses(backbone: str, image_size: int, backbone_options: str) -> str | None:
    """Why the network can't be built for images of this size, or would ignore some of their pixels."""
    try:
        check_size(backbone, image_size, json.loads(backbone_options))
    except BackboneError as error:
        return str(error)
    return None


@cache
def _passes(backbone: str, image_size: int, backbone_options: str) -> bool:
    """Whether images of this size pass through the whole network."""
    net: Any = without_weights(backbone, image_size, json.loads(backbone_options))
    if net is None:
        return False
    try:
        with torch.no_grad():
            net.forward_features(torch.empty(1, 3, image_size, image_size, device="meta"))
    except Exception:  # networks raise all kinds of errors here, and some only without values
        return False
    return True


@cache
def _gives_no_maps(
    method: str, options: str, backbone: str, image_size: int, backbone_options: str, file: Path | None = None
) -> str | None:
    """Why the method gets no maps of such images, or not with these weights; it may take them from before the layer at
    which the whole network fails."""
    try:
        _build(method, options, backbone, image_size, backbone_options, file)
    except BackboneError as error:
        return str(error)
    return None


def _build(
    method: str, options: str, backbone: str, image_size: int, backbone_options: str, file: Path | None = None
) -> Method:
    """The method on the CPU. Raises what a Run of it would raise."""
    backbones = TimmBackbones(backbone, image_size, file or "none", file and file.parent, json.loads(backbone_options))
    return methods.load(method)(backbones, 2, **json.loads(options))


@cache
def _filled(backbone: str, image_size: int, backbone_options: str, file: Path) -> tuple[str | None, tuple[str, ...]]:
    """Why a weight file can't be loaded, and the names that it does not hold. First by names and shapes alone; if these
    seem not to fit, with values: some conversions of old checkpoints need the values."""
    options = json.loads(backbone_options)
    net = without_weights(backbone, image_size, options)
    if net is not None:
        with suppress(Exception):
            return None, tuple(fill(net, file)[0])
    try:
        return None, tuple(fill(create_network(backbone, image_size, options), file)[0])
    except BackboneError as error:
        return str(error), ()


@cache
def _is_finite(file: Path) -> bool:
    return is_finite(file)


@cache
def _suffices(
    backbone: str, image_size: int, backbone_options: str, taps: tuple[Tap, ...], unfilled: tuple[str, ...]
) -> bool:
    """Whether all names that a file does not hold come after these taps, in the order in which the network has them.
    Where that can't be told it is False."""
    net: Any = without_weights(backbone, image_size, json.loads(backbone_options))
    if net is None:
        return False
    of_stride = {info["reduction"]: info["module"] for info in net.feature_info}  # the deepest, as a backbone takes it
    modules = tuple(f"{of_stride.get(tap, tap)}." for tap in taps)
    names = list(net.state_dict())
    last = [max((n for n, name in enumerate(names) if name.startswith(one)), default=len(names)) for one in modules]
    return max(last, default=-1) < min(map(names.index, unfilled))


@cache
def _no_step_on_one_image(
    method: str, options: str, backbone: str, image_size: int, backbone_options: str
) -> str | None:
    """Why a step on a single image fails, as batch norm does where a map has one pixel; None if it does not."""
    built = _build(method, options, backbone, image_size, backbone_options).train()
    try:
        next(iter(built.steps(torch.zeros(1, 3, image_size, image_size), torch.zeros(1, dtype=torch.long))))
    except Exception as error:  # whatever the method raises, the training would raise
        return f"{method} on {backbone}: {error}".splitlines()[0]
    return None
