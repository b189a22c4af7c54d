"""The entries of a suite that measure -> profile Runs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch

from benchmarks import hardware
from benchmarks.config import deep_merge, parse
from benchmarks.environment import Environment
from benchmarks.errors import REFUSED, UserError
from benchmarks.planning import batch_sweep, method_files, recipes
from benchmarks.planning.method_files import split_name
from benchmarks.planning.overrides import OF_PROFILE, Changes, may_fit
from benchmarks.planning.suite import BackboneChoice, Profiling
from benchmarks.planning.support import check_method, unsupported
from datasets.narrowed import sorted_classes
from methods.errors import BackboneError
from methods.networks import check_name
from methods.weight_files import options_of_tag
from results.settings import ProfileRun


def profiles(entry: Profiling, environment: Environment, changes: Changes) -> Iterator[ProfileRun]:
    """Every profile Run of an entry, in order. Raises `UserError`, `DatasetError` or `BackboneError`."""
    # In a suite that also trains, a profile takes only the settings that it has.
    overrides = {key: value for key, value in deep_merge(entry.set, changes.set).items() if key in OF_PROFILE}
    pretrained = overrides.pop("pretrained", None)
    networks = [(one, _network_options(one, pretrained, environment)) for one in entry.backbones]
    pairs = [pair for pair in product(entry.methods, networks) if not unsupported(entry, pair[0], pair[1][0], changes)]
    swept = entry.batch_sizes == "sweep"
    batch_sizes = batch_sweep.BATCHES if swept else entry.batch_sizes
    asked = product(pairs, entry.image_sizes, batch_sizes, entry.precisions, entry.ways)
    for (name, (backbone, backbone_options)), image_size, batch_size, precision, way in asked:
        method, variant = split_name(name)
        names = {"method": method, "variant": variant, "backbone": backbone.network, "image_size": image_size}
        try:
            measured_input = _input(entry, image_size, environment)
        except REFUSED:
            if may_fit(ProfileRun, names, changes.only):
                raise
            continue
        values = {
            **names,
            "options": method_files.options_of(method, variant),
            "backbone_options": backbone_options,
            "classes": entry.classes,
            "batch_size": batch_size,
            "precision": precision,
            **way,
            "input": measured_input,
            "extras": entry.extras,
            "memory_limit": entry.memory_limit,
            "device": environment.device,
            "hardware": hardware.device_name(torch.device(environment.device)),
            "in_sweep": swept,
        }
        run = parse(ProfileRun, deep_merge(values, overrides), name)
        check_method(run)
        for repeat in range(entry.repeats):
            yield run.model_copy(update={"repeat": repeat})


def _network_options(backbone: BackboneChoice, pretrained: str | None, environment: Environment) -> dict[str, Any]:
    """timm options of a network whose speed is measured: those of its weight file, so that the measured network is the
    one that trains, with the suite's own on top.

    The values of the weights do not affect speed, so a network whose weights are not here is measured as timm builds it
    for the tag. A file that is named otherwise must exist, since its network may differ from timm's.
    """
    check_name(backbone.name)
    choice = str(pretrained or backbone.weights)
    try:
        file = environment.find_weights(backbone.network, choice)
    except BackboneError:
        if choice not in ("auto", backbone.name):
            raise
        return deep_merge(options_of_tag(backbone.name), backbone.options)
    return deep_merge(file.network_options if file else {}, backbone.options)


def _input(entry: Profiling, image_size: int, environment: Environment) -> dict[str, Any] | None:
    """Images of the dataset, prepared by the common recipe at this size."""
    if entry.dataset is None:
        return None
    opened = environment.open(entry.dataset.name, entry.dataset.options)
    if len(opened.classes) > entry.classes:
        raise UserError(f"{opened.name} has {len(opened.classes)} classes, more than {entry.classes}; raise classes")
    common = recipes.common()
    return {
        "dataset": opened.name,
        "dataset_options": sorted_classes(entry.dataset.options),
        "stored_size": recipes.stored_size_for(image_size, common),
        "resize": common["resize"],
        "augment": common["augment"],
        "feed": environment.feed,
    }
