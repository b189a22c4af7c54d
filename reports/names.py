"""What people read in the place of ids: WS-DAN for `ws_dan`. Records, files and commands keep the ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from reports.cell_format import Column, Row
from results.settings import method_label
from results.values.text import in_a_row

NameOf = Callable[[str], str]
"""From an id to what people read."""


@dataclass(frozen=True)
class Names:
    """Display names of methods, datasets and backbones by their ids.

    An id without a name stands for itself. Two ids of one kind are never shown alike: where they would be, each has
    its id behind its name.
    """

    methods: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    backbones: Mapping[str, str] = field(default_factory=dict)

    def method(self, method: str, variant: str = "paper") -> str:
        """`WS-DAN`, or `WS-DAN:maps_4` for a variant that is not the paper's own."""
        return method_label(_named(self._methods, method), variant)

    def dataset(self, task: str) -> str:
        """Of a dataset, or of a task on it, whose subset and split keep their own names: `WebFG-496:bird`."""
        if task in self._datasets:
            return self._datasets[task]
        end = min((place for place in map(task.find, ":@") if place > 0), default=len(task))
        return _named(self._datasets, task[:end]) + task[end:]

    def tasks(self, tasks: str) -> str:
        """Of several datasets or tasks with commas between them."""
        return ", ".join(map(self.dataset, tasks.split(", ")))

    def backbone(self, network: str) -> str:
        """Of a timm network; its weights have names of their own."""
        return _named(self._backbones, network)

    def label(self, label: str) -> str:
        """Of a row as `groups.labels` names it, of `method:variant`, or of several with commas between them."""
        return ", ".join(map(self._one_label, label.split(", ")))

    def place(self, place: str) -> str:
        """Of a place that the table of missing values names by ids and settings in any order."""
        return self._any_id.sub(lambda found: self._every[found[0]], place) if self._every else place

    def row(self, row: Row) -> dict[Any, Any]:
        """The same row, which says display names, for `groups.labels` and figures."""
        kinds: dict[str, NameOf] = {
            "method": self.method,
            "dataset": self.dataset,
            "backbone": self.backbone,
        }
        return {**row, **{key: name_of(str(row[key])) for key, name_of in kinds.items() if row.get(key) is not None}}

    def column(self, column: Column) -> Column:
        """The same column, in which a method, dataset or backbone stands by its display name; its rows keep ids."""
        if (name_of := self._by_key.get(column.key)) is None:
            return column
        return replace(column, show=lambda row: column.show(_renamed(row, column.key, name_of)))

    def _one_label(self, label: str) -> str:
        """The method, and what distinguishes the row from others of it."""
        first, *others = label.split(" ")
        method, colon, variant = first.partition(":")
        return " ".join([self.method(method) + colon + variant, *(self._backbones.get(word, word) for word in others)])

    @property
    def _by_key(self) -> dict[str, NameOf]:
        """Key of a column -> the name of its value."""
        of_rows = dict.fromkeys(("method", "methods", "first", "second", "better", "alike"), self.label)
        return {
            **of_rows,
            "dataset": self.dataset,
            "ranked_on": self.tasks,
            "backbone": self.backbone,
            "where": self.place,
        }

    @cached_property
    def _every(self) -> dict[str, str]:
        return {**self._datasets, **self._backbones, **self._methods}

    @cached_property
    def _any_id(self) -> re.Pattern[str]:
        """An id that is not part of a longer one, such as that of a Run."""
        ids = "|".join(map(re.escape, sorted(self._every, key=len, reverse=True)))
        return re.compile(rf"(?<![\w./-])(?:{ids})(?![\w./-])")

    @cached_property
    def _methods(self) -> dict[str, str]:
        return told_apart(self.methods)

    @cached_property
    def _datasets(self) -> dict[str, str]:
        return told_apart(self.datasets)

    @cached_property
    def _backbones(self) -> dict[str, str]:
        return told_apart(self.backbones)


IDS = Names()
"""Every id stands for itself."""


def told_apart(names: Mapping[str, str]) -> dict[str, str]:
    """Id -> name in one line, which no two share: those that would have their ids behind it."""
    shown = {key: " ".join(in_a_row(name).split()) or key for key, name in names.items()}
    while alike := [name for name, count in Counter(shown.values()).items() if count > 1]:
        shown |= {key: f"{name} ({key})" for key, name in shown.items() if name in alike}
    return shown


def _named(names: Mapping[str, str], key: str) -> str:
    """The name of `key`; itself without one, told apart from a name that looks like it."""
    return names.get(key) or (f"{key} ({key})" if key in names.values() else key)


def _renamed(row: Row, key: str, name_of: NameOf) -> Row:
    return row if row[key] is None else {**row, key: name_of(str(row[key]))}
