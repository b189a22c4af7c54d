"""A suite -> a list of frozen Runs. Everything a Run depends on is looked up here, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch

import methods
from benchmarks import hardware
from benchmarks.config import deep_merge, parse
from benchmarks.environment import Environment, subsets
from benchmarks.errors import UserError, require_known
from benchmarks.planning import batch_sweep, recipes
from benchmarks.planning.overrides import OF_PROFILE, OF_TRAINING, fault_of, matches, none_fits
from benchmarks.planning.phases import phase_plans
from benchmarks.planning.suite import BackboneChoice, DatasetChoice, Profiling, Suite, Training
from methods.backbones import check_name, find_weights
from methods.errors import BackboneError
from results.settings import AnyRun, ProfileRun, Recipe, Run


@dataclass(frozen=True)
class Changes:
    """What the command line asks for on top of a suite: `--set`, `--only`, `--seeds`."""

    set: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    seeds: int | None = None


NO_CHANGES = Changes()


def expand(suite: Suite, environment: Environment, changes: Changes = NO_CHANGES) -> list[AnyRun]:
    """Every Run of a suite, in order, none twice. Raises `UserError`, `DatasetError` or `BackboneError`."""
    if not suite.train:
        changes = replace(changes, set=_of_profiles(changes.set))
    if fault := fault_of(changes.set, OF_TRAINING if suite.train else OF_PROFILE):
        raise UserError(f"--set {fault}")
    cases: list[AnyRun] = [
        *(run for entry in suite.train for run in _trainings(entry, environment, changes)),
        *(run for entry in suite.profile for run in _profiles(entry, environment, changes)),
    ]
    distinct: dict[str, AnyRun] = {}
    for case in cases:
        if not (batch_sweep.member(case) and case.hash in distinct):  # which may be asked for by itself
            distinct[case.hash] = case
    chosen = [case for case in distinct.values() if matches(case, changes.only)]
    if cases and not chosen:
        raise UserError(none_fits((case.model_dump(mode="json") for case in distinct.values()), changes.only))
    return chosen


def _trainings(entry: Training, environment: Environment, changes: Changes) -> Iterator[Run]:
    seeds = entry.seed_list() if changes.seeds is None else list(range(changes.seeds))
    chosen = [
        choice.model_copy(update={"options": options})
        for choice in entry.datasets
        for options in subsets(choice.name, choice.options)
    ]
    for dataset in chosen:
        for name in entry.methods:
            for backbone in entry.backbones or [_own_backbone(name, entry)]:
                drafted = _training(entry, name, dataset, backbone, environment, changes)
                for seed in seeds:
                    yield drafted.model_copy(update={"seed": seed})


def _training(
    entry: Training,
    name: str,
    dataset: DatasetChoice,
    backbone: BackboneChoice,
    environment: Environment,
    changes: Changes,
) -> Run:
    method, variant = split_name(name)
    check_name(backbone.name)
    overrides = deep_merge(entry.set, changes.set)
    pretrained = overrides.get("pretrained", backbone.pretrained)
    file = find_weights(backbone.name, pretrained, environment.weights_root)
    options = deep_merge(dataset.options, overrides.get("dataset_options", {}))
    opened = environment.open(dataset.name, options)
    resolved = {
        "method": method,
        "variant": variant,
        "options": recipes.options_of(method, variant),
        "dataset": opened.name,
        "dataset_options": options,
        "split_sha256": opened.split_hash,
        "backbone": backbone.name,
        "backbone_options": deep_merge(file.network_options if file else {}, backbone.options),
        "weights_sha256": file.sha256 if file else None,
        "allow_unfilled": backbone.allow_unfilled,
        "protocol": entry.protocol,
        "revision": recipes.method_file(method).revision,
        "seed": 0,
    }
    asked = (changed.get("recipe", {}) for changed in (entry.set, changes.set))
    recipe = recipes.recipe_for(method, variant, entry.protocol, opened.name, backbone.name, *asked)
    fixed = {"recipe": recipe.model_dump(), "pretrained": file.path.name if file else "none"}
    run = parse(Run, deep_merge(resolved, overrides, fixed), name)
    # What is left out need not fit what is asked of the others.
    if matches(run, {key: value for key, value in changes.only.items() if key != "seed"}):
        _check_method(run)
        _check_recipe(run, overrides.get("recipe", {}))
    return run


def _of_profiles(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is asked for where nothing is trained: a key that a recipe has too, as `optimizer`, is then a profile's."""
    recipe = overrides.get("recipe")
    if not isinstance(recipe, Mapping):
        return overrides
    return {**recipe, **{key: value for key, value in overrides.items() if key != "recipe"}}


def _check_method(run: AnyRun) -> None:
    for option in run.options:
        require_known(f"option of {run.method}", option, recipes.constructor_options(run.method))
    recipes.check_attention(run.label, run.method, run.options, run.backbone)


