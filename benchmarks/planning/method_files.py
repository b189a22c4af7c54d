"""The two files of a method, `recipe.yaml` and `published.yaml`, as checked settings. Needs no torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

import methods
from benchmarks.config import parse, read_yaml
from benchmarks.errors import require_known
from methods.tags import split_tag
from results.settings import Settings
from results.values.numbers import Positive, Revision
from results.values.text import in_a_row

Model = TypeVar("Model", bound=BaseModel)


def _require_one_line(name: str) -> str:
    if " ".join(in_a_row(name).split()) != name:
        raise ValueError("is no name; write visible letters in one line, with single spaces between words")
    return name


DisplayName = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_require_one_line)]


class Paper(Settings):
    """Where a method was published."""

    title: str
    authors: str
    venue: str
    year: int
    url: str | None = None


class Variant(Settings):
    """A named set of constructor options: a row of an ablation, or a deviation that a published number depends on."""

    about: str
    options: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    """Changes to the paper's recipe."""
    weights: dict[str, str] = {}
    """Changes to those of the paper's recipe."""
    backbone_options: dict[str, dict[str, Any]] = {}
    """Changes to those of the paper's recipe."""


class CommonChanges(Settings):
    """All that a method may change in the common recipe."""

    lr_scale: dict[str, Positive] = {}

    @field_validator("lr_scale")
    @classmethod
    def _leave_the_backbone_alone(cls, scales: dict[str, float]) -> dict[str, float]:
        if "backbone" in scales:
            raise ValueError("the backbone learns alike under every method; give factors of new layers only")
        return scales


class PaperRecipe(Settings):
    """The paper's own settings."""

    backbone: str
    """timm's network; with a tag, it stands for its entry in `weights` as well."""
    weights: dict[str, str] = {}
    """timm's name, with its tag, of the pretrained weights that each network started from: `{vgg16: vgg16.tv_in1k}`;
    `none` for random ones. What timm does not have stands under `unspecified`, and here the nearest that it has."""
    recipe: dict[str, Any]
    datasets: dict[str, dict[str, Any]] = {}
    """Changes for each dataset."""
    backbones: dict[str, dict[str, Any]] = {}
    """Changes for each backbone."""
    backbone_options: dict[str, dict[str, Any]] = {}
    """Options of each timm network, whatever its tag; they go before those of the weight file."""

    @model_validator(mode="before")
    @classmethod
    def _split_tag(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name, weights = str(values.get("backbone")), values.get("weights", {})
        network, tag = split_tag(name)
        if not tag:
            return values
        if weights.get(network, name) != name:
            raise ValueError(f"names two weights of {network}: {name} and {weights[network]}")
        return values | {"backbone": network, "weights": {**weights, network: name}}


class MethodFile(Settings):
    """`recipe.yaml` of a method."""

    name: DisplayName | None = None
    """As people write it, for tables and figures; None: its folder's name."""
    paper: Paper | None = None
    """None for a baseline that no single paper introduced."""
    summary: str
    variants: dict[str, Variant]
    """The default is the one called `paper`."""
    common: CommonChanges = CommonChanges()
    recipe: PaperRecipe
    revision: Revision = 1
    """Of the method's code. Raise it when the same settings give a different result; part of every Run's hash."""
    unspecified: list[str] = []
    """What the sources leave open or contradict, and what was chosen, in sentences."""


class Answer(Settings):
    """The Run that reproduces a published row."""

    variant: str
    dataset: str
    backbone: str
    readout: str | None = None
    """Which of the method's `readouts` made the number; None: its prediction."""

    @property
    def run(self) -> Answer:
        """The same whichever read-out is asked for: one Run has them all."""
        return self.model_copy(update={"readout": None})


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
    """Percent; null where the paper has the row but its number could not be found."""
    source: str
    verified: bool
    """Whether the number was read in the source, rather than recalled."""
    answered_by: Answer | None = None
    """None where no Run here reproduces it."""


class PublishedFile(Settings):
    """`published.yaml` of a method."""

    entries: list[PublishedRow] = []
    """The first that a Run answers is the headline (`benchmarks.planning.headline`)."""


@cache
def method_file(method: str) -> MethodFile:
    """The checked `recipe.yaml`. Raises `UserError`."""
    return _parsed(MethodFile, method, "recipe.yaml")


@cache
def published(method: str) -> tuple[PublishedRow, ...]:
    """The checked rows of `published.yaml`. Raises `UserError`."""
    return tuple(_parsed(PublishedFile, method, "published.yaml").entries)


def _parsed(model: type[Model], method: str, name: str) -> Model:
    path = methods.FOLDER / require_known("method", method, methods.available()) / name
    return parse(model, read_yaml(path) or {}, str(path.relative_to(Path(methods.FOLDER).parent)))


def published_answered(method: str, variant: str, dataset: str, backbone: str) -> list[PublishedRow]:
    """The published rows, with a number, that a Run with these settings reproduces, by whichever read-out."""
    asked = Answer(variant=variant, dataset=dataset, backbone=backbone)
    rows = [row for row in published(method) if row.value is not None and row.answered_by is not None]
    return [row for row in rows if row.answered_by and row.answered_by.run == asked]


def split_name(name: str) -> tuple[str, str]:
    """`method` or `method:variant` -> both, checked. Raises `UserError` with the nearest name."""
    method, _, variant = name.partition(":")
    require_known("method", method, methods.available())
    variant = variant or "paper"
    require_known(f"variant of {method}", variant, method_file(method).variants)
    return method, variant


def options_of(method: str, variant: str) -> dict[str, Any]:
    """Constructor options of a variant. Raises `UserError` with the nearest name."""
    variants = method_file(method).variants
    return dict(variants[require_known(f"variant of {method}", variant, variants)].options)


def variants_of(method: str) -> list[str]:
    """All variants, the paper's own first."""
    return sorted(method_file(method).variants, key=lambda variant: variant != "paper")


def every_method() -> list[str]:
    """What `all` stands for: every method in its paper's variant, baselines first, otherwise in alphabetical order."""
    return sorted(methods.available(), key=lambda method: (method_file(method).paper is not None, method))
