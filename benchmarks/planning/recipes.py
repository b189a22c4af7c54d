"""The two files that belong to a method, `recipe.yaml` and `published.yaml`, checked; and the recipes made of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import nn

import datasets
import methods
from benchmarks.config import deep_merge, parse, read_yaml
from benchmarks.errors import UserError, require_known
from benchmarks.planning.suite import DatasetChoice
from methods import swin_attention
from methods.backbones import check_name
from methods.errors import BackboneError
from methods.interface import Method, Tap
from results.settings import Recipe, Settings

COMMON = Path(__file__).parents[1] / "common.yaml"


class Paper(Settings):
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    url: str | None = None


class Variant(Settings):
    """A named set of constructor options: a row of an ablation, or a departure that somebody's number depends on."""

    about: str
    options: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    """What changes in the paper recipe."""


class CommonChanges(Settings):
    """All that a method may change of the common recipe."""

    lr_scale: dict[str, PositiveFloat] = {}

    @field_validator("lr_scale")
    @classmethod
    def _leave_the_backbone_alone(cls, scales: dict[str, float]) -> dict[str, float]:
        if "backbone" in scales:
            raise ValueError("the backbone learns alike under every method; give factors of new layers only")
        return scales


class PaperRecipe(Settings):
    """The paper's own settings."""

    backbone: str
    recipe: dict[str, Any]
    datasets: dict[str, dict[str, Any]] = {}
    """Per dataset: what differs there."""
    backbones: dict[str, dict[str, Any]] = {}
    """Per backbone: what differs there."""


class MethodFile(Settings):
    """`recipe.yaml` of a method."""

    paper: Paper | None = None
    """None for a baseline that no single paper owns."""
    summary: str
    variants: dict[str, Variant]
    """The one called `paper` is the default."""
    common: CommonChanges = CommonChanges()
    recipe: PaperRecipe
    revision: PositiveInt = 1
    """Of the method's code. Raised when the same settings come to give another result; part of every Run's hash."""
    unspecified: list[str] = []
    """What the sources leave open or contradict, and what was chosen, in sentences."""


class Answer(Settings):
    """The Run that answers a published row."""

    variant: str
    dataset: str
    backbone: str


class PublishedRow(Settings):
    """One published number."""

    table: str
    dataset: str
    split: str = "test"
    backbone: str
    variant: str
    """In the paper's words."""
    input_size: int | None = None
    metric: Literal["top1"] = "top1"
    value: float | None = Field(ge=0, le=100)
    """Percent; null where the paper has the row and its number could not be found."""
    source: str
    verified: bool
    """Whether the number was read in the source, rather than recalled."""
    answered_by: Answer | None = None
    """None where no Run here answers it."""


class PublishedFile(Settings):
    """`published.yaml` of a method."""

    entries: list[PublishedRow] = []


@cache
def method_file(method: str) -> MethodFile:
    """The checked `recipe.yaml`. Raises `UserError`."""
    path = methods.FOLDER / require_known("method", method, methods.available()) / "recipe.yaml"
    return parse(MethodFile, read_yaml(path), _short(path))


@cache
def published(method: str) -> tuple[PublishedRow, ...]:
    """The checked rows of `published.yaml`. Raises `UserError`."""
    path = methods.FOLDER / require_known("method", method, methods.available()) / "published.yaml"
    return tuple(parse(PublishedFile, read_yaml(path) or {}, _short(path)).entries)


def published_answered(method: str, variant: str, dataset: str, backbone: str) -> list[PublishedRow]:
    """The published rows with a number that a Run with these settings answers."""
    asked = Answer(variant=variant, dataset=dataset, backbone=backbone)
    return [row for row in published(method) if row.value is not None and row.answered_by == asked]


def options_of(method: str, variant: str) -> dict[str, Any]:
    """Constructor options of a variant. Raises `UserError` with the nearest name."""
    variants = method_file(method).variants
    return dict(variants[require_known(f"variant of {method}", variant, variants)].options)


def recipe_for(
    method: str, variant: str, protocol: str, dataset: str, backbone: str, *changes: Mapping[str, Any]
) -> Recipe:
    """The recipe of one Run under the `common` or the `paper` protocol, with `changes` on top, one after another."""
    file = method_file(method)
    if protocol == "common":
        values, where = deep_merge(common(), file.common.model_dump()), "common recipe"
    else:
        values = deep_merge(
            file.recipe.recipe,
            file.recipe.backbones.get(backbone, {}),
            file.recipe.datasets.get(dataset, {}),
            file.variants[variant].recipe,
        )
        where = f"paper recipe of {method}"
    for asked in changes:
        values = deep_merge(values, _stored_in_proportion(values, asked), asked)
    return parse(Recipe, values, where)


