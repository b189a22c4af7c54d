"""Cells of profile Runs -> tables: what each costs, where the time of a step goes, and its costliest operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from reports import cell_format
from reports.cell_format import Column, percent
from reports.contents import Table
from reports.profile_cells import Cell, cells_of
from reports.tables.head_to_head import sorted_frame
from results.record import Record

ORDER = ["method", "variant", "backbone", "input", "precision", "compiled", "settings", "mode", "batch_size"]


def profile(records: Iterable[Record]) -> Table:
    """One row per cell and mode."""
    rows = [_row(cell) for cell in cells_of(records).values()]
    best: dict[str, float] = {}
    for row in rows:
        best[_but_batch(row)] = max(row["images_per_s"] or 0.0, best.get(_but_batch(row), 0.0))
    plain = {_but_method(row): row for row in rows if (row["method"], row["variant"]) == PLAIN}
    for row in rows:
        alone = sum(_but_batch(row) == _but_batch(other) for other in rows) == 1
        rate = row["images_per_s"]
        row["of_best"] = None if alone or rate is None else 100 * rate / best[_but_batch(row)]
        bare = None if (row["method"], row["variant"]) == PLAIN else plain.get(_but_method(row))
        row.update(_of_plain(row, bare) if bare else dict.fromkeys(("of_plain", "of_plain_open")))
    return Table("profile", "Profile", sorted_frame(rows, ORDER), COLUMNS, NOTE)


def _row(cell: Cell) -> dict[str, Any]:
    low, high = cell.noise or (None, None)
    rates = [speed.images_per_s for speed in cell.speeds]
    shares = cell.first("shares") or {}
    memory = cell.first("memory") or {}
    model = cell.records[0].model
    return (
        cell.names
        | {"images_per_s": cell.rate, "images_per_s_p10": low, "images_per_s_p90": high, "repeats": len(cell.records)}
        | {"spread": 100 * (max(rates) - min(rates)) / cell.rate if cell.rate and len(rates) > 1 else None}
        | {"exceeded": cell.exceeded, "peak_memory": cell.peak_memory}
        | {field: cell.first(field) for field in FIELDS}
        | {f"{phase}_memory": memory.get(phase) for phase in PHASES}
        | {f"{resource}_share": percent(shares.get(resource)) for resource in RESOURCES}
        | {"bound": _bound(shares), "conditions": cell.conditions}
        | {"views": model.get("views"), "parameters": model.get("parameters")}
        | {"flops": cell.first("flops") or (model.get("flops") if cell.mode == "inference" else None)}
    )


def _bound(shares: Mapping[str, float]) -> str | None:
    """The resource that takes half of the step or more; without one, which comes nearest."""
    if len(shares) < 2:
        return None  # of compiled code one share alone is known, which is no more than it is
    most = max(shares, key=shares.__getitem__)
    told = f"{100 * shares[most]:.0f} %"
    return f"{most}, {told}" if shares[most] >= HALF else f"none ({most} {told})"


def _of_plain(row: Mapping[str, Any], bare: Mapping[str, Any]) -> dict[str, Any]:
    """The share, and whether it is open which of the two is faster: their ranges meet, or one was measured only once,
    which tells no range of what the host does between measurements."""
    both = (row, bare)
    if not all(one["images_per_s"] for one in both):
        return dict.fromkeys(("of_plain", "of_plain_open"))
    meet = max(one["images_per_s_p10"] for one in both) <= min(one["images_per_s_p90"] for one in both)
    once = min(one["repeats"] for one in both) == 1
    return {"of_plain": 100 * row["images_per_s"] / bare["images_per_s"], "of_plain_open": bool(meet or once)}


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
)
PHASES = ("weights", "gradients", "optimizer", "activations")
HALF = 0.5
"""Share of a step from which a resource is said to bound it."""
PLAIN = ("plain", "paper")
"""The backbone with a linear classifier, in whose share of speed the others are told."""
RESOURCES = ("arithmetic", "memory", "launches")


def _but_batch(row: dict[str, Any]) -> str:
    return _names(row, "batch_size")


def _but_method(row: dict[str, Any]) -> str:
    return _names(row, "method", "variant")


def _names(row: dict[str, Any], *left_out: str) -> str:
    return json.dumps([row[key] for key in ORDER if key not in left_out] + [row["hardware"]], default=str)


def parts(records: Iterable[Record]) -> Table:
    """One row per part of a step, for the cells that were looked into."""
    rows = []
    for cell in cells_of(records).values():
        found: dict[str, float] = cell.first("breakdown") or {}
        total = sum(found.values())
        rows += [
            cell.names | {"part": part, "milliseconds": spent, "share": 100 * spent / total}
            for part, spent in found.items()
        ]
    frame = sorted_frame(rows, [*ORDER, "milliseconds"], descending=["milliseconds"])
    return Table("parts", "Where the time of a step goes", frame, PARTS_COLUMNS, PARTS_NOTE)


def operations(records: Iterable[Record]) -> Table:
    """One row per costly operation, for the cells that were looked into."""
    rows = [
        cell.names | operation.model_dump() | {"share": 100 * operation.share}
        for cell in cells_of(records).values()
        for operation in cell.first("operations") or ()
    ]
    frame = sorted_frame(rows, [*ORDER, "milliseconds"], descending=["milliseconds"])
    return Table("operations", "The costliest operations of a step", frame, OPERATION_COLUMNS, OPERATION_NOTE)


def _if_any(key: str, heading: str, digits: int, roughly: str = "") -> Column:
    """A number, blank where there is none, so that a table without repeats, or without a sweep, has no such column.

    `roughly` names a truth value by which it is marked.
    """

    def show(row: cell_format.Row) -> str:
        if cell_format.absent(row[key]):
            return ""
        return ("≈ " if roughly and row[roughly] else "") + f"{row[key]:.{digits}f}"

    return Column(heading, show, compact=True)


def _memory(row: cell_format.Row) -> str:
    if not cell_format.absent(row["exceeded"]):
        return f"> {row['exceeded'] / cell_format.GIB:.2f}"
    return cell_format.number("peak_memory", "", 2, cell_format.GIB).show(row)


NAMES = (
    *(cell_format.text(key, compact=True) for key in ("method", "variant", "backbone")),
    cell_format.size("input", "px", compact=True),
    cell_format.text("mode", compact=True),
    cell_format.text("precision", compact=True),
    cell_format.text("compiled", compact=True),
    cell_format.text("settings", compact=True),
    cell_format.size("batch_size", "batch", compact=True),
)
COLUMNS = (
    *NAMES,
    cell_format.number("images_per_s", "images/s", compact=True),
    cell_format.number("images_per_s_p10", "p10"),
    cell_format.number("images_per_s_p90", "p90"),
    cell_format.number("repeats", "repeats"),
    _if_any("spread", "spread, %", 1),
    _if_any("of_plain", "of plain, %", 0, "of_plain_open"),
    _if_any("of_best", "of best batch, %", 0),
    cell_format.number("passes", "passes", 1, compact=True),
    cell_format.number("input_images_per_s", "input alone, images/s"),
    cell_format.number("end_to_end_images_per_s", "end to end, images/s"),
    cell_format.number("latency_ms", "latency, ms", 2, compact=True),
    cell_format.number("latency_ms_p95", "latency p95", 2),
    cell_format.number("latency_ms_p99", "latency p99", 2),
    Column("memory, GiB", _memory, compact=True),
    cell_format.number("peak_reserved", "reserved, GiB", 2, cell_format.GIB),
    *(cell_format.number(f"{phase}_memory", f"{phase}, GiB", 3, cell_format.GIB) for phase in PHASES),
    _if_any("largest_batch", "largest batch", 0),
    cell_format.words("bound", "bound by", compact=True),
    cell_format.number("arithmetic_share", "arithmetic, %"),
    cell_format.number("memory_share", "memory traffic, %"),
    cell_format.number("launches_share", "launches, %"),
    cell_format.printed(cell_format.number("parameters", "parameters, M", 1, 1e6)),
    cell_format.printed(cell_format.number("flops", "FLOPs, G", 2, 1e9)),
    cell_format.number("views", "views"),
    cell_format.number("joules_per_image", "energy, J", 3),
    cell_format.number("compile_s", "compiling, s", 1),
    cell_format.words("conditions", "held down by"),
    cell_format.text("hardware"),
)
NOTE = (
    "Median source images per second of compute alone, over blocks and repeats; p10 and p90 are the outermost of any "
    "repeat, spread is how far apart the repeats lie, in % of their median. Passes through a backbone per image are "
    "counted; FLOPs are those of all passes (training: with the backward pass). Latency is of one image alone. "
    "Memory: CUDA tensors at their peak, or what the process grew by; > is what did not suffice. Bound by: the "
    "resource for which the device, at its measured best, would need half of the step's time or more; none: there is "
    "no such, and the nearest is named. Launches are of eager code. Traffic counts each operation by itself: caches "
    "can bring it above 100 %, and a busy machine, whose ceilings are found too low, the others too. Of plain: of the "
    "plain backbone's rate in the same cell, ≈ where neither is shown to be faster: the ranges from p10 to p90 meet, "
    "or one of them was measured once. Of best batch: of the highest rate among the batch sizes of the same cell; a "
    "sweep ends where two doublings add less than 5 % in both modes. Held down by: throttling while it worked, more "
    "waiting processes than cores before it, or a rate that did not come to rest within the warm-up."
)
PARTS_COLUMNS = (
    *NAMES,
    cell_format.words("part", compact=True),
    cell_format.number("milliseconds", "ms", 2, compact=True),
    cell_format.number("share", "%", 1, compact=True),
    cell_format.text("hardware"),
)
PARTS_NOTE = "Median milliseconds of each part of a step. Input overlaps with the step where a feed reads ahead."
OPERATION_COLUMNS = (
    *NAMES,
    cell_format.words("name", "operation", compact=True),
    cell_format.number("milliseconds", "ms", 2, compact=True),
    cell_format.number("share", "%", 1, compact=True),
    cell_format.number("calls", "calls", 0),
    cell_format.text("hardware"),
)
OPERATION_NOTE = "Milliseconds of one step in each kind of operation, by torch.profiler, whose own cost is in them."
