"""All experiments side by side: the accuracy of each, and what it costs.

Rates are in source images per second, memory is in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports import cell_format
from reports.cell_format import SOURCES, Row, percent
from reports.comparisons import WHOLE
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import Group, hardware_name
from reports.load import overloaded
from reports.measurements import Cost
from reports.statistics import over_seeds
from reports.tables.accuracies import ACCURACIES, HEADLINE, INTERVAL_NOTE, NAMES, accuracies, estimate
from reports.tables.cost.training_time import device_hours
from results.record import Record
from results.settings import ProfileRun
from results.speed import Mode

_COSTS: Mapping[Mode, str] = {"inference": "inference", "train": "train_step"}
"""Mode of a profile -> how its columns begin."""
_BETWEEN_STEPS = ("evaluation", "checkpoint")
"""What a training does between its steps; `Record.training` has the seconds of each."""


def head_to_head(evidence: Evidence) -> Table:
    """One row per experiment: the three accuracies over its seeds, and what it costs."""
    comparison = {group: str(shared) for shared, members in evidence.comparisons.items() for group in members}
    rows = [_row(group, evidence) | {"arena": comparison[group]} for group in evidence.groups]
    rows = sorted_rows(rows, ["dataset", "protocol", "last_top1"], descending=["last_top1"])
    return Table("head_to_head", "Head to head", rows, COLUMNS, NOTE, split=("dataset", "protocol"))


def whole_methods(rows: Sequence[Row]) -> list[Row]:
    """The rows of whole methods, and the variants of each method that is not there as a whole."""
    whole = {row["method"] for row in rows if row["variant"] == WHOLE}
    return [row for row in rows if row["variant"] == WHOLE or row["method"] not in whole]


def _row(group: Group, evidence: Evidence) -> dict[str, Any]:
    cost = evidence.costs.of(group)
    profiles = tuple(dict.fromkeys(record.id for one in cost.values() for record in one.records))
    last = {
        f"last_{name}": [percent(getattr(metrics, name)) for metrics in group.metrics(HEADLINE)]
        for name in ("top5", "mean_class", "calibration_error")
    }
    measured = [one.records[0] for one in cost.values()][:1]
    model = {key: value for record in (*measured, *group.done[:1]) for key, value in record.model.items()}
    return (
        group.names
        | {SOURCES: (group.ids, profiles)}
        | {"epochs": group.run.recipe.epochs}
        | {"seeds": len(group.done), "failed": len(group.records) - len(group.done)}
        | {"runs": " ".join(group.ids)}
        | accuracies(group, evidence)
        | {key: value for name, values in last.items() for key, value in estimate(name, values).items()}
        | {key: model.get(key) for key in ("views", "parameters", "flops")}
        | _training_rate(group)
        | _cost(cost)
        | {"profile_runs": " ".join(profiles) or None}
    )


def _training_rate(group: Group) -> dict[str, Any]:
    """End to end, as the Runs themselves measured it, with the slowest and the fastest seed.

    A mean over different devices would describe neither. Hosts of one kind that are busy to different degrees show in
    the range.
    """
    measured = [record for record in group.done if "images_per_s" in record.training]
    devices = {hardware_name(record) for record in measured}
    rates = [record.training["images_per_s"] for record in measured] if len(devices) == 1 else []
    ends = {"": over_seeds(rates).mean, "_low": min(rates, default=None), "_high": max(rates, default=None)}
    columns = {f"training_images_per_s{end}": rate for end, rate in ends.items()}
    hours = [each for record in measured if (each := device_hours(record)) is not None]
    columns["training_hours"] = over_seeds(hours).mean if len(devices) == 1 else None
    columns["training_busy"] = any(map(overloaded, measured))
    columns |= {f"{name}_share": over_seeds(_shares(measured, f"{name}_seconds")).mean for name in _BETWEEN_STEPS}
    return columns | {"trained_on": "; ".join(sorted(str(device) for device in devices)) or None}


def _shares(records: Iterable[Record], key: str) -> list[float]:
    """The part of each Run's time that one of `_BETWEEN_STEPS` took, %; older records do not have it."""
    parts = ("seconds", *(f"{name}_seconds" for name in _BETWEEN_STEPS))
    known = [record.training for record in records if {key, "seconds"} <= record.training.keys()]
    whole = [sum(one.get(part, 0.0) for part in parts) for one in known]
    return [100 * one[key] / seconds for one, seconds in zip(known, whole, strict=True) if seconds > 0]


