"""Records -> tables. Each is a DataFrame of numbers with the columns in which people see it; pure functions, no files.

Accuracies, their spreads and the calibration error are in percent, rates in source images per second, memory in
bytes. What is not there is NaN or None here, a dash when shown, and a row with the reason in the table `missing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from reports import cell_format
from reports.cell_format import percent
from reports.comparisons import WHOLE, arenas
from reports.contents import Table
from reports.groups import NAMED, Group, groups, hardware_name, job, selected, value_of
from reports.matching import Profiled, common_hardware, matching_profile
from reports.predictions import NOTHING_STORED, PredictionCache, Predictions
from reports.statistics import Interval, bootstrap, over_seeds
from reports.tables import columns
from results.record import SELECTIONS, Record, Selection
from results.speed import Mode

HEADLINE: Selection = "last"
_COSTS: Mapping[Mode, str] = {"inference": "inference", "train": "train_step"}
"""Mode of a profile -> how its columns begin."""


def head_to_head(records: Iterable[Record], answers: PredictionCache = NOTHING_STORED) -> Table:
    """One row per experiment: the three accuracies over its seeds, and what it costs.

    With the stored `answers`, the interval of the headline is over images and seeds, else over seeds alone.
    """
    records = list(records)
    profiles = [record for record in records if job(record) == "profile"]
    hardware = common_hardware(profiles)
    found = groups(records)
    arena = {id(group): str(arena) for arena, members in arenas(found).items() for group in members}
    rows = [
        _head_row(group, matching_profile(group, profiles, hardware), answers) | {"arena": arena[id(group)]}
        for group in found
    ]
    frame = sorted_frame(rows, ["dataset", "protocol", "last_top1"], descending=["last_top1"])
    return Table("head_to_head", "Head to head", frame, columns.HEAD_COLUMNS, columns.HEAD_NOTE)


def whole_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows with `method` and `variant`, those of whole methods; variants of one that is not there as a whole."""
    if rows.empty:
        return rows
    whole = rows["variant"] == WHOLE
    return rows[whole | ~rows["method"].isin(rows["method"][whole])]


def runs(records: Iterable[Record]) -> Table:
    """One row per Run, whatever became of it."""
    rows = [
        {"run": record.id, "status": record.status, "job": job(record)}
        | {key: value_of(record, key) for key in (*NAMED, "seed")}
        | {selection: percent(_top1(record, selection)) for selection in SELECTIONS}
        | {"minutes": record.seconds / 60, "resumed": record.resumed, "commit": record.commit, "clean": record.clean}
        | {"hardware": hardware_name(record), "error": record.error}
        for record in records
    ]
    return Table("runs", "Runs", sorted_frame(rows, ["run"]), columns.RUN_COLUMNS)


def paper(records: Iterable[Record], answers: PredictionCache = NOTHING_STORED) -> Table:
    """The published value beside ours: one row per experiment and published row of top-1 that it answers.

    The published value is covered if it lies in our interval, which one seed does not have; a recipe that was changed
    by hand covers nothing.
    """
    rows = []
    for group in groups(records):
        published = {str(row): row for record in group.records for row in record.published}
        for row in published.values():
            if row.get("metric", "top1") == "top1" and row.get("value") is not None:
                rows.append(_paper_row(group, row, answers))
    frame = sorted_frame(rows, ["method", "dataset", "variant", "backbone"])
    return Table("paper", "Paper against ours", frame, columns.PAPER_COLUMNS, columns.PAPER_NOTE)


def _paper_row(group: Group, published: Mapping[str, Any], answers: PredictionCache) -> dict[str, Any]:
    ours = accuracies(group, answers)
    value = float(published["value"])
    changed = _told(record.changed for record in group.records)
    low, high, last, best = (ours[key] for key in ("last_top1_low", "last_top1_high", "last_top1", "best_on_test_top1"))
    return (
        group.names
        | {f"published_{key}": published.get(key) for key in ("variant", "input_size", "table", "source", "verified")}
        | {"published": value, "seeds": len(group.done)}
        | ours
        | {
            "difference": None if last is None else last - value,
            "best_difference": None if best is None else best - value,
        }
        | {"covered": None if low is None or high is None or changed else low <= value <= high}
        | {"changed": changed, "deviations": _told(record.deviations for record in group.records)}
    )


def _told(several: Iterable[list[str]]) -> str | None:
    """What Runs say of themselves, each sentence once; None if they say nothing."""
    return "; ".join(dict.fromkeys(chain.from_iterable(several))) or None


