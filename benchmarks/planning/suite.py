"""Suite files: what to train and what to measure, in a few lines of YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

import datasets
from benchmarks.config import parse, read_yaml
from benchmarks.errors import UserError, require_known
from benchmarks.planning.overrides import OF_PROFILE, OF_TRAINING, fault_of, in_recipe
from results.settings import Extra, Precision, Settings

FOLDER = Path(__file__).parents[1] / "suites"


class DatasetChoice(Settings):
    """A dataset and the options it is opened with. `webfg_496:bird` names one subset of those that are scored apart."""

    name: str
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _subset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name, colon, word = str(values.get("name")).partition(":")
        if not colon:
            return values
        reader = datasets.reader_classes().get(name)
        subsets = {str(value): subset for subset in (reader.subsets if reader else ()) for value in subset.values()}
        if word not in subsets:
            known = f"it has {', '.join(subsets)}" if subsets else "it is one whole"
            raise ValueError(f"{name} has no subset {word!r}; {known}")
        return values | {"name": name, "options": {**subsets[word], **values.get("options", {})}}


class BackboneChoice(Settings):
    """A timm network, its options, and the weights it starts from."""

    name: str
    options: dict[str, Any] = {}
    pretrained: str = "auto"
    """`auto`: the file named after the network; `none`: random weights; or a file name."""
    allow_unfilled: bool = False


class Training(Settings):
    """The product of methods, datasets, backbones and seeds, trained under one protocol."""

    methods: list[str] = Field(min_length=1)
    """Each `method`, or `method:variant`."""
    datasets: list[DatasetChoice]
    backbones: list[BackboneChoice] = []
    """Empty: the paper's own (only under the paper protocol)."""
    seeds: PositiveInt | list[NonNegativeInt] = 3
    """How many (0, 1, …), or which."""
    protocol: Literal["common", "paper"] = "common"
    gpu: bool = False
    """Whether `reproduce all` leaves these to machines with a GPU; elsewhere they stay visibly missing."""
    set: dict[str, Any] = {}
    """Settings laid over the resolved ones, as `--set` does: `{epochs: 3}`, or `{recipe: {epochs: 3}}`."""

    @field_validator("datasets", "backbones", mode="before")
    @classmethod
    def _name_alone(cls, values: Any) -> Any:
        if not isinstance(values, list):
            return values
        return [{"name": value} if isinstance(value, str) else value for value in values]

    @field_validator("set")
    @classmethod
    def _changes(cls, values: dict[str, Any]) -> dict[str, Any]:
        return _checked(in_recipe(values), OF_TRAINING)

    def seed_list(self) -> list[int]:
        """The seeds in their order."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


class Profiling(Settings):
    """The product of methods, backbones, sizes and ways to compute, measured for speed and memory."""

    methods: list[str] = Field(min_length=1)
    backbones: list[BackboneChoice] = Field(min_length=1)
    image_sizes: list[PositiveInt]
    batch_sizes: list[PositiveInt] | Literal["sweep"] = [32]
    """`sweep`: 1, 2, 4 … until the device is full."""
    precisions: list[Precision] = Field(["fp32"], min_length=1)
    compile: list[bool] = Field([False], min_length=1)
    repeats: PositiveInt = 1
    """How often each is measured, to know the spread."""
    classes: PositiveInt = 200
    dataset: DatasetChoice | None = None
    """Whose images are brought to the device, augmented as the common recipe does; None: compute alone is measured."""
    extras: list[Extra] = []
    memory_limit: PositiveInt | None = None
    """Bytes; see `ProfileRun`."""
    gpu: bool = False
    """As a training's."""
    set: dict[str, Any] = {}

    _names = field_validator("backbones", mode="before")(Training._name_alone.__func__)  # type: ignore[attr-defined]

    @field_validator("set")
    @classmethod
    def _changes(cls, values: dict[str, Any]) -> dict[str, Any]:
        return _checked(values, OF_PROFILE)


def _checked(changes: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    if fault := fault_of(changes, allowed):
        raise ValueError(fault)
    return changes


class Suite(Settings):
    """A suite file."""

    about: str
    numbers: PositiveInt | None = None
    """Its place among the suites whose rows are the project's own numbers (`reproduce all`); None: not one of them."""
    train: list[Training] = []
    profile: list[Profiling] = []


def available() -> list[str]:
    """Names of the suites that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Suite:
    """A suite by name, or by the path of a YAML file. Raises `UserError`."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = FOLDER / f"{require_known('suite', name, available())}.yaml"
    elif not path.is_file():
        raise UserError(f"{path}: there is no such suite file; the project's own are: {', '.join(available())}")
    return parse(Suite, read_yaml(path), str(path))
