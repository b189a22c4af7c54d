"""Opens datasets by name. A reader is a module in `readers/` that defines one `Dataset`; it is found by being there.

Importing this package and opening a dataset loads neither torch nor pandas.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from datasets.interface import Dataset, DatasetError, PartPoints
from results.names import nearest

__all__ = [
    "Dataset",
    "DatasetError",
    "PartPoints",
    "UnknownDataset",
    "available",
    "known",
    "open_dataset",
    "reader_classes",
    "reader_of",
]

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class UnknownDataset(DatasetError):  # noqa: N818 - clear without the suffix Error
    """No reader and no folder has this name; `choices` are the names that can be opened."""

    def __init__(self, name: str, choices: list[str], searched: Path | None) -> None:
        self.choices = choices
        where = (
            f"below {searched}"
            if searched is not None
            else "because no data folder was given: set FGBENCH_DATA or --data"
        )
        super().__init__(
            f"there is no dataset {name!r} {where}{_nearest(name, choices)} (what can be opened: {', '.join(choices)})"
        )


@cache
def reader_classes() -> dict[str, type[Dataset]]:
    """Module name -> its `Dataset`. A module without one is ignored; one with several raises `TypeError`."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent / "readers")]):
        defined = _defined_datasets(importlib.import_module(f"{__name__}.readers.{module.name}"))
        if len(defined) > 1:
            raise TypeError(f"datasets/readers/{module.name}.py defines {len(defined)} datasets; one file, one dataset")
        if defined:
            found[module.name] = defined[0]
    return found


def available(root: Path | None) -> list[str]:
    """Names that `open_dataset` can open: readers without files, then the folders below `root`."""
    names = [name for name, reader in reader_classes().items() if not _needs_folder(reader)]
    if root is None or not root.is_dir():
        return names
    fixed = {reader.folder: name for name, reader in reader_classes().items() if reader.folder}
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return names + [fixed.get(folder.name, folder.name) for folder in folders if _recognising(folder)]


def known(root: Path | None) -> list[str]:
    """All names: those of `available`, then the readers whose files are missing."""
    there = available(root)
    return there + [name for name, reader in reader_classes().items() if reader.folder and name not in there]


def reader_of(name: str) -> tuple[str, type[Dataset]]:
    """Name and reader of a dataset with a fixed folder, given its name or that of the folder.

    Raises `DatasetError` with the nearest name for any other.
    """
    fixed = {key: reader for key, reader in reader_classes().items() if reader.folder}
    if (own := _canonical(name)) not in fixed:
        raise DatasetError(
            f"there is nothing to fetch for {name!r}{_nearest(name, fixed)}; there are: {', '.join(fixed)}"
        )
    return own, fixed[own]


def open_dataset(
    name: str, root: Path | None = None, options: Mapping[str, Any] = NO_OPTIONS, complete: bool = True
) -> Dataset:
    """Opens a dataset and checks its table and, with `complete`, that all image files exist.

    `name` is a reader that needs no files or has a fixed folder below `root`, or any folder below `root` whose layout
    a reader recognises. `options` are passed to the reader. Raises `UnknownDataset` with the choices, or `DatasetError`
    for an unknown option, a missing folder or any fault the reader finds.
    """
    reader, folder = _resolve(name, root)
    _check_options(name, reader, options)
    dataset = reader(folder, **options)  # type: ignore[call-arg]  # the contract of a reader's constructor
    dataset.name = _canonical(name)
    dataset.check()
    if complete:
        _require_files(dataset)
    return dataset


def _canonical(name: str) -> str:
    """The reader's own name, also if the dataset was requested by the name of its folder."""
    return next((own for own, reader in reader_classes().items() if reader.folder == name), name)


def _resolve(name: str, root: Path | None) -> tuple[type[Dataset], Path | None]:
    reader = reader_classes().get(name)
    if reader is not None and not _needs_folder(reader):
        return reader, None
    if reader is not None and reader.folder is not None and root is not None:
        folder = root / reader.folder
        if not folder.is_dir():
            raise DatasetError(
                f"{name}: the folder {folder} is missing; put the dataset's files there, or get them: data fetch {name}"
            )
        return reader, folder
    if root is None or name in ("", ".", "..") or not (root / name).is_dir():
        raise UnknownDataset(name, available(root), root)
    recognising = _recognising(root / name)
    if len(recognising) > 1:
        raise DatasetError(f"{root / name} has the layouts of {' and '.join(recognising)}; remove what doesn't belong")
    if not recognising:
        raise DatasetError(
            f"{root / name} has a layout that no reader knows; "
            "train/<class>/* and test/<class>/*, or an images.csv, would be read"
        )
    return reader_classes()[recognising[0]], root / name


def _require_files(dataset: Dataset) -> None:
    missing = [file for row in range(len(dataset)) if (file := dataset.file(row)) is not None and not file.is_file()]
    if missing:
        others = f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DatasetError(
            f"{missing[0]} is not on disk{others}; restore it or take it out of the dataset's table "
            f"(data verify {dataset.name} names all that is missing)"
        )


def _recognising(folder: Path) -> list[str]:
    """Names of the readers that recognise this folder's layout."""
    return [name for name, reader in reader_classes().items() if _needs_folder(reader) and reader.recognises(folder)]


def _defined_datasets(module: ModuleType) -> list[type[Dataset]]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Dataset)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]


def _needs_folder(reader: type[Dataset]) -> bool:
    """A reader whose argument `folder` is optional draws its images itself."""
    return inspect.signature(reader).parameters["folder"].default is inspect.Parameter.empty


def _check_options(name: str, reader: type[Dataset], options: Mapping[str, Any]) -> None:
    known = [option for option in inspect.signature(reader).parameters if option != "folder"]
    for option in options:
        if option not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise DatasetError(f"{name} has no option {option!r}{_nearest(option, known)}; {takes}")


def _nearest(word: str, choices: Iterable[str]) -> str:
    near = nearest(word, choices)
    return f": {near}" if near else ""
