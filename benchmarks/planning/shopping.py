"""What a plan needs and this machine lacks: datasets and weights, each once, with where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import datasets
from benchmarks.config import deep_merge
from benchmarks.environment import Environment
from benchmarks.planning import method_checks, recipes
from benchmarks.planning.method_files import method_file, options_of, split_name
from benchmarks.planning.overrides import may_fit
from benchmarks.planning.suite import BackboneChoice, DatasetChoice, Suite
from datasets import DatasetError
from datasets.fetching.needs import needs
from methods import hub
from methods.errors import BackboneError, MissingWeights
from methods.networks import check_name
from results.settings import ProfileRun, Run

NOTHING: Mapping[str, Any] = MappingProxyType({})
NOWHERE = Path(os.devnull)
"""In place of the data folder where none was named: nothing lies below it."""


@dataclass(frozen=True)
class Item:
    """A dataset, or a file of weights, to get before Runs can start."""

    kind: Literal["dataset", "weights"]
    name: str
    sources: tuple[str, ...]
    """Where its files are fetched from; or, where they can't be fetched, how to get them by hand."""
    folder: Path | None
    """To put it into; None if none was named."""
    bytes: int | None
    """To download, exactly or about; None if not known."""
    terms: str
    """Of use, in words."""
    fetchable: bool = True
    archived: bool = False
    """Whether it is unpacked, and then takes about the same space once more."""


def of_suite(
    chosen: Suite, environment: Environment, only: Mapping[str, str] = NOTHING, changes: Mapping[str, Any] = NOTHING
) -> list[Item]:
    """What the Runs of a suite lack, without those that `--only` leaves out; `changes` are those of `--set`."""
    return distinct(_of_suite(chosen, environment, only, changes))


def distinct(items: Iterable[Item]) -> list[Item]:
    """Each dataset and file once, datasets first, in order of appearance."""
    return sorted({(item.kind, item.name): item for item in items}.values(), key=lambda item: item.kind)


def _of_suite(
    chosen: Suite, environment: Environment, only: Mapping[str, str], changes: Mapping[str, Any]
) -> Iterator[Item]:
    for entry in chosen.train:
        asked = deep_merge(entry.set, changes)
        for name, data in product(entry.methods, entry.datasets):
            known = _names(name) | {"protocol": entry.protocol, "dataset": data.name}
            for choice in entry.backbones or [BackboneChoice(name=method_file(known["method"]).recipe.backbone)]:
                if may_fit(Run, known | {"backbone": choice.network}, only):
                    yield from of_dataset(data, environment, asked)
                    yield from of_weights(name, choice, environment, entry.protocol, asked)
    for profiled in chosen.profile:
        if profiled.dataset and any(may_fit(ProfileRun, _names(name), only) for name in profiled.methods):
            yield from of_dataset(profiled.dataset, environment)


def _names(name: str) -> dict[str, Any]:
    """What is known of a Run by its method's name, before its data and weights are here."""
    method, variant = split_name(name)
    return {"method": method, "variant": variant}


def of_dataset(choice: DatasetChoice, environment: Environment, changes: Mapping[str, Any] = NOTHING) -> list[Item]:
    """The dataset, if it is a published one and not here, or the one that it is a part of. What is here and faulty is
    told when it is opened."""
    asked, root = environment.canonical(choice.name), environment.data_root
    reader = datasets.reader_classes().get(asked)
    if reader is None or not (reader.part_of or reader).archives:
        return []
    name, reader = datasets.reader_of(asked)
    options = deep_merge(choice.options, changes.get("dataset_options", {}))
    wanted = needs(name, reader, root or NOWHERE)
    unpacked = all(((root or NOWHERE) / path).exists() for archive in reader.archives for path in archive.gives)
    if unpacked or _opens(asked, options, environment):
        return []
    sources = tuple(url for archive in wanted.archives for url in archive.urls[:1])
    return [
        Item(
            "dataset",
            name,
            (wanted.advice,) if wanted.by_hand else sources or (f"the archives in {root}",),
            root,
            None if wanted.of_unknown_size else wanted.bytes,
            wanted.terms,
            fetchable=not wanted.by_hand,
            archived=True,
        )
    ]


def of_own_images(choice: DatasetChoice, environment: Environment) -> list[Item]:
    """A folder of the project's own images that a suite reads, where it is not here: nobody distributes it."""
    if environment.canonical(choice.name) in datasets.reader_classes() or _opens(choice.name, {}, environment):
        return []
    how = f"images of your own, as {choice.name}/train/<class>/ and {choice.name}/test/<class>/: see docs/data.md"
    return [Item("dataset", choice.name, (how,), environment.data_root, None, "not known", fetchable=False)]


def of_weights(
    method: str,
    choice: BackboneChoice,
    environment: Environment,
    protocol: str = "paper",
    changes: Mapping[str, Any] = NOTHING,
) -> list[Item]:
    """Those of `wanted_weights` that are not here. Raises `BackboneError` for a network that timm does not have."""
    check_name(choice.name)
    wanted = wanted_weights(method, choice, protocol, changes)
    return [item for network, asked in wanted.items() if (item := _weights(network, asked, environment))]


def wanted_weights(
    method: str, choice: BackboneChoice, protocol: str = "paper", changes: Mapping[str, Any] = NOTHING
) -> dict[str, str]:
    """What the networks of a training of `method` (or `method:variant`) start from: the Run's own, then further ones.

    The values are as `find_weights` takes them; empty for random weights.
    """
    name, variant = split_name(method)
    asked = str(changes.get("pretrained", choice.weights))
    asked = recipes.weights(name, variant, protocol, choice.network, asked)
    if asked == "none":
        return {}
    options = deep_merge(options_of(name, variant), changes.get("options", {}))
    others = method_checks.networks_beside(name, options, choice.network)
    return {choice.network: asked, **dict.fromkeys(others, "auto")}


def _weights(network: str, asked: str, environment: Environment) -> Item | None:
    """None if the file is here, or if several fit, which finding it tells."""
    try:
        environment.find_weights(network, asked)
    except MissingWeights as missing:
        tag = missing.tag
        if tag is None or hub.repository(tag) is None:
            if tag is not None:
                how = str(missing)
            else:
                how = f"it is not published; only Runs on {network} need it, and --set pretrained=NAME takes another"
            name = network if asked == "auto" else asked
            return Item("weights", name, (how,), environment.weights_root, None, "not known", fetchable=False)
        terms = hub.licence(tag) or f"see {hub.page(tag)}"
        return Item("weights", tag, (hub.page(tag),), hub.folder(), hub.size(tag), terms)
    except BackboneError:
        pass
    return None


def _opens(name: str, options: Mapping[str, Any], environment: Environment) -> bool:
    try:
        environment.open_all(name, options)
    except DatasetError:
        return False
    return True
