"""What is not there, and why: nothing is left to be guessed from a dash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reports import cell_format
from reports.contents import Table
from reports.groups import NAMED, Group, evaluated_once, groups, job
from reports.tables import columns
from reports.tables.subset_means import averages
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


def missing(records: Iterable[Record], head_to_head: Table, paired: Table) -> Table:
    """One row per failed Run, per value a record says it lacks, and per dash of the two comparisons."""
    records = list(records)
    rows = [row for record in records for row in _of_record(record)]
    rows += _of_head_to_head(records, head_to_head.frame)
    rows += [
        {"where": f"{row['arena']}: {row['first']} – {row['second']}", "value": "paired test"}
        | {"reason": row["reason"]}
        for row in paired.frame.to_dict("records")
        if not cell_format.absent(row["reason"])
    ]
    rows += [
        {"where": _name(row), "value": "mean over subsets", "reason": row["reason"]}
        for row in averages(records).frame.to_dict("records")
        if not cell_format.absent(row["reason"])
    ]
    frame = pd.DataFrame(rows).drop_duplicates(ignore_index=True)
    return Table("missing", "What is missing", frame, columns.MISSING_COLUMNS)


def with_damaged(table: Table, damaged: Mapping[tuple[str, str], str]) -> Table:
    """The table with a row first per file of a Run that can't be read: `(run, file) -> reason`."""
    rows = [{"where": run, "value": file, "reason": reason} for (run, file), reason in damaged.items()]
    return replace(table, frame=pd.concat([pd.DataFrame(rows), table.frame], ignore_index=True)) if rows else table


def condensed(table: Table) -> Table:
    """What is missing for the same reason in one row: how many there are, and the first."""
    if table.frame.empty:
        return table
    rows = []
    for (value, reason), same in table.frame.groupby(["value", "reason"], sort=False):
        places = f"{len(same)}, first " if len(same) > 1 else ""
        rows.append({"where": f"{places}{same['where'].iloc[0]}", "value": value, "reason": reason})
    return replace(table, frame=pd.DataFrame(rows))


def _of_record(record: Record) -> list[dict[str, Any]]:
    rows = [{"where": record.id, "value": name, "reason": reason} for name, reason in record.missing.items()]
    if record.status == "failed":
        rows.insert(
            0, {"where": record.id, "value": "the whole Run", "reason": record.error or "failed without a message"}
        )
    return rows


def _of_head_to_head(records: list[Record], frame: pd.DataFrame) -> list[dict[str, Any]]:
    by_runs = {tuple(record.id for record in group.records): group for group in groups(records)}
    profiles = {record.id: record for record in records if job(record) == "profile"}
    rows = []
    for row in frame.to_dict("records"):
        group = by_runs[tuple(row["runs"].split(" "))]
        measured = [profiles[run_id] for run_id in _ids(row["profile_runs"])]
        where = _name(group.names)
        for column, path in _PATHS.items():
            if cell_format.absent(row[column]):
                rows.append(
                    {"where": where, "value": column.replace("_", " "), "reason": _reason(group, measured, path)}
                )
        if row["last_top1_n"] == 1:
            reason = "one seed has no spread"
            rows.append({"where": where, "value": "standard deviation and interval", "reason": reason})
        elif row["last_top1_over"] == cell_format.SEEDS_ALONE:
            reason = "the Runs' predictions are not stored, so the interval knows the seeds alone"
            rows.append({"where": where, "value": "interval over images", "reason": reason})
    return rows


def _ids(told: str | None) -> list[str]:
    return [] if told is None or cell_format.absent(told) else told.split(" ")


def _reason(group: Group, measured: Sequence[Record], path: str) -> str:
    """The records' own word if they have one, else what their absence means."""
    told = [
        reason for record in (*group.done, *measured) for name, reason in record.missing.items() if _within(name, path)
    ]
    if told:
        return "; ".join(dict.fromkeys(told))
    if path.startswith("speed.") or path == "model.flops":
        return "not in the profile Run" if measured else "no finished profile Run of this network and input size"
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


def _name(values: Mapping[Any, Any]) -> str:
    named = [str(values[key]) for key in NAMED if not cell_format.absent(values[key])]
    return " ".join([*named, *([values["settings"]] if values["settings"] else [])])
