"""Suite files: what to train and what to measure, in YAML."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

import datasets
from benchmarks.config import parse, read_yaml
from benchmarks.errors import UserError, require_known
from benchmarks.planning.method_files import every_method
from benchmarks.planning.overrides import OF_PROFILE, OF_TRAINING, fault_of, in_recipe
from methods.tags import split_tag
from results.settings import CompileMode, Extra, Precision, Settings, SplitName
from results.values.numbers import Batch, Bytes, Classes, Count, Pixels, Replicates, Seed
from results.values.text import can_be_path

FOLDER = Path(__file__).parents[1] / "suites"
ALL = "all"
"""In place of a list of methods: every one."""
LARGEST = 20_000
"""Runs of one entry."""


class DatasetChoice(Settings):
    """A dataset and its options. `webfg_496:bird` names one subset of a dataset that is scored subset by subset."""

    name: str
    options: dict[str, Any] = {}
    split_name: SplitName | None = None
    """The user's name of its split, if that isn't the official one."""

    @model_validator(mode="before")
    @classmethod
    def _subset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        try:
            name, options = datasets.split_subset(str(values.get("name")))
        except datasets.DatasetError as error:
            raise ValueError(str(error)) from error
        return values | {"name": name, "options": {**options, **values.get("options", {})}} if options else values


class BackboneChoice(Settings):
    """A timm network, its options, and the weights it starts from."""

    name: str
    """timm's, which may have the tag of the weights to start from: `resnet50`, `resnet50.tv_in1k`."""
    options: dict[str, Any] = {}
    pretrained: str = "auto"
    """`auto`: the weights of the name's tag, or else those that the paper's recipe names, or else the file named after
    the network; `none`: random weights; or a file name."""
    allow_unfilled: bool = False

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        weights_named(self.name, self.pretrained)
        return self

    @property
    def network(self) -> str:
        """The name without its tag, as Runs and tables have it."""
        return split_tag(self.name)[0]

    @property
    def weights(self) -> str:
        """`pretrained`, or the name's tag in the place of `auto`."""
        return weights_named(self.name, self.pretrained)


def weights_named(backbone: str, pretrained: str) -> str:
    """What a name and a `pretrained` beside it ask for: `pretrained`, or a name with a tag in the place of `auto`.

    Raises `ValueError` if the two contradict each other.
    """
    network, tag = split_tag(backbone)
    if not tag or pretrained == backbone or pretrained.startswith(f"{backbone}."):
        return pretrained
    if pretrained != "auto":
        raise ValueError(
            f"{backbone} names the weights to start from, and pretrained={pretrained} names others; "
            f"leave one of them out: {backbone} alone, or {network} with pretrained={pretrained}"
        )
    return backbone


