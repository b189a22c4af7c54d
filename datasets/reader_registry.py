"""The readers that there are, found by being in `readers/`, and which of them a name or a folder belongs to."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType

from datasets.interface import Dataset


@cache
def reader_classes() -> dict[str, type[Dataset]]:
    """Module name -> its `Dataset`. A module without one is ignored; one with several raises `TypeError`."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent / "readers")]):
        defined = _defined_datasets(importlib.import_module(f"datasets.readers.{module.name}"))
        if len(defined) > 1:
            raise TypeError(f"datasets/readers/{module.name}.py defines {len(defined)} datasets; one file, one dataset")
        if defined:
            found[module.name] = defined[0]
    return found


def needs_folder(reader: type[Dataset]) -> bool:
    """Whether it reads files: one whose argument `folder` is optional draws its images itself."""
    return inspect.signature(reader).parameters["folder"].default is inspect.Parameter.empty


def published_as(name: str) -> str | None:
    """Name of the reader whose published dataset goes by `name`; None if there is none."""
    return next((own for own, reader in reader_classes().items() if reader.goes_by(name)), None)


def name_of(reader: type[Dataset]) -> str:
    """The key of `reader_classes`."""
    return reader.__module__.rpartition(".")[2]


def recognised_by(folder: Path) -> list[str]:
    """Names of the readers that recognise this folder's layout."""
    return [name for name, reader in reader_classes().items() if needs_folder(reader) and reader.recognises(folder)]


def _defined_datasets(module: ModuleType) -> list[type[Dataset]]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Dataset)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
