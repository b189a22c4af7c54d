"""What is not there, and why, so that no dash has to be guessed: values that records lack, and planned experiments
that have not all of their Runs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reports import cell_format
from reports.cell_format import Row, absent
from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import NAMED, Group, evaluated_once
from results.record import Record

_PATHS = {
    "last_top1": "metrics.last.top1",
    "validation_top1": "metrics.validation.top1",
    "best_on_test_top1": "metrics.best_on_test.top1",
    "views": "model.views",
    "training_images_per_s": "training.images_per_s",
    "inference_images_per_s": "speed.inference.images_per_s",
    "inference_peak_memory": "speed.inference.peak_memory",
    "train_step_images_per_s": "speed.train.images_per_s",
    "train_step_peak_memory": "speed.train.peak_memory",
    "parameters": "model.parameters",
    "flops": "model.flops",
}
"""Column of the head-to-head table -> the value of a record that it shows."""
ONE_EPOCH = "one epoch was evaluated: nothing was selected"


def missing(evidence: Evidence, head_to_head: Table, paired: Table, averages: Table) -> Table:
    """One row per failed Run, per value a record says it lacks, and per dash of these three tables."""
    rows = [row for record in evidence.records for row in _of_record(record)]
    rows += _of_head_to_head(evidence, head_to_head)
    rows += [
        _row(f"{row['arena']}: {row['first']} – {row['second']}", "paired test", row["reason"])
        for row in paired.rows
        if row["reason"]
    ]
    rows += [_row(_name(row), "mean over subsets", row["reason"]) for row in averages.rows if row["reason"]]
    once = {tuple(row.values()): row for row in rows}
    return Table("missing", "What is missing", list(once.values()), MISSING_COLUMNS)


def with_unreadable(table: Table, reasons: Mapping[tuple[str, str], str]) -> Table:
    """The table with a row first for each file of a Run that can't be used: `(run, file) -> reason`."""
    rows = [_row(run, file, reason) for (run, file), reason in reasons.items()]
    return replace(table, rows=[*rows, *table.rows])


def condensed(table: Table) -> Table:
    """What is missing for the same reason in one row: how many there are, and the first."""
    places: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        places.setdefault((row["value"], row["reason"]), []).append(row["where"])
    rows = [
        _row(f"{len(several)}, first {several[0]}" if len(several) > 1 else several[0], value, reason)
        for (value, reason), several in places.items()
    ]
    return replace(table, rows=rows)


def _row(where: str, value: str, reason: str) -> dict[str, Any]:
    return {"where": where, "value": value, "reason": reason}


def _of_record(record: Record) -> Iterator[dict[str, Any]]:
    if record.status == "failed":
        yield _row(record.id, "the whole Run", record.error or "failed without a message")
    yield from (_row(record.id, name, reason) for name, reason in record.missing.items())


def _of_head_to_head(evidence: Evidence, table: Table) -> Iterator[dict[str, Any]]:
    by_runs = {" ".join(record.id for record in group.records): group for group in evidence.groups}
    records = {record.id: record for record in evidence.records}
    for row in table.rows:
        group = by_runs[row["runs"]]
        profiled = [records[run_id] for run_id in (row["profile_runs"] or "").split()]
        where = _name(group.names)
        for column, path in _PATHS.items():
            if absent(row[column]):
                yield _row(where, column.replace("_", " "), _reason(group, profiled, path))
        if row["last_top1_n"] == 1:
            yield _row(where, "standard deviation and interval", "one seed has no spread")
        elif row["last_top1_over"] == cell_format.SEEDS_ALONE:
            reason = "the Runs' predictions are not stored, so the interval is over the seeds alone"
            yield _row(where, "interval over images", reason)


def _reason(group: Group, profiled: Sequence[Record], path: str) -> str:
    """What the records say themselves, else what the absence means."""
    stated = [
        reason for record in (*group.done, *profiled) for name, reason in record.missing.items() if _within(name, path)
    ]
    if stated:
        return "; ".join(dict.fromkeys(stated))
    if path.startswith("speed.") or path == "model.flops":
        return "not in the profile Run" if profiled else "no finished profile Run of this network and input size"
    if not group.done:
        return f"every Run failed ({len(group.records)})"
    if path.startswith(("metrics.validation.", "metrics.best_on_test.")) and all(map(evaluated_once, group.done)):
        return ONE_EPOCH
    if path.startswith("training.") and any("images_per_s" in record.training for record in group.done):
        return "the seeds ran on different devices; a mean would describe none"
    return "not in the records"


