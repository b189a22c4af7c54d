"""A suite -> a list of frozen Runs, with everything a Run depends on resolved before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.config import deep_merge, parse
from benchmarks.environment import Environment, subsets
from benchmarks.errors import REFUSED, UserError
from benchmarks.planning import batch_sweep, method_checks, method_files, recipes
from benchmarks.planning.method_files import split_name
from benchmarks.planning.overrides import (
    NO_CHANGES,
    OF_PROFILE,
    OF_TRAINING,
    Changes,
    fault_of,
    matches,
    may_fit,
    none_fits,
)
from benchmarks.planning.phases import groups_of_stand_in, phase_plans, require_groups, with_epochs
from benchmarks.planning.profiles import profiles
from benchmarks.planning.suite import BackboneChoice, DatasetChoice, Suite, Training
from benchmarks.planning.support import check_method, unsupported
from datasets.interface import Dataset
from datasets.narrowed import sorted_classes
from methods.networks import check_name
from methods.weight_files import WeightFile
from results.augmentation import InputScaling
from results.recipe import Recipe
from results.settings import AnyRun, Run


def expand(suite: Suite, environment: Environment, changes: Changes = NO_CHANGES) -> list[AnyRun]:
    """Every Run of a suite, in order, without duplicates. Raises `UserError`, `DatasetError` or `BackboneError`."""
    if not suite.train:
        changes = replace(changes, set=_of_profiles(changes.set))
    if fault := fault_of(changes.set, OF_TRAINING if suite.train else OF_PROFILE):
        raise UserError(f"--set {fault}")
    cases: list[AnyRun] = [
        *(run for entry in suite.train for run in _trainings(entry, environment, changes)),
        *(run for entry in suite.profile for run in profiles(entry, environment, changes)),
    ]
    distinct: dict[str, AnyRun] = {}
    for case in cases:
        if not (batch_sweep.member(case) and case.hash in distinct):  # that size was also requested by itself
            distinct[case.hash] = case
    chosen = [case for case in distinct.values() if matches(case, changes.only)]
    if changes.only and not chosen:
        raise UserError(none_fits((case.model_dump(mode="json") for case in distinct.values()), changes.only))
    return chosen


def _trainings(entry: Training, environment: Environment, changes: Changes) -> Iterator[Run]:
    seeds = entry.seed_list() if changes.seeds is None else list(range(changes.seeds))
    chosen = [
        choice.model_copy(update={"name": name, "options": options})
        for choice in entry.datasets
        for name in [environment.canonical(choice.name)]
        for options in subsets(name, choice.options)
    ]
    for dataset in chosen:
        for name in entry.methods:
            for backbone in entry.backbones or [_own_backbone(name, entry)]:
                if unsupported(entry, name, backbone, changes):
                    continue
                try:
                    drafted = _training(entry, name, dataset, backbone, environment, changes)
                except REFUSED:
                    if _asked_for(entry, name, dataset, backbone, changes):
                        raise
                    continue
                for seed in seeds if method_checks.draws(drafted) else seeds[:1]:
                    yield drafted.model_copy(update={"seed": seed})


def _asked_for(entry: Training, name: str, dataset: DatasetChoice, backbone: BackboneChoice, changes: Changes) -> bool:
    """Whether `--only` keeps a training that can't be planned: what it leaves out need not be here."""
    method, variant = split_name(name)
    names = {"protocol": entry.protocol, "method": method, "variant": variant}
    return may_fit(Run, names | {"dataset": dataset.name, "backbone": backbone.network}, changes.only)


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
    asked = str(overrides.get("pretrained", backbone.weights))
    pretrained = recipes.weights(method, variant, entry.protocol, backbone.network, asked)
    file = environment.find_weights(backbone.network, pretrained)
    options = sorted_classes(deep_merge(dataset.options, overrides.get("dataset_options", {})))
    opened = environment.open(dataset.name, options)
    resolved = {
        "method": method,
        "variant": variant,
        "options": method_files.options_of(method, variant),
        "dataset": opened.name,
        "dataset_options": options,
        "split_sha256": opened.split_hash,
        "split_name": dataset.split_name,
        "images_sha256": opened.images_sha256,
        "classes_sha256": opened.classes_sha256,
        "backbone": backbone.network,
        "backbone_options": deep_merge(
            file.network_options if file else {},
            recipes.backbone_options(method, variant, entry.protocol, backbone.network),
            backbone.options,
        ),
        "weights_sha256": file.sha256 if file else None,
        "allow_unfilled": backbone.allow_unfilled,
        "protocol": entry.protocol,
        "revision": method_files.method_file(method).revision,
        "seed": 0,
    }
    changed = (one.get("recipe", {}) for one in (entry.set, changes.set))
    recipe = recipes.recipe_for(method, variant, entry.protocol, opened.name, backbone.network, *changed)
    fixed = {
        "recipe": recipe.model_dump(),
        "pretrained": file.name if file else "none",
        "scaling": (recipe.scaling or _scaling(backbone.network, file)).model_dump(),
    }
    run = parse(Run, deep_merge(resolved, overrides, fixed), name)
    # A Run that --only leaves out need not fit the settings requested for the others.
    if matches(run, {key: value for key, value in changes.only.items() if key != "seed"}):
        opened.require_split(run.split_name)
        check_method(run)
        run = _with_epochs(run, opened)
        _check_recipe(run, overrides.get("recipe", {}))
        run = run.model_copy(update={"second_weights": _second_weights(run, environment)})
    return run


