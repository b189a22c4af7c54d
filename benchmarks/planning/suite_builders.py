"""The suites that the verbs `reproduce`, `compare` and `profile` stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from benchmarks.config import deep_merge, parse
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import method_files, recipes, shopping
from benchmarks.planning.headline import DEFAULT_DATASET
from benchmarks.planning.method_files import Answer, PublishedRow, split_name
from benchmarks.planning.suite import ALL, BackboneChoice, DatasetChoice, Suite, Training, weights_named
from datasets import Dataset, DatasetError
from methods.errors import BackboneError
from methods.networks import check_name
from methods.tags import split_tag
from results.recipe import Recipe


@dataclass(frozen=True)
class ReproductionTarget:
    """A variant on a dataset and a backbone: the published rows it reproduces, and what is missing to run it."""

    variant: str
    dataset: str
    backbone: str
    rows: tuple[PublishedRow, ...]
    recipe: Recipe
    weights: str
    """What the backbone starts from, as `find_weights` takes it: `resnet50.tv_in1k`, a file, `auto`, `none`."""
    dataset_fault: str | None
    """Why the dataset can't be opened here, in one line; None if it can."""
    weights_fault: str | None
    """Why the backbone's weights can't be loaded here, in one line; None if they can."""
    items: tuple[shopping.Item, ...] = ()
    """What could be got, so that it can be run here."""

    @property
    def label(self) -> str:
        """What it is, in words."""
        return f"{self.variant} on {self.dataset} with {self.backbone}"

    @property
    def started_from(self) -> str:
        """The weights' name, or the network's where any of its weights will do."""
        return self.backbone if self.weights == "auto" else self.weights

    @property
    def lacking(self) -> str | None:
        """Why it can't be run here; None if it can."""
        return ", ".join([*(f"needs {item.kind} {item.name}" for item in self.items), *self.faults]) or None

    @property
    def faults(self) -> list[str]:
        """Why it can't be run here even with all of `items`, a line each."""
        told = {"dataset": self.dataset_fault, "weights": self.weights_fault}
        kinds = {item.kind for item in self.items}
        return [fault for kind, fault in told.items() if fault and kind not in kinds]


