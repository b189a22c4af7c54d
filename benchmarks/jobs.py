"""The three jobs as suites: what `reproduce`, `compare` and `profile` expand to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from benchmarks import recipes
from benchmarks.errors import merged, parse
from benchmarks.plan import Place, split_name
from benchmarks.recipes import Answer, PublishedRow
from benchmarks.settings import Recipe
from benchmarks.suite import BackboneChoice, DatasetChoice, Suite, Training
from datasets import Dataset, DatasetError
from methods.backbones import BackboneError, check_name, find_weights


@dataclass(frozen=True)
class Goal:
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
    place: Place,
    dataset: str | None = None,
    backbone: str | None = None,
    variants: Sequence[str] = (),
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> list[Goal]:
    """What `reproduce` would train: one goal per variant, dataset and backbone that a published row is answered by.

    A dataset or backbone named by the user takes the place of the published ones; a variant without published rows
    goes where the paper's own variant goes. `changes` are those of `--set`. Raises `UserError`, `DatasetError` or
    `BackboneError` for wrong names.
    """
    name, variant = split_name(method)
    if dataset:
        _open(_choice(dataset), changes, place)
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
    return [_goal(name, *key, changes, place) for key in combinations]


DEFAULT_DATASET = "cub_200_2011"


def _goal(method: str, variant: str, dataset: str, backbone: str, changes: Mapping[str, Any], place: Place) -> Goal:
    choice = _choice(dataset)
    return Goal(
        variant,
        dataset,
        backbone,
        tuple(recipes.published_answered(method, variant, dataset, backbone)),
        recipes.recipe_for(method, variant, "paper", choice.name, backbone, changes.get("recipe", {})),
        _fault(lambda: _open(choice, changes, place)),
        _fault(lambda: find_weights(backbone, str(changes.get("pretrained", "auto")), place.weights_root)),
    )


def _choice(name: str) -> DatasetChoice:
    return parse(DatasetChoice, {"name": name}, "dataset")


def _open(choice: DatasetChoice, changes: Mapping[str, Any], place: Place) -> list[Dataset]:
    return place.open_all(choice.name, merged(choice.options, changes.get("dataset_options", {})))


def _fault(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except (DatasetError, BackboneError) as error:
        return str(error)
    return None


def reproduce(method: str, found: Sequence[Goal], seeds: int) -> Suite:
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
    methods: Sequence[str], dataset: str, backbone: str, seeds: int, place: Place, changes: Mapping[str, Any]
) -> Suite:
    """Every method under the common recipe on one backbone, then the speed of each: same size, classes and network."""
    for name in methods:
        split_name(name)
    check_name(backbone)
    opened = _open(_choice(dataset), changes, place)
    profiled = {
        "methods": methods,
        "backbones": [backbone],
        "image_sizes": [changes.get("recipe", {}).get("image_size") or recipes.common()["image_size"]],
        "compile": [place.execution.compile],
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


def profiled_input(name: str | None, classes: int | None, place: Place) -> dict[str, Any]:
    """`dataset` and `classes` of a `Profiling`: of drawn images, of none (`none`), or of a dataset by its name."""
    if name == "none":
        return {"classes": classes or CLASSES}
    if name is None:
        return {"dataset": DRAWN, "classes": classes or CLASSES}
    choice = parse(DatasetChoice, {"name": name}, "dataset")
    return {"dataset": choice, "classes": classes or len(place.open(choice.name, choice.options).classes)}
