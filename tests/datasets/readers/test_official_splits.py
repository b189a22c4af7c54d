"""The readers give the official splits, from the true tables of all eight datasets in their published layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from datasets import Dataset, open_dataset
from tests.helpers import true_tables

OFFICIAL = (
    ("cub_200_2011", ""),
    ("nabirds", ""),
    ("stanford_cars", "layout: apart"),
    ("stanford_cars", "layout: together"),
    ("fgvc_aircraft", "level: variant"),
    ("fgvc_aircraft", "level: family"),
    ("fgvc_aircraft", "level: manufacturer"),
    ("stanford_dogs", ""),
    ("oxford_flowers102", "train: trainval"),
    ("oxford_flowers102", "train: train"),
    ("oxford_pets", ""),
    ("webfg_496", "subset: bird"),
    ("webfg_496", "subset: aircraft"),
    ("webfg_496", "subset: car"),
)
"""The fourteen: a dataset, and the option or layout that makes another table of it."""


class Official(NamedTuple):
    dataset: Dataset
    stated: dict[str, Any]
    """What was computed from the tables without fgbench."""


@pytest.fixture(scope="session")
def official(metadata: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Official]:
    """Opens one of the fourteen; each tree is made once."""
    stated = yaml.safe_load((metadata / "expected.yaml").read_text(encoding="utf-8"))
    by_key = {(one["dataset"], one.get("variant", "")): one for one in stated}
    roots: dict[tuple[str, str], Path] = {}

    def opened(name: str, variant: str = "") -> Official:
        options = yaml.safe_load(variant) if variant and not variant.startswith("layout") else {}
        tree = (name, variant if name in ("stanford_cars", "webfg_496") else "")
        if tree not in roots:
            roots[tree] = true_tables.build(name, metadata, tmp_path_factory.mktemp(name), variant)
        return Official(open_dataset(name, roots[tree], options), by_key[name, variant])

    return opened


@pytest.mark.parametrize(("name", "variant"), OFFICIAL)
def test_a_reader_gives_the_official_split(official: Callable[..., Official], name: str, variant: str) -> None:
    dataset, stated = official(name, variant)
    train = int(dataset.is_train.sum())
    assert (len(dataset.classes), train, len(dataset) - train) == tuple(stated[k] for k in ("classes", "train", "test"))
    assert (dataset.classes[0], dataset.classes[-1]) == (stated["first_class"], stated["last_class"])
    assert dataset.split_hash == stated["split_sha256"]
    assert dataset.expected is not None
    assert dataset.expected.split_sha256 == stated["split_sha256"], "pinned in the reader"
    assert dataset.expected.tables, "what the pinned hash was computed from"
    assert dataset.departure() is None
    rows = zip(dataset.paths, dataset.labels.tolist(), dataset.is_train.tolist(), strict=True)
    lines = sorted(f"{path},{label},{'train' if training else 'test'}\n".encode() for path, label, training in rows)
    assert hashlib.sha256(b"".join(lines)).hexdigest() == stated["csv_sha256"], "the same by another definition"


def test_every_published_dataset_has_a_pinned_split() -> None:
    from datasets import reader_classes

    assert {name for name, reader in reader_classes().items() if reader.archives} == {name for name, _ in OFFICIAL}