def targets(
    method: str,
    environment: Environment,
    dataset: str | None = None,
    backbone: str | None = None,
    variants: Sequence[str] = (),
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> list[ReproductionTarget]:
    """What `reproduce` trains: one target per variant, dataset and backbone with a published row.

    A given dataset or backbone replaces the published ones. A variant without published rows is trained where the
    paper's own variant is. `changes` are those of `--set`. Raises `UserError`, `DatasetError` or `BackboneError` for
    wrong names.
    """
    name, variant = split_name(method)
    if dataset:
        dataset = environment.canonical(dataset)
        if not shopping.of_dataset(
            _choice(dataset), environment, changes
        ):  # a wrong name, rather than nothing there yet
            _open(_choice(dataset), changes, environment)
    asked = str(changes.get("pretrained", "auto"))
    if backbone:
        backbone, asked = _named(backbone, asked)
    answers = [row.answered_by for row in method_files.published(name) if row.answered_by]
    home = next((answer.dataset for answer in answers if answer.variant == "paper"), DEFAULT_DATASET)
    own = method_files.method_file(name).recipe.backbone
    combinations: dict[tuple[str, str, str], None] = {}
    for one in variants or [variant]:
        method_files.options_of(name, one)
        for row in [answer for answer in answers if answer.variant == one] or [
            Answer(variant=one, dataset=home, backbone=own)
        ]:
            combinations[one, dataset or row.dataset, backbone or row.backbone] = None
    return [_target(name, *key, asked, changes, environment) for key in combinations]


def _target(
    method: str,
    variant: str,
    dataset: str,
    backbone: str,
    asked: str,
    changes: Mapping[str, Any],
    environment: Environment,
) -> ReproductionTarget:
    choice = _choice(dataset)
    weights = recipes.weights(method, variant, "paper", backbone, asked)
    started = BackboneChoice(name=backbone, pretrained=weights)
    wanted = shopping.wanted_weights(f"{method}:{variant}", started, "paper", changes)
    return ReproductionTarget(
        variant,
        dataset,
        backbone,
        tuple(method_files.published_answered(method, variant, dataset, backbone)),
        recipes.recipe_for(method, variant, "paper", choice.name, backbone, changes.get("recipe", {})),
        weights,
        _fault(lambda: _open(choice, changes, environment)),
        _fault(lambda: [environment.find_weights(*one) for one in wanted.items()]),
        (
            *shopping.of_dataset(choice, environment, changes),
            *shopping.of_weights(f"{method}:{variant}", started, environment, "paper", changes),
        ),
    )


def _named(backbone: str, pretrained: str) -> tuple[str, str]:
    """Network and weights of a `--backbone`, which may have a tag, beside `--set pretrained`.

    Raises `BackboneError` for a name that timm does not have, and `UserError` if the two name different weights.
    """
    check_name(backbone)
    try:
        return split_tag(backbone)[0], weights_named(backbone, pretrained)
    except ValueError as error:
        raise UserError(str(error)) from error


def _require_named(backbones: Sequence[str], changes: Mapping[str, Any]) -> None:
    """Raises as `_named` does, if one of the names is wrong or contradicts `changes`."""
    for backbone in backbones:
        _named(backbone, str(changes.get("pretrained", "auto")))


def _choice(name: str) -> DatasetChoice:
    return parse(DatasetChoice, {"name": name}, "dataset")


def _open(choice: DatasetChoice, changes: Mapping[str, Any], environment: Environment) -> list[Dataset]:
    """Each subset of the dataset, on the split that is asked for. Raises `DatasetError`."""
    opened = environment.open_all(choice.name, deep_merge(choice.options, changes.get("dataset_options", {})))
    for one in opened:
        one.require_split(changes.get("split_name", choice.split_name))
    return opened


def _fault(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except (DatasetError, BackboneError) as error:
        return str(error)
    return None


def reproduce(method: str, chosen: Sequence[ReproductionTarget], seeds: int) -> Suite:
    """The paper's own recipe for every target that can be run here."""
    name, _ = split_name(method)
    return Suite(
        about=f"{name} as published",
        train=[
            Training(
                methods=[f"{name}:{target.variant}"],
                datasets=[DatasetChoice(name=target.dataset)],
                backbones=[BackboneChoice(name=target.backbone, pretrained=target.weights)],
                seeds=seeds,
                protocol="paper",
            )
            for target in chosen
            if target.lacking is None
        ],
    )


def trainings(
    methods: Sequence[str],
    dataset: str,
    backbones: Sequence[str],
    seeds: int,
    environment: Environment,
    changes: Mapping[str, Any],
) -> Suite:
    """Trains every method by the common recipe on every backbone. Nothing is opened.

    Backbones are timm's names, with or without a tag: two tags of one network are two backbones. Raises
    `BackboneError` for a name that timm does not have, and `UserError` for one with other weights than `changes` ask
    for.
    """
    for name in methods:
        if name != ALL:
            split_name(name)
    _require_named(backbones, changes)
    dataset = environment.canonical(dataset)
    trained = {"methods": methods, "datasets": [dataset], "backbones": list(backbones), "seeds": seeds}
    about = f"{', '.join(methods)} on {dataset}, {', '.join(backbones)}"
    return parse(Suite, {"about": about, "train": [trained]}, "compare")


def compare(
    methods: Sequence[str],
    dataset: str,
    backbones: Sequence[str],
    seeds: int,
    environment: Environment,
    changes: Mapping[str, Any],
) -> Suite:
    """The `trainings`, then measurements of speed at the same size and number of classes."""
    trained = trainings(methods, dataset, backbones, seeds, environment, changes)
    opened = _open(_choice(environment.canonical(dataset)), changes, environment)
    profiled = {
        "methods": methods,
        "backbones": list(backbones),
        "image_sizes": [changes.get("recipe", {}).get("image_size") or recipes.common()["image_size"]],
        "compile": [environment.execution.compile],
        "compile_mode": [environment.execution.compile_mode],
        "checkpointing": [environment.execution.checkpointing],
    }
    profiles = [profiled | {"classes": classes} for classes in dict.fromkeys(len(one.classes) for one in opened)]
    measured = parse(Suite, {"about": trained.about, "profile": profiles}, "compare")
    return trained.model_copy(update={"profile": measured.profile})


DRAWN: dict[str, Any] = {"name": "synthetic", "options": {"train_per_class": 8, "test_per_class": 1}}
"""Images of a profiled input pipeline when no dataset is named."""
CLASSES = 200
"""Of a profiled method when no dataset is named; as many as CUB-200-2011 has."""


def profile(
    methods: Sequence[str],
    backbones: Sequence[str],
    image_sizes: Sequence[int],
    batch_sizes: Sequence[int] | Literal["sweep"],
    changes: Mapping[str, Any] = MappingProxyType({}),
    **asked: Any,
) -> Suite:
    """Measures speed and memory of every combination; `asked` are further fields of `Profiling`.

    `changes` are those of `--set`. Raises `BackboneError` for a name that timm does not have, and `UserError` for one
    with other weights than `changes` ask for.
    """
    _require_named(backbones, changes)
    entry = {
        "methods": methods,
        "backbones": backbones,
        "image_sizes": image_sizes,
        "batch_sizes": batch_sizes,
        **asked,
    }
    return parse(Suite, {"about": "speed and memory", "profile": [entry]}, "profile")


def profiled_input(name: str | None, classes: int | None, environment: Environment) -> dict[str, Any]:
    """`dataset` and `classes` of a `Profiling`: drawn images (None), no input pipeline (`none`), or a named dataset.

    Images are drawn of no more classes than are asked for.
    """
    if name == "none":
        return {"classes": classes or CLASSES}
    if name is None:
        drawn = len(environment.open(DRAWN["name"], DRAWN["options"]).classes)
        fewer = {"classes": classes} if classes is not None and classes < drawn else {}
        return {"dataset": {**DRAWN, "options": {**DRAWN["options"], **fewer}}, "classes": classes or CLASSES}
    choice = parse(DatasetChoice, {"name": name}, "dataset")
    return {"dataset": choice, "classes": classes or len(environment.open(choice.name, choice.options).classes)}