def _stored_in_proportion(recipe: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, int]:
    """The `stored_size` that goes with another `image_size` where it isn't asked for itself: a crop of 64 px out of
    images kept for one of 224 px would show a corner of each."""
    size = asked.get("image_size")
    if not isinstance(size, int) or "stored_size" in asked:
        return {}
    return {"stored_size": max(size, stored_size_for(size, recipe))}


def stored_size_for(image_size: int, recipe: Mapping[str, Any]) -> int:
    """Pixels to store images at for crops of `image_size` px, in a recipe's own proportion of the two; rounded up."""
    return -(-image_size * int(recipe["stored_size"]) // int(recipe["image_size"]))


def check(method: str) -> None:
    """Raises `UserError` unless a method's files are sound: keys, values, variants, options, answered rows."""
    file = method_file(method)
    if "paper" not in file.variants:
        raise UserError(f"{method}: recipe.yaml has no variant called 'paper', which is the default one")
    accepted = constructor_options(method)
    for name, variant in file.variants.items():
        for option in variant.options:
            require_known(f"option of {method} (variant {name})", option, accepted)
        stand_in(f"{method}, variant {name}", method, variant.options)
        for dataset in ("", *file.recipe.datasets):
            recipe_for(method, name, "paper", dataset, file.recipe.backbone, {})
        recipe_for(method, name, "common", "", file.recipe.backbone, {})
    for dataset in file.recipe.datasets:
        require_known(f"dataset of {method} (recipe)", dataset, datasets.reader_classes())
    for network in (file.recipe.backbone, *file.recipe.backbones):
        _network(f"recipe of {method}", network)
    for row in published(method):
        if row.answered_by:
            what = f"of {method} (published row {row.variant!r})"
            require_known(f"variant {what}", row.answered_by.variant, file.variants)
            chosen = parse(DatasetChoice, {"name": row.answered_by.dataset}, f"dataset {what}")
            require_known(f"dataset {what}", chosen.name, datasets.reader_classes())
            _network(f"answer {what}", row.answered_by.backbone)


@dataclass
class _StandIn:
    """A backbone in nothing but its channels: enough to build a method, not to run it."""

    name: str = "stand-in"
    taps: set[Tap] = field(default_factory=set)
    """Asked for of the Run's own network."""

    def features(self, taps: Sequence[Tap], name: str | None = None) -> Any:
        if name is not None:
            check_name(name)
        else:
            self.taps |= set(taps)
        net: Any = nn.Module()
        net.channels = (64,) * len(taps)
        return net


def stand_in(label: str, method: str, options: Mapping[str, Any], source: _StandIn | None = None) -> Method:
    """A method with these options that can't see, to be asked for its phases. Raises `UserError` if it refuses them."""
    try:
        return load(method)(source or _StandIn(), 2, **options)
    except (ValueError, TypeError, BackboneError) as error:
        raise UserError(f"{label}: {error}") from error


def check_attention(label: str, method: str, options: Mapping[str, Any], backbone: str) -> None:
    """Raises `UserError` where a method reads its network's own attention, and the network is of a kind without."""
    source = _StandIn(backbone)
    stand_in(label, method, options, source)
    fault = _no_attention(backbone) if source.taps.intersection(swin_attention.TAPS) else None
    if fault:
        raise UserError(f"{label}: {fault}")


@cache
def _no_attention(backbone: str) -> str | None:
    with torch.device("meta"):  # its kind is asked for, not its weights
        net = timm.create_model(backbone, pretrained=False, num_classes=0)
    try:
        swin_attention.keep(net)
    except BackboneError as error:
        return str(error)
    return None


def _network(what: str, name: str) -> None:
    try:
        check_name(name)
    except BackboneError as error:
        raise UserError(f"{what}: {error}") from error


def load(method: str) -> type[Method]:
    """The method's class. Raises `UserError` for a folder that does not define exactly one."""
    try:
        return methods.load(method)
    except methods.NotOneMethod as error:
        raise UserError(str(error)) from error


def constructor_options(method: str) -> list[str]:
    """Names of the keyword options that a method's constructor takes."""
    parameters = inspect.signature(load(method)).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _short(path: Path) -> str:
    return str(path.relative_to(methods.FOLDER.parent))


def common() -> dict[str, Any]:
    """The common recipe as its file has it."""
    return dict(read_yaml(COMMON))
