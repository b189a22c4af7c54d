"""By what a reader can filter all tables of the page: the datasets, methods and backbones of its Runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.groups import named
from reports.names import NameOf, Names
from results.record import Record
from results.settings import AnyRun
from results.values.text import in_a_row

HEADINGS = {"method": "Method", "dataset": "Dataset", "backbone": "Backbone", "protocol": "Recipe"}
"""Setting by which tables can be filtered -> what the page calls it."""


@dataclass(frozen=True)
class Facet:
    """A setting in which Runs differ."""

    key: str
    heading: str
    options: list[tuple[str, str]]
    """Each value, as records have it and as people read it."""


def facet_values(run: AnyRun) -> dict[str, str]:
    """The Run's value of each facet that it has."""
    values = named(run)
    return {key: str(values[key]) for key in HEADINGS if values[key] is not None}


def facets(records: Sequence[Record], names: Names) -> list[Facet]:
    """Those with a choice, their options in alphabetical order of what people read."""
    name_of: dict[str, NameOf] = {
        "method": names.method,
        "dataset": names.dataset,
        "backbone": names.backbone,
        "protocol": in_a_row,
    }
    settings = [facet_values(record.run) for record in records]
    found = []
    for key, heading in HEADINGS.items():
        options = [(value, in_a_row(name_of[key](value))) for value in {one[key] for one in settings if key in one}]
        if len(options) > 1:
            found.append(Facet(key, heading, sorted(options, key=lambda option: (option[1].lower(), option[0]))))
    return found
