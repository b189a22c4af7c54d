"""The three jobs as suites: what `reproduce`, `compare` and `profile` expand to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
from benchmarks import recipes
from benchmarks.plan import Place, split_name
from benchmarks.recipes import PublishedRow
from benchmarks.suite import BackboneChoice, DatasetChoice, Profiling, Suite, Training
from datasets import DatasetError
from methods.backbones import BackboneError, find_weights


@dataclass(frozen=True)
class Goal:
    """One thing to reproduce: a variant on a dataset and a backbone, the rows it answers, and what is lacking."""

    variant: str
    dataset: str
    backbone: str
    rows: tuple[PublishedRow, ...]
    lacking: str | None
    """Why it can't be run on this machine now, in one line; None if it can."""


def goals(method: str, place: Place, dataset: str | None, backbone: str | None, variants: Sequence[str]) -> list[Goal]:
    """What `reproduce` would train: one goal per variant, dataset and backbone that a published row is answered by.

    A dataset or backbone named by the user takes the place of the published ones. Raises `UserError` for wrong names.
    """
    name, variant = split_name(method)
    file = recipes.method_file(name)
    wanted = list(variants) or [variant]
    combinations: dict[tuple[str, str, str], None] = {}
    for one in wanted:
        recipes.options_of(name, one)
        own = [row.answered_by for row in recipes.published(name) if row.answered_by]
        answered = [row for row in own if row.get("variant", "paper") == one] or [{}]
        for row in answered:
            home = dataset or row.get("dataset") or next(iter(file.recipe.datasets), "cub_200_2011")
            combinations[one, home, backbone or row.get("backbone") or file.recipe.backbone] = None
    return [
        Goal(*key, tuple(recipes.answered(name, **dict(zip(_KEYS, key, strict=True)))), _lacking(*key[1:], place))
        for key in combinations
    ]


_KEYS = ("variant", "dataset", "backbone")


def _lacking(dataset: str, backbone: str, place: Place) -> str | None:
    try:
        place.open(dataset, {})
        find_weights(backbone, "auto", place.weights_root)
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


def compare(methods: Sequence[str], dataset: str, backbone: str, seeds: int, options: dict[str, Any]) -> Suite:
    """Every method under the common recipe on one backbone, then the speed of each at the same input size."""
    image_size = options.get("recipe", {}).get("image_size") or recipes.common()["image_size"]
    return Suite(
        about=f"{', '.join(methods)} on {dataset}, {backbone}",
        train=[
            Training(
                methods=list(methods),
                datasets=[DatasetChoice(name=dataset)],
                backbones=[BackboneChoice(name=backbone)],
                seeds=seeds,
            )
        ],
        profile=[Profiling(methods=list(methods), backbones=[BackboneChoice(name=backbone)], image_sizes=[image_size])],
    )


def profile(
    methods: Sequence[str], backbones: Sequence[str], image_sizes: Sequence[int], batch_sizes: Sequence[int]
) -> Suite:
    """Speed and memory of every combination."""
    return Suite(
        about="speed and memory",
        profile=[
            Profiling(
                methods=list(methods),
                backbones=[BackboneChoice(name=name) for name in backbones],
                image_sizes=list(image_sizes),
                batch_sizes=list(batch_sizes),
            )
        ],
    )


def dataset_rows(place: Place) -> list[dict[str, Any]]:
    """What `list datasets` shows: every dataset that can be opened, with its counts."""
    rows: list[dict[str, Any]] = []
    for name in datasets.available(place.data_root):
        try:
            dataset = place.open(name, {})
        except DatasetError as error:
            rows.append({"name": name, "problem": str(error)})
            continue
        rows.append(
            {
                "name": name,
                "what": dataset.title,
                "classes": len(dataset.classes),
                "train": int(dataset.is_train.sum()),
                "test": int((~dataset.is_train).sum()),
                "boxes": dataset.boxes is not None,
                "parts": len(dataset.parts.names) if dataset.parts else 0,
                "split_sha256": dataset.split_hash,
                "terms": dataset.terms,
            }
        )
    return rows
