"""Which Runs a row of any table is about, so that each of its numbers can link to a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.cell_format import Column, absent
from reports.comparisons import contestants
from reports.evidence import Evidence
from reports.groups import NAMED, Group, labels

PROFILED = ("inference_", "train_step_", "profiled_")
"""Prefixes of the columns that a profile Run fills in a row about trained Runs."""


class Sources:
    """The Runs behind the rows of all tables."""

    def __init__(self, evidence: Evidence) -> None:
        self._ids = {record.id for record in evidence.records}
        self._runs: dict[tuple[str, ...], list[str]] = {}
        for group in evidence.groups:
            self._add(("names", *_words(group.names, (*NAMED, "settings"))), group)
            self._add(("variant", *_words(group.names, NAMED)), group)
        for shared, members in evidence.comparisons.items():
            rivals = contestants(members)
            for label, group in zip(labels([one.names for one in rivals]), rivals, strict=True):
                self._add(("label", str(shared), label), group)

    def _add(self, key: tuple[str, ...], group: Group) -> None:
        self._runs.setdefault(key, []).extend(record.id for record in group.records)

    def of_row(self, row: Mapping[Any, Any]) -> list[str]:
        """Ids of the row's Runs, in the order of their seeds; the profile Run that measured their cost comes last."""
        texts = [str(row[key]) for key in ("runs", "run", "where", "profile_runs") if not absent(row.get(key))]
        ids = [run_id for text in texts for run_id in (text.split(" ") if text not in self._ids else [text])]
        if not any(run_id in self._ids for run_id in ids):
            ids = [run_id for key in _keys(row) for run_id in self._runs.get(key, ())]
        return [run_id for run_id in dict.fromkeys(ids) if run_id in self._ids]


def _keys(row: Mapping[Any, Any]) -> Iterator[tuple[str, ...]]:
    """The keys of the experiments in a row without ids: all its names, or two variants, or labels."""
    if "settings" in row:
        yield "names", *_words(row, (*NAMED, "settings"))
    elif "from" in row:
        yield from (("variant", *_words({**row, "variant": row[end]}, NAMED)) for end in ("to", "from"))
    elif "arena" in row:
        own = ("first", "second") if "first" in row else ("method",)
        yield from (("label", str(row["arena"]), str(row.get(key))) for key in own)


def of_cell(column: Column, row: Mapping[Any, Any], runs: Sequence[str]) -> str | None:
    """The one of the row's Runs to open first for this column's value; None if there are none."""
    recorder = _KeyRecorder(row)
    column.show(recorder)
    profiles = row.get("profile_runs")
    profile = None if absent(profiles) else str(profiles).split(" ")[0]
    if profile in runs and any(key.startswith(PROFILED) for key in recorder.keys_read):
        return profile
    return runs[0] if runs else None


class _KeyRecorder(dict[str, Any]):
    """A row that records which values a column reads: columns are functions, so there is no other way to know."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(row)
        self.keys_read: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.keys_read.append(key)
        return super().__getitem__(key)


def _words(row: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """Values as text, which is the same whether or not pandas has made them floats."""
    return tuple("" if absent(value := row.get(key)) else _word(value) for key in keys)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