def _head_row(group: Group, profiled: Profiled, answers: PredictionCache) -> dict[str, Any]:
    last = {
        f"last_{name}": [percent(getattr(metrics, name)) for metrics in group.metrics(HEADLINE)]
        for name in ("top5", "mean_class", "calibration_error")
    }
    model = {**(_first(profiled).model if profiled else {}), **(group.done[0].model if group.done else {})}
    return (
        group.names
        | {"epochs": (group.records[0].run.get("recipe") or {}).get("epochs")}
        | {"seeds": len(group.done), "failed": len(group.records) - len(group.done)}
        | {"runs": " ".join(record.id for record in group.records)}
        | accuracies(group, answers)
        | {key: value for name, values in last.items() for key, value in estimate(name, values).items()}
        | {key: model.get(key) for key in ("views", "parameters", "flops")}
        | _training_rate(group)
        | _cost(profiled)
    )


def accuracies(group: Group, answers: PredictionCache = NOTHING_STORED) -> dict[str, Any]:
    """The three accuracies over the group's seeds: mean, spread, interval, count; what the headline's is over."""
    values: dict[str, Any] = {}
    for selection in SELECTIONS:
        values |= estimate(f"{selection}_top1", [percent(metrics.top1) for metrics in group.metrics(selection)])
    values["last_top1_over"] = None if values["last_top1_low"] is None else cell_format.SEEDS_ALONE
    return values | _bootstrapped(values["last_top1_n"], answers.of(group))


def _bootstrapped(count: int, answered: Predictions) -> dict[str, Any]:
    """Intervals of the headline: of the method if there are several seeds, and of these very models."""
    found: dict[str, Any] = {f"last_top1_images_{end}": None for end in ("low", "high")}
    if answered.images is None or len(answered.seeds) != count:
        return found
    draws = answered.draws(answered.seeds)
    top1 = answered.right(answered.seeds).mean(axis=0)
    found |= _ends("last_top1_images", bootstrap(top1.mean(keepdims=True), draws.mean(axis=1, keepdims=True)))
    over_both = bootstrap(top1, draws) if count > 1 else None
    if over_both:
        found |= _ends("last_top1", over_both) | {"last_top1_over": "images and seeds"}
    return found


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    """The interval's columns, in percent and within the scale."""
    ends = (interval.low, interval.high) if interval else (None, None)
    low, high = (None if end is None else min(max(100 * end, 0.0), 100.0) for end in ends)
    return {f"{name}_low": low, f"{name}_high": high}


def estimate(name: str, percents: Sequence[float | None]) -> dict[str, Any]:
    """The columns that show a value over seeds: mean, spread, interval, count."""
    summary = over_seeds([percent for percent in percents if percent is not None])
    spread = {f"{name}_{key}": getattr(summary, key) for key in ("sd", "n")}
    # Of few seeds Student's interval is so wide that it would leave the scale.
    low, high = (None if end is None else min(max(end, 0.0), 100.0) for end in (summary.low, summary.high))
    return {name: summary.mean, f"{name}_low": low, f"{name}_high": high} | spread


def _training_rate(group: Group) -> dict[str, Any]:
    """End to end, as the Runs themselves measured it, with the slowest and the fastest seed.

    A mean over different devices would describe neither; hosts of one kind that are busy to different degrees are told
    by the range.
    """
    measured = [record for record in group.done if "images_per_s" in record.training]
    devices = {hardware_name(record) for record in measured}
    rates = [record.training["images_per_s"] for record in measured] if len(devices) == 1 else []
    told = {"": over_seeds(rates).mean, "_low": min(rates, default=None), "_high": max(rates, default=None)}
    columns = {f"training_images_per_s{end}": rate for end, rate in told.items()}
    return columns | {"trained_on": "; ".join(sorted(str(device) for device in devices)) or None}


def _cost(profiled: Profiled) -> dict[str, Any]:
    cost: dict[str, Any] = {}
    for mode, name in _COSTS.items():
        cell = profiled.get(mode)
        cost[f"{name}_images_per_s"] = cell.rate if cell else None
        ends = (cell.noise if cell else None) or (None, None)
        cost |= {f"{name}_images_per_s_{end}": rate for end, rate in zip(("low", "high"), ends, strict=True)}
        cost[f"{name}_peak_memory"] = cell.peak_memory if cell else None
    first = _first(profiled) if profiled else None
    told = [f"batch {first.run.get('batch_size')}", str(first.run.get("precision"))] if first else []
    cost["profiled_on"] = hardware_name(first) if first else None
    runs = dict.fromkeys(record.id for cell in profiled.values() for record in cell.records)
    return cost | {"profiled_as": ", ".join(told) or None, "profile_runs": " ".join(runs) or None}


def _first(profiled: Profiled) -> Record:
    return next(iter(profiled.values())).records[0]


def _top1(record: Record, selection: Selection) -> float | None:
    found = selected(record, selection)
    return found.top1 if found else None


def sorted_frame(
    rows: Sequence[Mapping[str, Any]], order: Sequence[str], descending: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows ordered by columns that may hold words, numbers and nothing at once; nothing comes last."""
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    for key in reversed(order):
        comparable = frame[key] if is_numeric_dtype(frame[key]) else frame[key].map(str, na_action="ignore")
        frame = frame.loc[comparable.sort_values(kind="stable", ascending=key not in descending).index]
    return frame.reset_index(drop=True)