def _within(name: str, path: str) -> bool:
    """Whether a dotted `name` is a stretch of the dotted `path`: `validation` of `metrics.validation.top1`."""
    return f".{name}." in f".{path}."


def _name(values: Row) -> str:
    return " ".join(str(values[key]) for key in (*NAMED, "settings") if values[key])


# Planned experiments, as `results/reference/planned.json` lists them

SHARED = ("suite", "dataset", "protocol", "backbone", "px", "lacking", "why", "command")
"""What experiments share that stand in one row of `gaps`."""


def planned(experiments: Iterable[Row]) -> Table:
    """One row per planned experiment that has not all of its Runs."""
    return Table("planned", "Planned and not there", list(map(_planned_row, experiments)), PLANNED_COLUMNS, NOTE)


def gaps(experiments: Iterable[Row]) -> Table:
    """The same, with one row for everything that is missing in the same place for the same reason."""
    found: list[dict[str, Any]] = []
    frame = pd.DataFrame(list(map(_planned_row, experiments)))
    if not frame.empty:
        for values, members in frame.groupby(list(SHARED), sort=False, dropna=False):
            shared = dict(zip(SHARED, values, strict=True))
            found.append(shared | {"methods": _methods(members["method"].tolist()), "experiments": len(members)})
    return Table("gaps", "What is not measured yet", found, GAP_COLUMNS, NOTE)


def fitting(experiments: Iterable[Row], wanted: Mapping[str, str]) -> list[Row]:
    """The experiments whose values match these patterns, by the names of a record's filters."""
    return [
        row for row in experiments if all(fnmatch.fnmatchcase(_value(row, key), value) for key, value in wanted.items())
    ]


def _value(row: Row, key: str) -> str:
    method, _, variant = str(row.get("method")).partition(":")
    own = {"method": method, "variant": variant or "paper", "input": str(row.get("px"))}
    return own.get(key, str(row.get(key)))


def _planned_row(row: Row) -> dict[str, Any]:
    seeds = row.get("seeds") or []
    lacking = {"runs": len(seeds) or None, "lacking": ", ".join(map(str, seeds)) or None}
    return dict.fromkeys((*SHARED, "method", "published")) | dict(row) | lacking


def _methods(names: Sequence[str]) -> str:
    """`plain, sef (baseline, maxent)`: each method once, followed by its variants."""
    variants: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        for one in name.split(", "):
            method, _, variant = one.partition(":")
            variants.setdefault(method, []).append(variant or "paper")
    return ", ".join(
        method if found == ["paper"] else f"{method} ({', '.join(found)})" for method, found in variants.items()
    )


MISSING_COLUMNS = (
    cell_format.words("where", compact=True),
    cell_format.words("value", compact=True),
    cell_format.words("reason", compact=True),
)
PLANNED_COLUMNS = (
    cell_format.text("method", compact=True),
    cell_format.text("dataset", compact=True),
    cell_format.text("protocol", "recipe", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.size("px", "px", compact=True),
    cell_format.number("published", "published, %", 1, compact=True),
    cell_format.number("runs", "Runs", compact=True),
    cell_format.words("lacking", "seeds", compact=True),
    cell_format.words("why", compact=True),
)
GAP_COLUMNS = (
    cell_format.words("suite", compact=True),
    cell_format.text("dataset", compact=True),
    cell_format.text("protocol", "recipe", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.size("px", "px", compact=True),
    cell_format.words("methods", compact=True),
    cell_format.number("experiments", "rows", compact=True),
    cell_format.words("lacking", "seeds", compact=True),
    cell_format.words("why", compact=True),
    cell_format.words("command", "what fills it"),
)
NOTE = (
    "Runs and seeds: the missing ones, of three each; a row without seed 0 has been measured, with fewer seeds. A "
    "dash: they can't be planned without the data."
)
