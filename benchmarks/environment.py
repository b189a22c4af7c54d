"""The machine a Run uses: data, weights, device, and how to compute. None of it is part of a Run's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

import datasets
from benchmarks.config import deep_merge
from benchmarks.errors import UserError
from datasets.interface import Dataset, DatasetError
from methods.errors import MissingWeights
from results.settings import CompileMode, FeedMode

if TYPE_CHECKING:
    from methods.weight_files import WeightFile


@dataclass(frozen=True)
class Execution:
    """Choices of speed and safety, which do not change a result beyond rounding."""

    compile: bool = False
    """Whether losses and forward passes use torch.compile. Random numbers that a method draws are then different."""
    compile_mode: CompileMode = "default"
    """How torch.compile does it; without a meaning unless `compile`."""
    deterministic: bool = False
    """Whether a GPU must give bit-identical results; an operation that can't is an error. A CPU always does."""
    micro_batch: int | Literal["auto"] | None = None
    """Most images of one backward pass; a larger batch is split and its gradients are summed. `auto`: as many as fit.
    Batch norm computes its statistics on each part, so splitting a batch changes them: it is in the record, and a
    resumed training keeps it."""
    checkpointing: bool = False
    """Whether backbones compute their activations again in the backward pass: less memory, about a third more time."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints; up to 300 if the training would wait for them for over 1 % of its time. One more is
    written after the last epoch. 0: one after every batch, whatever it costs."""
    parallel: int = 1
    """How many trainings are carried out at a time on this device, each in a process of its own."""
    tensorboard: bool = False
    """Whether to write scalars for TensorBoard into the Run's folder."""


@dataclass(frozen=True)
class Environment:
    """Where this machine keeps data and weights, and what it computes on."""

    data_root: Path | None = None
    weights_root: Path | None = None
    device: str = "cpu"
    feed: FeedMode = "auto"
    """How images are brought to the device; affects speed and memory, not results."""
    execution: Execution = field(default_factory=Execution)

    image_holder: str | None = None
    """Address of the process that keeps images on the device for several trainings, if there is one."""
    awaited: frozenset[str] = frozenset()
    """Published datasets and weights that are to be got, by their names on the shopping list. What is known of them
    stands in for them, so that Runs can be estimated; such Runs have no hashes, and can't be carried out."""

    def open(self, name: str, options: Mapping[str, Any]) -> Dataset:
        """The dataset, opened once per process however it is named."""
        own, text = self.canonical(name), yaml.safe_dump(dict(options))
        try:
            return opened_once(own, self.data_root, text)
        except DatasetError:
            if own not in datasets.reader_classes() or datasets.reader_of(own)[0] not in self.awaited:
                raise
            return _announced(own, text)

    def find_weights(self, network: str, choice: str) -> WeightFile | None:
        """The weight file for a timm network (`methods.weight_files.find_weights`)."""
        from methods import weight_files  # loads timm, which `status` and `list` do without

        try:
            return weight_files.find_weights(network, choice, self.weights_root)
        except MissingWeights as missing:
            names = [name for name in (missing.tag, choice, network) if name in self.awaited]
            if not names:
                raise
            return weight_files.WeightFile.awaited(names[0])

    def open_all(self, name: str, options: Mapping[str, Any]) -> list[Dataset]:
        """The dataset alone, or each subset of one that is scored subset by subset."""
        return [self.open(name, one) for one in subsets(self.canonical(name), options)]

    def canonical(self, name: str) -> str:
        """The one name of a dataset; a subset after a colon is kept.

        Raises `DatasetError` for a path that leads out of the data folder.
        """
        name, colon, subset = name.partition(":")
        return datasets.canonical(name, self.data_root) + colon + subset


@cache
def _announced(name: str, options: str) -> Dataset:
    return datasets.announced(name, yaml.safe_load(options))


@cache
def opened_once(name: str, root: Path | None, options: str) -> Dataset:
    """The dataset of this one name; `options` as YAML."""
    return datasets.open_dataset(name, root, yaml.safe_load(options))


def subsets(name: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The options to open a dataset with: one set, or one per subset if it is scored subset by subset. `options` take
    precedence over a subset's own, so naming a subset leaves only that one."""
    reader = datasets.reader_classes().get(name)
    found: list[dict[str, Any]] = []
    for subset in (reader.subsets if reader else ()) or ({},):
        one = deep_merge(subset, options)
        found += [one] if one not in found else []
    return found


def choose_device(wish: str) -> str:
    """`cpu` or `cuda` for `auto`, `cpu` or `cuda`. Raises `UserError` if there is no such device."""
    if wish == "cpu":
        return wish
    import torch  # only where something is computed: `status` and `list` use this module too

    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no CUDA device here; use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wish == "auto" else wish