def _check_recipe(run: Run, asked: Mapping[str, Any]) -> None:
    recipe = run.recipe
    names = [phase.name for phase in phase_plans(recipes.stand_in(run.label, run.method, run.options), recipe)]
    if "epochs" in asked and all(name in recipe.phases and recipe.phases[name].epochs for name in names):
        raise UserError(
            f"{run.label}: this recipe gives every phase its own epochs; "
            f"set phases.{names[0]}.epochs in place of epochs"
        )
    if recipe.augment.mixing.active and not methods.load(run.method).soft_labels:
        raise UserError(
            f"{run.label}: {run.method} needs one class per image, which mixup and CutMix don't leave; "
            f"set augment.mixing.probability to 0, or leave {run.method} out"
        )
    if recipe.stored_size < recipe.image_size:  # evaluation crops the centre, whatever training does
        raise UserError(
            f"{run.label}: images stored at {recipe.stored_size} px are too small for crops of {recipe.image_size} px; "
            f"set stored_size to {recipe.image_size} or more"
        )


def _profiles(entry: Profiling, environment: Environment, changes: Changes) -> Iterator[ProfileRun]:
    # Of `--set`, a profile beside trainings takes what it has.
    overrides = {key: value for key, value in deep_merge(entry.set, changes.set).items() if key in OF_PROFILE}
    pretrained = overrides.pop("pretrained", None)
    networks = [(one.name, _network_options(one, pretrained, environment)) for one in entry.backbones]
    swept = entry.batch_sizes == "sweep"
    batch_sizes = batch_sweep.BATCHES if swept else entry.batch_sizes
    asked = product(entry.methods, networks, entry.image_sizes, batch_sizes, entry.precisions, entry.compile)
    for name, (backbone, backbone_options), image_size, batch_size, precision, compiled in asked:
        method, variant = split_name(name)
        values = {
            "method": method,
            "variant": variant,
            "options": recipes.options_of(method, variant),
            "backbone": backbone,
            "backbone_options": backbone_options,
            "classes": entry.classes,
            "image_size": image_size,
            "batch_size": batch_size,
            "precision": precision,
            "compile": compiled,
            "input": _input(entry, image_size, environment),
            "extras": entry.extras,
            "memory_limit": entry.memory_limit,
            "device": environment.device,
            "hardware": hardware.device_name(torch.device(environment.device)),
            "in_sweep": swept,
        }
        run = parse(ProfileRun, deep_merge(values, overrides), name)
        _check_method(run)
        for repeat in range(entry.repeats):
            yield run.model_copy(update={"repeat": repeat})


def _network_options(backbone: BackboneChoice, pretrained: str | None, environment: Environment) -> dict[str, Any]:
    """timm options of a network whose speed is measured: those that its weight file asks for, so that what is timed
    is what trains, under the suite's own.

    The weights' values do not matter to a speed, so a network without a file of its own is measured as timm has it. A
    file that is named has to be there: it may be of another network than timm's.
    """
    check_name(backbone.name)
    choice = pretrained or backbone.pretrained
    try:
        file = find_weights(backbone.name, choice, environment.weights_root)
    except BackboneError:
        if choice != "auto":
            raise
        file = None
    return deep_merge(file.network_options if file else {}, backbone.options)


def _input(entry: Profiling, image_size: int, environment: Environment) -> dict[str, Any] | None:
    """Images of the dataset as the common recipe has them, at another size in proportion."""
    if entry.dataset is None:
        return None
    opened = environment.open(entry.dataset.name, entry.dataset.options)
    if len(opened.classes) > entry.classes:
        raise UserError(f"{opened.name} has {len(opened.classes)} classes, more than {entry.classes}; raise classes")
    common = recipes.common()
    return {
        "dataset": opened.name,
        "dataset_options": entry.dataset.options,
        "stored_size": recipes.stored_size_for(image_size, common),
        "resize": common["resize"],
        "augment": common["augment"],
        "feed": environment.feed,
    }


def split_name(name: str) -> tuple[str, str]:
    """`method` or `method:variant` -> both, checked. Raises `UserError` with the nearest name."""
    method, _, variant = name.partition(":")
    require_known("method", method, methods.available())
    variant = variant or "paper"
    recipes.options_of(method, variant)
    return method, variant


def _own_backbone(name: str, entry: Training) -> BackboneChoice:
    if entry.protocol == "common":
        raise UserError(f"{name}: the common protocol compares methods on one backbone; name it in backbones")
    method, _ = split_name(name)
    return BackboneChoice(name=recipes.method_file(method).recipe.backbone)


def epochs_of(method: str, options: Mapping[str, Any], recipe: Recipe) -> int:
    """Epochs of the whole training, the sum of its phases'. Raises `UserError` where those don't fit the recipe."""
    return sum(phase.epochs for phase in phase_plans(recipes.stand_in(method, method, options), recipe))


def images_to_process(run: Run, environment: Environment) -> tuple[int, int]:
    """Images a Run trains on and evaluates, summed over its epochs: what its wall time is made of."""
    recipe = run.recipe
    rows = environment.open(run.dataset, run.dataset_options).split(recipe.validation)
    epochs = epochs_of(run.method, run.options, recipe)
    evaluations = -(-epochs // recipe.evaluate_every)
    return epochs * len(rows["train"]), evaluations * (len(rows["validation"]) + len(rows["test"]))
