"""Opens datasets by name. A reader is a module in `readers/` that defines one `Dataset`; it is found by being there.

Importing this package and opening a dataset loads neither torch nor pandas.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from datasets.announced import Announced
from datasets.finding import (
    Found,
    UnknownDataset,
    available,
    canonical,
    find,
    folder_of,
    hint,
    known,
    permitted,
    reader_of,
    split_subset,
)
from datasets.interface import Dataset, DatasetError, MissingAnnotation, PartPoints
from datasets.narrowed import OPTIONS, Narrowed
from datasets.reader_registry import reader_classes
from datasets.release import Expected

__all__ = [
    "Dataset",
    "DatasetError",
    "PartPoints",
    "UnknownDataset",
    "announced",
    "available",
    "canonical",
    "find",
    "folder_of",
    "known",
    "open_dataset",
    "permitted",
    "reader_classes",
    "reader_of",
    "split_subset",
]

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@permitted()
def open_dataset(
    name: str, root: Path | None = None, options: Mapping[str, Any] = NO_OPTIONS, complete: bool = True
) -> Dataset:
    """Opens a dataset and checks its table and, with `complete`, that all image files and training images exist.

    `name` is a reader that needs no files or has a fixed folder below `root`, or any folder below `root` whose layout
    a reader recognises (`datasets.finding`). `options` are passed to the reader, except those that every dataset has
    (`datasets.narrowed`). Raises `UnknownDataset` with the choices, or `DatasetError` for an unknown option, a folder
    that is missing or may not be read, or any fault the reader finds.
    """
    found = find(name, root)
    own = _own_options(found.reader)
    _check_options(found.name, own, options)
    read = {option: value for option, value in options.items() if option in own}
    try:
        dataset = found.reader(found.folder, **read)  # type: ignore[call-arg]  # the contract of its constructor
    except MissingAnnotation as error:
        raise DatasetError(f"{error.file} is missing; {_source(error.file, found)}") from error
    dataset.name = found.name
    if found.reader.folder and not found.released:
        dataset.title, dataset.expected = f"{found.name}: images with {found.reader.layout}", None
    dataset.check()
    if narrowing := {option: value for option, value in options.items() if option not in own}:
        dataset = Narrowed(dataset, **narrowing)
    if complete:
        dataset.check_classes()
        _require_files(dataset)
    return dataset


def announced(name: str, options: Mapping[str, Any] = NO_OPTIONS) -> Dataset:
    """A published dataset without its files: its counts alone, which are known before it is here.

    `name` is its one name. Of some `classes`, each counts as many images as a class has on average. Raises
    `DatasetError` for an unknown option, and where the counts are not known.
    """
    reader = reader_classes().get(name)
    if reader is not None:
        _check_options(name, _own_options(reader), options)
    release = reader.release(options) if reader is not None else None
    if reader is None or release is None:
        raise DatasetError(f"{name} is not here, and nobody states how many images it has")
    if isinstance(kept := options.get("classes"), list) and kept:
        share = len(kept) / release.classes
        release = Expected(len(kept), round(share * release.train), round(share * release.test))
    return Announced(name, reader.title, release)


def _source(file: Path, found: Found) -> str:
    """Where a missing file with annotations comes from, and what to do."""
    reader, folder = found.reader.part_of or found.reader, found.folder
    if not found.released or folder is None:
        return f"it belongs to {reader.layout}"
    place = PurePosixPath(str(reader.folder), file.relative_to(folder))
    origins = [(archive, given) for archive in reader.archives for given in archive.gives]
    archive, given = next((origin for origin in origins if place.is_relative_to(origin[1])), (None, ""))
    if archive is None:
        return "restore it from the dataset's archive"
    source = "it is a download of its own" if archive.name == file.name else f"it comes in {archive.name}"
    if not archive.urls:
        return f"{source}; {reader.by_hand}"
    within = folder / PurePosixPath(given).relative_to(str(reader.folder))
    again = f"unpack that again, or move {within} away and run" if within.exists() else "run"
    return f"{source}; {again}: data fetch {found.name}"


def _require_files(dataset: Dataset) -> None:
    missing = [file for row in range(len(dataset)) if (file := dataset.file(row)) is not None and not file.is_file()]
    if missing:
        others = f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DatasetError(
            f"{missing[0]} is not on disk{others}; restore it or take it out of the dataset's table "
            f"(data verify {dataset.name} names all that is missing)"
        )


def _own_options(reader: type[Dataset]) -> list[str]:
    """Names of the options of the reader itself."""
    return [option for option in inspect.signature(reader).parameters if option != "folder"]


def _check_options(name: str, own: list[str], options: Mapping[str, Any]) -> None:
    known = [*own, *(option for option in OPTIONS if option not in own)]
    for option in options:
        if option not in known:
            raise DatasetError(f"{name} has no option {option!r}{hint(option, known)}; it takes {', '.join(known)}")
