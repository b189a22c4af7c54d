"""The three jobs as suites: what `reproduce`, `compare` and `profile` expand to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from benchmarks.config import deep_merge, parse
from benchmarks.environment import Environment
from benchmarks.planning import recipes
from benchmarks.planning.expand import split_name
from benchmarks.planning.recipes import Answer, PublishedRow
from benchmarks.planning.suite import BackboneChoice, DatasetChoice, Suite, Training
from datasets import Dataset, DatasetError
from methods.backbones import check_name, find_weights
from methods.errors import BackboneError
from results.settings import Recipe


@dataclass(frozen=True)
class ReproductionTarget:
    """One thing to reproduce: a variant on a dataset and a backbone, the rows it answers, and what is lacking."""

    variant: str
    dataset: str
    backbone: str
    rows: tuple[PublishedRow, ...]
    recipe: Recipe
    dataset_fault: str | None
    """Why the dataset can't be opened on this machine, in one line; None if it can."""
    weights_fault: str | None
    """The same of the backbone's pretrained weights."""

    @property
    def label(self) -> str:
        """In words."""
        return f"{self.variant} on {self.dataset} with {self.backbone}"

    @property
    def lacking(self) -> str | None:
        """Why it can't be run on this machine now; None if it can."""
        return self.dataset_fault or self.weights_fault


def goals(
    method: str,
    environment: Environment,
    dataset: str | None = None,
    backbone: str | None = None,
    variants: Sequence[str] = (),
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> list[ReproductionTarget]:
    """What `reproduce` would train: one goal per variant, dataset and backbone that a published row is answered by.

    A dataset or backbone named by the user takes the place of the published ones; a variant without published rows
    goes where the paper's own variant goes. `changes` are those of `--set`. Raises `UserError`, `DatasetError` or
    `BackboneError` for wrong names.
    """
    name, variant = split_name(method)
    if dataset:
        _open(_choice(dataset), changes, environment)
    if backbone:
        check_name(backbone)
    answers = [row.answered_by for row in recipes.published(name) if row.answered_by]
    home = next((answer.dataset for answer in answers if answer.variant == "paper"), DEFAULT_DATASET)
    own = recipes.method_file(name).recipe.backbone
    combinations: dict[tuple[str, str, str], None] = {}
    for one in variants or [variant]:
        recipes.options_of(name, one)
        for row in [answer for answer in answers if answer.variant == one] or [
            Answer(variant=one, dataset=home, backbone=own)
        ]:
            combinations[one, dataset or row.dataset, backbone or row.backbone] = None
    return [_goal(name, *key, changes, environment) for key in combinations]


DEFAULT_DATASET = "cub_200_2011"


def _goal(
    method: str, variant: str, dataset: str, backbone: str, changes: Mapping[str, Any], environment: Environment
) -> ReproductionTarget:
    choice = _choice(dataset)
    return ReproductionTarget(
        variant,
        dataset,
        backbone,
        tuple(recipes.published_answered(method, variant, dataset, backbone)),
        recipes.recipe_for(method, variant, "paper", choice.name, backbone, changes.get("recipe", {})),
        _fault(lambda: _open(choice, changes, environment)),
        _fault(lambda: find_weights(backbone, str(changes.get("pretrained", "auto")), environment.weights_root)),
    )


def _choice(name: str) -> DatasetChoice:
    return parse(DatasetChoice, {"name": name}, "dataset")


def _open(choice: DatasetChoice, changes: Mapping[str, Any], environment: Environment) -> list[Dataset]:
    return environment.open_all(choice.name, deep_merge(choice.options, changes.get("dataset_options", {})))


def _fault(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except (DatasetError, BackboneError) as error:
        return str(error)
    return None


def reproduce(method: str, found: Sequence[ReproductionTarget], seeds: int) -> Suite:
    """The paper's own recipe for every goal that nothing is lacking for."""
    name, _ = split_name(method)
    return Suite(
        about=f"{name} as published",
        train=[
            Training(
                methods=[f"{name}:{goal.variant}"],
                datasets=[DatasetChoice(name=goal.dataset)],
                backbones=[BackboneChoice(name=goal.backbone)],
                seeds=seeds,
                protocol="paper",
            )
            for goal in found
            if goal.lacking is None
        ],
    )


def compare(
    methods: Sequence[str],
    dataset: str,
    backbone: str,
    seeds: int,
    environment: Environment,
    changes: Mapping[str, Any],
) -> Suite:
    """Every method under the common recipe on one backbone, then the speed of each: same size, classes and network."""
    for name in methods:
        split_name(name)
    check_name(backbone)
    opened = _open(_choice(dataset), changes, environment)
    profiled = {
        "methods": methods,
        "backbones": [backbone],
        "image_sizes": [changes.get("recipe", {}).get("image_size") or recipes.common()["image_size"]],
        "compile": [environment.execution.compile],
    }
    profiles = [profiled | {"classes": classes} for classes in dict.fromkeys(len(one.classes) for one in opened)]
    trained = {"methods": methods, "datasets": [dataset], "backbones": [backbone], "seeds": seeds}
    about = f"{', '.join(methods)} on {dataset}, {backbone}"
    return parse(Suite, {"about": about, "train": [trained], "profile": profiles}, "compare")


DRAWN = {"name": "synthetic", "options": {"train_per_class": 8, "test_per_class": 1}}
"""Images that are brought to the device where no dataset is named."""
CLASSES = 200
"""Of a profiled method where no dataset is named; CUB-200-2011 has as many."""
DETAIL = ["breakdown", "operations"]
"""What the verb `profile` looks into besides, since it takes little time."""


def profile(
    methods: Sequence[str],
    backbones: Sequence[str],
    image_sizes: Sequence[int],
    batch_sizes: Sequence[int] | Literal["sweep"],
    **asked: Any,
) -> Suite:
    """Speed and memory of every combination; `asked` are further fields of `Profiling`."""
    entry = {
        "methods": methods,
        "backbones": backbones,
        "image_sizes": image_sizes,
        "batch_sizes": batch_sizes,
        **asked,
    }
    return parse(Suite, {"about": "speed and memory", "profile": [entry]}, "profile")


def profiled_input(name: str | None, classes: int | None, environment: Environment) -> dict[str, Any]:
    """`dataset` and `classes` of a `Profiling`: of drawn images, of none (`none`), or of a dataset by its name."""
    if name == "none":
        return {"classes": classes or CLASSES}
    if name is None:
        return {"dataset": DRAWN, "classes": classes or CLASSES}
    choice = parse(DatasetChoice, {"name": name}, "dataset")
    return {"dataset": choice, "classes": classes or len(environment.open(choice.name, choice.options).classes)}
