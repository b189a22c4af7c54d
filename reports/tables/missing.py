"""The values that records lack, and why, so that no dash has to be guessed."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports import cell_format
from reports.cell_format import SOURCES, Row
from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import NAMED, evaluated_once
from reports.tables.across.backbones import NO_BASELINE, key
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
_REASON = key("reason", "")
"""How the columns begin that say why a method has no gain on a backbone."""
ONE_EPOCH = "one epoch was evaluated: nothing was selected"


def missing(
    evidence: Evidence, head_to_head: Table, paired: Table, averages: Table, backbones: Table, ranks: Table
) -> Table:
    """One row per failed Run, per value a record says it lacks, and per dash of these five tables."""
    rows = [row for record in evidence.records for row in _of_record(record)]
    rows += _of_head_to_head(evidence, head_to_head)
    rows += [
        _row(f"{row['arena']}: {row['first']} – {row['second']}", "paired test", row["reason"])
        for row in paired.rows
        if row["reason"]
    ]
    rows += [_row(_name(row), "mean over subsets", row["reason"]) for row in averages.rows if row["reason"]]
    rows += [
        _row(f"{row['arena']}, {name.removeprefix(_REASON)}: {row['method']}", "gain over the baseline", row[name])
        for row in backbones.rows
        for name in row
        if name.startswith(_REASON) and row[name] not in (None, NO_BASELINE)
    ]
    rows += [
        _row(f"{row['arena']}: {row['method']}", "average rank", row["reason"]) for row in ranks.rows if row["reason"]
    ]
    once = {tuple(row.values()): row for row in rows}
    return Table("missing", "What is missing", list(once.values()), MISSING_COLUMNS)


def with_unreadable(table: Table, reasons: Mapping[tuple[str, str], str]) -> Table:
    """The table with a row first for each file of a Run that can't be used: `(run, file) -> reason`."""
    rows = [_row(run, file, reason, run) for (run, file), reason in reasons.items()]
    return replace(table, rows=[*rows, *table.rows])


def without(table: Table, files: Container[tuple[str, str]]) -> Table:
    """The table without the rows of these files, `(run, file)`."""
    return replace(table, rows=[row for row in table.rows if (row["where"], row["value"]) not in files])


def condensed(table: Table) -> Table:
    """What is missing for the same reason in one row: how many there are, and the first."""
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in table.rows:
        alike.setdefault((row["value"], row["reason"]), []).append(row)
    rows = [
        {**several[0], "where": f"{len(several)}, first {several[0]['where']}"} if len(several) > 1 else several[0]
        for several in alike.values()
    ]
    return replace(table, rows=rows)


def _row(where: str, value: str, reason: str, *runs: str) -> dict[str, Any]:
    return {SOURCES: (runs,), "where": where, "value": value, "reason": reason}


def _of_record(record: Record) -> Iterator[dict[str, Any]]:
    if record.status == "failed":
        yield _row(record.id, "the whole Run", record.error or "failed without a message", record.id)
    yield from (_row(record.id, name, reason, record.id) for name, reason in record.missing.items())


def _of_head_to_head(evidence: Evidence, table: Table) -> Iterator[dict[str, Any]]:
    records = {record.id: record for record in evidence.records}
    for row in table.rows:
        runs, profiled = ([records[run_id] for run_id in ids] for ids in row[SOURCES])
        where = _name(row)
        for column, path in _PATHS.items():
            if row[column] is None:
                yield _row(where, column.replace("_", " "), _reason(runs, profiled, path))
        if row["last_top1_n"] == 1:
            yield _row(where, "standard deviation and interval", "one seed has no spread")
        elif row["last_top1_over"] == cell_format.SEEDS_ALONE:
            reason = "the Runs' predictions are not stored, so the interval is over the seeds alone"
            yield _row(where, "interval over images", reason)


def _reason(runs: Sequence[Record], profiled: Sequence[Record], path: str) -> str:
    """The reasons that the records state, else what the absence means."""
    done = [record for record in runs if record.status == "done"]
    stated = [reason for record in (*done, *profiled) for name, reason in record.missing.items() if _within(name, path)]
    if stated:
        return "; ".join(dict.fromkeys(stated))
    if path.startswith("speed.") or path == "model.flops":
        return "not in the profile Run" if profiled else "no finished profile Run of this network and input size"
    if not done:
        return f"every Run failed ({len(runs)})"
    if path.startswith(("metrics.validation.", "metrics.best_on_test.")) and all(map(evaluated_once, done)):
        return ONE_EPOCH
    if path.startswith("training.") and any("images_per_s" in record.training for record in done):
        return "the seeds ran on different devices; a mean would describe none"
    return "not in the records"


def _within(name: str, path: str) -> bool:
    """Whether a dotted `name` is a stretch of the dotted `path`: `validation` of `metrics.validation.top1`."""
    return f".{name}." in f".{path}."


def _name(values: Row) -> str:
    return " ".join(str(values[key]) for key in (*NAMED, "settings") if values[key])


MISSING_COLUMNS = (
    cell_format.words("where", compact=True),
    cell_format.words("value", compact=True),
    cell_format.words("reason", compact=True),
)
