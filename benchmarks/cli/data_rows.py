"""What the verbs `run_all.py data …` do, without their output. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import datasets
from benchmarks.environment import Environment, subsets
from benchmarks.errors import UserError
from benchmarks.planning import method_files, recipes
from datasets import DatasetError
from datasets.curation import split as splitting
from datasets.curation import verify as verifying
from datasets.curation.findings import Findings
from datasets.curation.split import Split
from datasets.fetching import fetch as fetching
from datasets.interface import Dataset, OnProgress
from results.settings import task

if TYPE_CHECKING:
    from datasets.loading.store import ResizeRule


def rows(environment: Environment) -> list[dict[str, Any]]:
    """A row for every dataset, here or not; one per subset for those that are scored subset by subset."""
    present = datasets.available(environment.data_root)
    found = []
    for name in datasets.known(environment.data_root):
        if name in present:
            found += [_row(name, options, environment) for options in subsets(name, {})]
        else:
            found.append(_absent_row(name))
    return found


def short_rows(full: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns that fit a terminal."""
    return [
        {
            "name": " ".join([row["name"], *(f"{key}={value}" for key, value in row["options"].items())]),
            "classes": row["classes"],
            "train": row["train"],
            "test": row["test"],
            "here": "yes" if row["here"] and not row["problem"] else "faulty" if row["here"] else _how_to_get(row),
            "what": row["what"],
        }
        for row in full
    ]


def advice(full: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with faulty datasets, a line each, and how to get those that are not here."""
    faults = [f"{row['name']}: {row['problem']}" for row in full if row["problem"]]
    how = "what is not here: data fetch NAME downloads it, or says how to get it by hand"
    return faults if all(row["here"] for row in full) else [*faults, how]


def _row(name: str, options: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    """A dataset that is here. One that can't be opened has a `problem` and does not keep the others from the list."""
    reader = datasets.reader_classes().get(name)
    row = _facts(name, reader) | {"options": dict(options), "here": True}
    try:
        dataset = environment.open(name, options)
        return row | {
            "what": dataset.title,
            **dataset.counts,
            "boxes": dataset.has_boxes,
            "parts": len(dataset.part_names),
            "split_sha256": dataset.split_hash,
            "terms": dataset.terms,
            "folder": str(folder) if (folder := datasets.find(name, environment.data_root).folder) else None,
        }
    except DatasetError as error:  # some readers find a fault only when a property is read
        return row | {"problem": str(error)}


def _absent_row(name: str) -> dict[str, Any]:
    return _facts(name, datasets.reader_classes()[name]) | {"here": False}


def _facts(name: str, reader: type[Dataset] | None) -> dict[str, Any]:
    """What is known of a dataset without opening it, otherwise None."""
    expected = reader.expected if reader else None
    source = reader.part_of or reader if reader else None
    archives = source.archives if source else ()
    sizes = [archive.bytes for archive in archives]
    return {
        "name": name,
        "options": {},
        "what": reader.title if reader else None,
        "here": False,
        "problem": None,
        "classes": expected.classes if expected else None,
        "train": expected.train if expected else None,
        "test": expected.test if expected else None,
        "boxes": None,
        "parts": None,
        "split_sha256": expected.split_sha256 if expected else None,
        "folder": None,
        "archives": [archive.name for archive in archives],
        "archive_bytes": sum(filter(None, sizes)) if sizes and None not in sizes else None,
        "fetchable": bool(archives) and all(archive.urls for archive in archives),
        "by_hand": source.by_hand or None if source else None,
        "terms": reader.terms if reader else None,
    }


def _how_to_get(row: Mapping[str, Any]) -> str:
    if not row["fetchable"]:
        return "no, by hand"
    size = f", {row['archive_bytes'] / 1e9:.1f} GB" if row["archive_bytes"] else ""
    return f"no{size}"


def fetch(name: str, root: Path | None, put_into: Path | None, display: fetching.Display) -> list[Findings]:
    """Downloads a dataset, opens it, and compares counts and split with the published ones; images aren't read.

    Raises what `datasets.fetching.fetch.fetch` raises, and `DatasetError` if the result can't be opened.
    """
    root = _given(root)
    if put_into is not None and not put_into.is_dir():
        raise UserError(f"{put_into}: there is no such folder (--from)")
    asked, (name, reader) = datasets.canonical(name, root), datasets.reader_of(name)
    here, place = datasets.folder_of(reader, root), root / str(reader.folder)
    if place not in (here, here.parent):
        raise UserError(f"{here} is the folder of {name} under another name; rename it to {place.name} first")
    fetching.fetch(name, reader, root, put_into, display)
    try:
        return [
            replace(verifying.findings(datasets.open_dataset(asked, root, one)), name=task(asked, one))
            for one in subsets(asked, {})
        ]
    except DatasetError as error:
        raise DatasetError(f"{error}; to fetch everything anew, move {root / str(reader.folder)} away first") from error


class StoredAs(NamedTuple):
    """How `data prepare` stores images."""

    size: int
    """Pixels."""
    resize: ResizeRule
    why: str
    """Who says so, in words."""


def stored_as(name: str, method: str | None, size: int | None, resize: ResizeRule | None) -> StoredAs:
    """By the paper's recipe of `method` (with a variant after a colon), or without one by the common recipe; `size` and
    `resize` as they were asked for. Raises `UserError` for an unknown method, or a size besides a method."""
    if size is not None and method is not None:
        raise UserError("--for takes the size from the paper's recipe; leave out --for or --size")
    if size is not None:
        recipe: dict[str, Any] = {"stored_size": size, "resize": "squash"}
        why = "as asked for"
    elif method is not None:
        own, variant = method_files.split_name(method)
        backbone = method_files.method_file(own).recipe.backbone
        recipe = recipes.recipe_for(own, variant, "paper", name, backbone).model_dump()
        why = f"the paper's recipe of {method}, which reproduce reads"
    else:
        recipe = recipes.common()
        why = "the common recipe, which compare reads; --for METHOD takes that of a paper, --size N any size"
    return StoredAs(recipe["stored_size"], resize or recipe["resize"], why)


@datasets.permitted()
def split(name: str, root: Path | None, test: float, seed: int, on_progress: OnProgress, overwrite: bool) -> Split:
    """Splits a person's own folder of classes; raises what `datasets.curation.split.split` raises, or `UserError`."""
    root = _given(root)
    name = datasets.canonical(name, root)
    folder = root / name
    if name in datasets.reader_classes():
        raise UserError(f"{name} has a split of its own; only a folder of your own images can be split")
    if other := next(
        (one.folder for one in datasets.reader_classes().values() if one.folder and one.recognises(folder)), None
    ):
        raise UserError(f"{folder} has the layout of {other}, whose tables hold a split; change it there")
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; put the class folders there")
    return splitting.split(folder, test, seed, on_progress, overwrite)


def verify(name: str, root: Path | None, options: Mapping[str, Any], on_progress: OnProgress) -> list[Findings]:
    """Reads every image of a dataset, or of each subset unless `name` or `options` name one."""
    name, chosen = datasets.split_subset(name)
    name = datasets.canonical(name, root)
    asked = subsets(name, {**chosen, **options})
    opened = [datasets.open_dataset(name, root, one, complete=False) for one in asked]  # before images are read
    return [
        replace(verifying.verify(dataset, on_progress), name=task(name, one))
        for dataset, one in zip(opened, asked, strict=True)
    ]


def _given(root: Path | None) -> Path:
    if root is None:
        raise UserError("no data folder was given: name it with --data FOLDER or FGBENCH_DATA")
    return root
