"""Profile Runs: rates and memory, where the time of a step goes, and its costliest operations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

from reports import cell_format
from reports.cell_format import PART, Column, Row, percent
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.measurements import Measurement, place
from results.speed import Phase, Resource

Settings = tuple[str, str]
"""A mode, and settings as JSON."""
ORDER = ["method", "variant", "backbone", "input", "precision", "compiled"]
ORDER += ["checkpointed", "settings", "mode", "batch_size"]


def profile(evidence: Evidence) -> Table:
    """One row per measurement and mode."""
    measured = [(one, _row(one)) for one in evidence.measurements]
    best: dict[Settings, float] = {}
    for one, row in measured:
        best[_but_batch(one)] = max(row["images_per_s"] or 0.0, best.get(_but_batch(one), 0.0))
    sizes = Counter(_but_batch(one) for one, _ in measured)
    plain = {_but_method(one): row for one, row in measured if _is_plain(one)}
    for one, row in measured:
        alone, rate = sizes[_but_batch(one)] == 1, row["images_per_s"]
        row["of_best"] = None if alone or rate is None else 100 * rate / best[_but_batch(one)]
        row.update(_of_plain(row, None if _is_plain(one) else plain.get(_but_method(one))))
    return _table("profile", "Profile", sorted_rows([row for _, row in measured], ORDER), COLUMNS, NOTE, evidence)


def _table(
    name: str, title: str, rows: Sequence[Row], columns: tuple[Column, ...], note: str, evidence: Evidence
) -> Table:
    """In a part for each device, backbone, size of images, and mode."""
    headings = {row[PART]: place(evidence.names.row(row)) for row in rows}
    return Table(name, title, rows, columns, note, (PART,), headings)


def _row(one: Measurement) -> dict[str, Any]:
    low, high = one.noise or (None, None)
    rates = [speed.images_per_s for speed in one.speeds]
    first, last = one.started
    shares = one.first("shares") or {}
    memory = one.first("memory") or {}
    model = one.records[0].model
    return (
        one.row
        | {"images_per_s": one.rate, "images_per_s_p10": low, "images_per_s_p90": high, "repeats": len(one.records)}
        | {"first_started": first, "last_started": last}
        | {"spread": 100 * (max(rates) - min(rates)) / one.rate if one.rate and len(rates) > 1 else None}
        | {"exceeded": one.exceeded, "peak_memory": one.peak_memory}
        | {field: one.first(field) for field in FIELDS}
        | {f"{phase}_memory": memory.get(phase) for phase in PHASES}
        | {f"{resource}_share": percent(shares.get(resource)) for resource in RESOURCES}
        | {"busy_share": percent(one.first("busy_share"))}
        | {"bound": _bound(shares), "conditions": one.conditions, "busy": one.busy}
        | {"views": model.get("views"), "parameters": model.get("parameters")}
        | {"flops": one.first("flops") or (model.get("flops") if one.mode == "inference" else None)}
    )


def _bound(shares: Mapping[str, float]) -> str | None:
    """The resource that takes half of the step or more; if there is none, the largest."""
    most = max(shares, key=shares.__getitem__, default=None)
    if most is None or ("memory" not in shares and shares[most] < HALF):
        return None  # the traffic of compiled code is not known, and may be what bounds it
    share = f"{100 * shares[most]:.0f} %"
    return f"{most}, {share}" if shares[most] >= HALF else f"none ({most} {share})"


def _of_plain(row: Row, bare: Row | None) -> dict[str, Any]:
    """The share of plain's rate, and whether it is open which of the two is faster: their ranges overlap, one was
    measured once and so has no range over repeats, or they were measured apart. And how much longer each pass through a
    backbone takes, with what the method does around it."""
    if bare is None or not row["images_per_s"] or not bare["images_per_s"]:
        return dict.fromkeys(("of_plain", "of_plain_open", "pass_of_plain"))
    both = (row, bare)
    meet = max(one["images_per_s_p10"] for one in both) <= min(one["images_per_s_p90"] for one in both)
    once = min(one["repeats"] for one in both) == 1
    apart = max(one["first_started"] for one in both) - min(one["last_started"] for one in both) > APART
    ratio = row["images_per_s"] / bare["images_per_s"]
    passes = row["passes"] / bare["passes"] if row["passes"] and bare["passes"] else None
    per_pass = None if passes is None else 1 / ratio / passes
    return {"of_plain": 100 * ratio, "of_plain_open": bool(meet or once or apart), "pass_of_plain": per_pass}


FIELDS = (
    "passes",
    "latency_ms",
    "latency_ms_p95",
    "latency_ms_p99",
    "input_images_per_s",
    "end_to_end_images_per_s",
    "peak_reserved",
    "largest_batch",
    "joules_per_image",
    "compile_s",
    "kernels",
    "issue_ms",
)
PHASES = get_args(Phase)
APART = timedelta(hours=3)
"""Between two measurements after which other work on the same host, its heat or its clocks may have changed. Plans
measure the first repeat of everything before the second, so that those of one plan are nearer."""
HALF = 0.5
"""Share of a step from which a resource bounds it."""
PLAIN = ("plain", "paper")
"""The backbone with a linear classifier: the rates of the others are given as a share of its rate."""
RESOURCES = get_args(Resource)


def _is_plain(one: Measurement) -> bool:
    return (one.run.method, one.run.variant) == PLAIN and not one.run.options


def _but_batch(one: Measurement) -> Settings:
    return _settings(one, "batch_size")


def _but_method(one: Measurement) -> Settings:
    return _settings(one, "method", "variant", "options")


def _settings(one: Measurement, *left_out: str) -> Settings:
    """Of a measurement and its mode, without those that are `left_out`."""
    settings = json.loads(one.key)
    return one.mode, json.dumps({key: settings[key] for key in settings if key not in left_out}, sort_keys=True)


def parts(evidence: Evidence) -> Table:
    """One row per part of a step, for Runs that measured a breakdown."""
    rows = []
    for one in evidence.measurements:
        found: dict[str, float] = one.first("breakdown") or {}
        total = sum(found.values())
        rows += [
            one.row | {"part": part, "milliseconds": spent, "share": 100 * spent / total}
            for part, spent in found.items()
        ]
    rows = sorted_rows(rows, [*ORDER, "milliseconds"], descending=["milliseconds"])
    return _table("parts", "Where the time of a step goes", rows, PARTS_COLUMNS, PARTS_NOTE, evidence)


def operations(evidence: Evidence) -> Table:
    """One row per costly operation, for Runs that measured operations."""
    rows = [
        one.row | operation.model_dump() | {"share": 100 * operation.share}
        for one in evidence.measurements
        for operation in one.first("operations") or ()
    ]
    rows = sorted_rows(rows, [*ORDER, "milliseconds"], descending=["milliseconds"])
    title = "The costliest operations of a step"
    return _table("operations", title, rows, OPERATION_COLUMNS, OPERATION_NOTE, evidence)


def _if_any(key: str, heading: str, digits: int, roughly: str = "") -> Column:
    """A number, blank where there is none, so that a table without repeats, or without a sweep, has no such column.

    `roughly`: name of a truth value; where it is true the number is marked with ≈.
    """

    def show(row: Row) -> str:
        if row[key] is None:
            return ""
        return ("≈ " if roughly and row[roughly] else "") + f"{row[key]:.{digits}f}"

    return Column(heading, show, compact=True, key=key)


def _memory(row: Row) -> str:
    if row["exceeded"] is not None:
        return f"> {row['exceeded'] / cell_format.GIB:.2f}"
    return cell_format.number("peak_memory", "", 2, cell_format.GIB).show(row)


NAMES = (
    *(cell_format.text(key, compact=True) for key in ("method", "variant", "backbone")),
    cell_format.size("input", "px", compact=True),
    cell_format.text("mode", compact=True),
    cell_format.text("precision", compact=True),
    cell_format.text("compiled", compact=True),
    cell_format.text("checkpointed", compact=True),
    cell_format.text("settings", compact=True),
    cell_format.size("batch_size", "batch", compact=True),
)
_OUTERMOST = "outermost percentile of any repeat"
_RATE = cell_format.marked(cell_format.printed(cell_format.number("images_per_s", "images/s", compact=True)), "busy")
COLUMNS = (
    *NAMES,
    cell_format.once(_RATE, "repeats"),
    cell_format.explained(cell_format.marked(cell_format.number("images_per_s_p10", "p10"), "busy"), _OUTERMOST),
    cell_format.explained(cell_format.marked(cell_format.number("images_per_s_p90", "p90"), "busy"), _OUTERMOST),
    cell_format.number("repeats", "repeats"),
    cell_format.explained(_if_any("spread", "spread, %", 1), "range of the repeats, in % of their median"),
    cell_format.explained(
        cell_format.printed(_if_any("of_plain", "of plain, %", 0, "of_plain_open")),
        "share of the plain backbone's rate under the same settings; ≈ where neither is shown to be faster: the ranges "
        "from p10 to p90 overlap, one of them was measured once, or more than three hours lie between the two",
    ),
    # Share and passes say the same, and with this column too the rows are too long for a terminal.
    replace(_if_any("pass_of_plain", "time of a pass, plain's = 1", 2, "of_plain_open"), compact=False),
    cell_format.explained(
        _if_any("of_best", "of best batch, %", 0),
        "share of the highest rate among the batch sizes; a sweep ends where two doublings add less than 5 % in both "
        "modes",
    ),
    cell_format.explained(
        cell_format.number("passes", "passes", 1, compact=True), "counted, through a backbone per image"
    ),
    cell_format.marked(cell_format.number("input_images_per_s", "input alone, images/s"), "busy"),
    cell_format.marked(cell_format.number("end_to_end_images_per_s", "end to end, images/s"), "busy"),
    cell_format.explained(
        cell_format.marked(cell_format.number("latency_ms", "latency, ms", 2, compact=True), "busy"),
        "of one image alone",
    ),
    cell_format.number("latency_ms_p95", "latency p95", 2),
    cell_format.number("latency_ms_p99", "latency p99", 2),
    cell_format.explained(
        cell_format.printed(Column("memory, GiB", _memory, compact=True, key="peak_memory")),
        "CUDA tensors at their peak, or what the process grew by; > is the memory that did not suffice",
    ),
    cell_format.number("peak_reserved", "reserved, GiB", 2, cell_format.GIB),
    *(cell_format.number(f"{phase}_memory", f"{phase}, GiB", 3, cell_format.GIB) for phase in PHASES),
    _if_any("largest_batch", "largest batch", 0),
    cell_format.explained(
        cell_format.words("bound", "bound by", compact=True),
        "the resource for which the device, at its measured best, would need half of the step's time or more; none: "
        "there is no such resource, and the largest is named",
    ),
    cell_format.number("arithmetic_share", "arithmetic, %"),
    cell_format.explained(
        cell_format.number("memory_share", "memory traffic, %"),
        "of each operation by itself: caches can bring it above 100 %; a busy machine, whose ceilings are measured too "
        "low, can do so to arithmetic and launches too",
    ),
    cell_format.explained(
        cell_format.number("launches_share", "launches, %"),
        "of eager code; on a GPU the time that the host takes to issue a step, compiled or not",
    ),
    cell_format.explained(_if_any("kernels", "kernels", 0), "counted on the GPU, with its copies and fills"),
    _if_any("issue_ms", "issuing a step, ms", 2),
    cell_format.explained(_if_any("busy_share", "GPU busy, %", 0), "while at least one kernel runs"),
    cell_format.printed(cell_format.number("parameters", "parameters, M", 1, 1e6)),
    cell_format.explained(
        cell_format.number("flops", "FLOPs, G", 2, 1e9),
        "of all passes; of a training step with the backward pass",
    ),
    cell_format.number("views", "views"),
    cell_format.explained(
        cell_format.marked(cell_format.number("joules_per_image", "energy, J", 3), "busy"),
        "of the whole GPU, whoever uses it",
    ),
    cell_format.number("compile_s", "compiling, s", 1),
    cell_format.explained(
        cell_format.words("conditions", "throttling"),
        "what may have lowered the rate: the device's clocks, more running processes than cores, other processes on "
        "the GPU, or a rate that was not steady after the warm-up",
    ),
    cell_format.text("hardware"),
)
NOTE = (
    "Images/s: median source images per second of compute alone, over blocks and repeats. Rates in different parts, of "
    "another device, backbone or size, may not be compared."
)
PARTS_COLUMNS = (
    *NAMES,
    cell_format.words("part", compact=True),
    cell_format.number("milliseconds", "ms", 2, compact=True),
    cell_format.number("share", "%", 1, compact=True),
    cell_format.text("hardware"),
)
PARTS_NOTE = "Median milliseconds of each part of a step. Input overlaps with the step where images are prefetched."
OPERATION_COLUMNS = (
    *NAMES,
    cell_format.words("name", "operation", compact=True),
    cell_format.number("milliseconds", "ms", 2, compact=True),
    cell_format.number("share", "%", 1, compact=True),
    cell_format.number("calls", "calls", 0),
    cell_format.text("hardware"),
)
OPERATION_NOTE = "Milliseconds of one step in each kind of operation, by torch.profiler, whose own cost is included."