def _cost(cost: Cost) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for mode, name in _COSTS.items():
        one = cost.get(mode)
        low, high = (one.noise if one else None) or (None, None)
        columns[f"{name}_images_per_s"] = one.rate if one else None
        columns |= {f"{name}_images_per_s_low": low, f"{name}_images_per_s_high": high}
        columns[f"{name}_peak_memory"] = one.peak_memory if one else None
    measured = next(iter(cost.values()), None)
    columns["profile_busy"] = any(one.busy for one in cost.values())
    columns["profiled_on"] = measured.hardware if measured else None
    columns["profiled_as"] = _profiled_as(measured.run) if measured else None
    return columns


def _profiled_as(run: ProfileRun) -> str:
    return ", ".join([f"batch {run.batch_size}", run.precision, *run.ways])


_MEMORY = cell_format.number("inference_peak_memory", "inference memory, GiB", 2, cell_format.GIB)
_INFERENCE = cell_format.number("inference_images_per_s", "inference, images/s", compact=True)
_STEP = cell_format.number("train_step_images_per_s", "training step, images/s")
COLUMNS = (
    *NAMES,
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.printed(cell_format.number("views", "passes")),
    cell_format.number("seeds", "seeds", compact=True),
    cell_format.number("failed", "failed"),
    *ACCURACIES,
    cell_format.interval("last_top1_images", "95 % over images alone"),
    cell_format.estimate("last_top5", "top-5, %"),
    cell_format.estimate("last_mean_class", "mean class, %"),
    cell_format.estimate("last_calibration_error", "calibration error, %"),
    cell_format.marked(cell_format.rate("training_images_per_s", "training, images/s"), "training_busy"),
    cell_format.marked(cell_format.number("training_hours", "training, device hours", 2), "training_busy"),
    cell_format.number("evaluation_share", "evaluations, % of time", 1),
    cell_format.number("checkpoint_share", "checkpoints, % of time", 1),
    cell_format.text("trained_on", "trained on"),
    cell_format.profiled(cell_format.marked(_INFERENCE, "profile_busy")),
    cell_format.profiled(cell_format.marked(_STEP, "profile_busy")),
    cell_format.profiled(cell_format.printed(_MEMORY)),
    cell_format.profiled(cell_format.number("train_step_peak_memory", "training memory, GiB", 2, cell_format.GIB)),
    cell_format.printed(cell_format.number("parameters", "parameters, M", 1, 1e6)),
    cell_format.printed(cell_format.number("flops", "FLOPs, G", 1, 1e9)),
    cell_format.text("profiled_on", "profiled on"),
    cell_format.text("profiled_as", "profiled as"),
)
NOTE = (
    f"Mean ± standard deviation over seeds. {INTERVAL_NOTE} Over images alone: for other test images and these very "
    "models. Last epoch is the headline. Best on test lets the test set choose the epoch and is optimistic. Where only "
    "one epoch was evaluated nothing was selected, and both other columns are empty. Top-5, mean class and calibration "
    "error are of the last epoch. Training images/s are end to end, with the range over seeds where they differ by "
    "more than a tenth; they count the steps alone, and the time of evaluations and checkpoints stands beside them. "
    "Inference, training step and memory come from the profile of the highest inference rate, and its device, batch, "
    "precision and compiling are named; rates are the median of its repeats. Passes are those of the network "
    "per test image."
)
