"""How people write the names of what is run, for reports, which know ids alone."""

from __future__ import annotations

from collections.abc import Iterable

import datasets
import methods
from benchmarks.errors import UserError
from benchmarks.planning.method_files import method_file
from methods.backbone_names import display_name


def of_methods() -> dict[str, str]:
    """Of every method; a method whose `recipe.yaml` has none, or can't be read, goes by its id."""
    return {method: _of_method(method) for method in methods.available()}


def of_datasets() -> dict[str, str]:
    """Of every dataset with a reader of its own; your own folders go by their names."""
    return {dataset: reader.known_as for dataset, reader in datasets.reader_classes().items() if reader.known_as}


def of_backbones(networks: Iterable[str]) -> dict[str, str]:
    """Of these networks of timm."""
    return {network: display_name(network) for network in networks}


def _of_method(method: str) -> str:
    try:
        return method_file(method).name or method
    except UserError:  # a report is about what was measured, whatever became of the method since
        return method