class Entry(Settings):
    """What trainings and measurements have in common."""

    methods: list[str] = Field(min_length=1)
    """Each `method` or `method:variant`. `all`: every method, without those that can't use the backbone."""
    skip_unsupported: bool = False
    """Whether methods that can't use a backbone are left out, with a line that says so, rather than refused."""
    gpu: bool = False
    """Whether `reproduce all` leaves these to machines with a GPU; elsewhere reports show them as missing."""
    set: dict[str, Any] = {}
    """Settings that replace the resolved ones, as `--set` does: `{epochs: 3}`, or `{recipe: {epochs: 3}}`."""

    @model_validator(mode="before")
    @classmethod
    def _all_methods(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("methods") in (ALL, [ALL]):
            return values | {"methods": every_method(), "skip_unsupported": True}
        return values

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if (count := self.combinations) > LARGEST:
            raise ValueError(f"asks for {count} Runs, more than {LARGEST}; divide it")
        return self

    @property
    def combinations(self) -> int:
        """How many Runs it stands for; a dataset that is scored subset by subset counts once."""
        raise NotImplementedError

    @field_validator("datasets", "backbones", mode="before", check_fields=False)
    @classmethod
    def _name_alone(cls, values: Any) -> Any:
        if not isinstance(values, list):
            return values
        return [{"name": value} if isinstance(value, str) else value for value in values]


class Training(Entry):
    """The product of methods, datasets, backbones and seeds, trained under one protocol."""

    datasets: list[DatasetChoice] = Field(min_length=1)
    backbones: list[BackboneChoice] = []
    """Empty: the backbone of each method's paper (only under the paper protocol)."""
    seeds: Replicates | Annotated[list[Seed], Field(min_length=1)] = 3
    """How many (0, 1, …), or which."""
    protocol: Literal["common", "paper"] = "common"

    @field_validator("set")
    @classmethod
    def _changes(cls, values: dict[str, Any]) -> dict[str, Any]:
        return _checked(in_recipe(values), OF_TRAINING)

    @property
    def combinations(self) -> int:
        return len(self.methods) * len(self.datasets) * max(len(self.backbones), 1) * len(self.seed_list())

    def seed_list(self) -> list[int]:
        """The seeds in their order."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


class Profiling(Entry):
    """The product of methods, backbones, sizes, precisions, compilation and checkpointing, measured for speed and
    memory."""

    backbones: list[BackboneChoice] = Field(min_length=1)
    image_sizes: list[Pixels] = Field(min_length=1)
    batch_sizes: Annotated[list[Batch], Field(min_length=1)] | Literal["sweep"] = [32]
    """`sweep`: 1, 2, 4 … until larger batches bring nothing or don't fit."""
    precisions: list[Precision] = Field(["fp32"], min_length=1)
    compile: list[bool] = Field([False], min_length=1)
    compile_mode: list[CompileMode] = Field(["default"], min_length=1)
    """Each is measured where `compile` is true."""
    checkpointing: list[bool] = Field([False], min_length=1)
    repeats: Replicates = 1
    """How many times each is measured, for the spread."""
    classes: Classes = 200
    dataset: DatasetChoice | None = None
    """The input pipeline to measure along, augmented by the common recipe; None: computation alone."""
    extras: list[Extra] = []
    memory_limit: Bytes | None = None
    """Bytes; see `ProfileRun`."""

    @field_validator("set")
    @classmethod
    def _changes(cls, values: dict[str, Any]) -> dict[str, Any]:
        return _checked(values, OF_PROFILE)

    @model_validator(mode="after")
    def _check_modes(self) -> Self:
        if self.compile_mode != ["default"] and not any(self.compile):
            raise ValueError("compile_mode is of compiled code alone: set compile to [true], or leave it out")
        return self

    @property
    def ways(self) -> list[dict[str, Any]]:
        """Each way of computing, as fields of a `ProfileRun`; code that is not compiled has no mode."""
        modes = {False: ("default",), True: tuple(self.compile_mode)}
        return [
            {"compile": compiled, "compile_mode": mode, "checkpointing": checkpointing}
            for compiled, checkpointing in product(self.compile, self.checkpointing)
            for mode in modes[compiled]
        ]

    @property
    def combinations(self) -> int:
        batches = 1 if self.batch_sizes == "sweep" else len(self.batch_sizes)
        lists: list[Sized] = [self.methods, self.backbones, self.image_sizes, self.precisions, self.ways]
        return math.prod(map(len, lists)) * batches * self.repeats


def _checked(changes: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    if fault := fault_of(changes, allowed):
        raise ValueError(fault)
    return changes


class Suite(Settings):
    """A suite file."""

    about: str
    numbers: Count | None = None
    """Position among the suites of the project's reference results (`reproduce all`); None: not one of them."""
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
    elif not can_be_path(name) or not path.is_file():
        raise UserError(f"{path}: there is no such suite file; the project's own are: {', '.join(available())}")
    suite = parse(Suite, read_yaml(path), str(path))
    if not suite.train and not suite.profile:
        raise UserError(f"{path}: names nothing to do; list trainings below train, or measurements below profile")
    return suite