def _with_epochs(run: Run, dataset: Dataset) -> Run:
    """The Run with the number of epochs that the steps of its recipe begin."""
    if run.recipe.steps is None:
        return run
    method = method_checks.stand_in(run.label, run.method, run.options)
    images = len(dataset.split(run.recipe.validation)["train"])
    return run.model_copy(update={"recipe": with_epochs(run.recipe, method, images)})


def _second_weights(run: Run, environment: Environment) -> dict[str, str]:
    """The weight files of further networks by their hashes. Raises `BackboneError` if one is not here."""
    names = method_checks.further_networks(run) if run.pretrained != "none" else []
    files = {name: environment.find_weights(name, "auto") for name in names}
    return {name: file.sha256 for name, file in files.items() if file}


def _scaling(backbone: str, file: WeightFile | None) -> InputScaling:
    """What images are normalised with for these weights; for random ones as ImageNet's."""
    if file is None:
        return InputScaling()
    mean, std = file.scaling(backbone)
    return InputScaling(mean=mean, std=std)


def _of_profiles(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """`--set` where nothing is trained: a key that a recipe has too, such as `optimizer`, then means the profile's."""
    recipe = overrides.get("recipe")
    if not isinstance(recipe, Mapping):
        return overrides
    return {**recipe, **{key: value for key, value in overrides.items() if key != "recipe"}}


def _check_recipe(run: Run, asked: Mapping[str, Any]) -> None:
    recipe = run.recipe
    method = method_checks.stand_in(run.label, run.method, run.options)
    plans = phase_plans(method, recipe)
    for plan in plans:
        require_groups(plan, groups_of_stand_in(method))
    names = [plan.name for plan in plans]
    if names and "epochs" in asked and all(name in recipe.phases and recipe.phases[name].epochs for name in names):
        raise UserError(
            f"{run.label}: this recipe gives every phase its own epochs; "
            f"set phases.{names[0]}.epochs in place of epochs"
        )
    if recipe.augment.mixing.active and not method_checks.load(run.method).soft_labels:
        raise UserError(
            f"{run.label}: {run.method} needs one class per image, and mixup and CutMix blend them; "
            f"set augment.mixing.probability to 0, or leave {run.method} out"
        )
    if recipe.stored_size < recipe.image_size:  # evaluation crops the centre, whatever training does
        raise UserError(
            f"{run.label}: images stored at {recipe.stored_size} px are too small for crops of {recipe.image_size} px; "
            f"set stored_size to {recipe.image_size} or more"
        )


def _own_backbone(name: str, entry: Training) -> BackboneChoice:
    if entry.protocol == "common":
        raise UserError(f"{name}: the common protocol compares methods on one backbone; name it in backbones")
    method, _ = split_name(name)
    return BackboneChoice(name=method_files.method_file(method).recipe.backbone)


def epochs_of(method: str, options: Mapping[str, Any], recipe: Recipe) -> int | None:
    """Epochs of all phases together; None of steps whose dataset is not known. Raises `UserError` if the phases don't
    fit the recipe."""
    if recipe.epochs is None:
        return None
    return sum(phase.epochs for phase in phase_plans(method_checks.stand_in(method, method, options), recipe))
