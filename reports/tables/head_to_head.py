"""All experiments side by side: the accuracy of each, and what it costs.

Rates are in source images per second, memory is in bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reports import cell_format
from reports.cell_format import PART, SOURCES, Column, Row, percent
from reports.comparisons import WHOLE
from reports.contents import Table, sorted_rows
from reports.evidence import Evidence
from reports.groups import Group, hardware_name
from reports.load import overloaded
from reports.measurements import Cost
from reports.statistics import over_seeds
from reports.tables.accuracies import ACCURACIES, HEADLINE, NAMES, PASSES, accuracies, estimate
from reports.tables.cost.training_time import device_hours
from reports.tables.paired import Ids, Winners, decisions
from results.record import Record
from results.settings import ProfileRun
from results.speed import Mode

_COSTS: Mapping[Mode, str] = {"inference": "inference", "train": "train_step"}
"""Mode of a profile -> how its columns begin."""
Place = tuple[str, str]
"""Dataset and protocol."""
ALONE = "one experiment for each setting: not to be compared"
"""Heading of the experiments that nothing may be compared with."""
VARIANTS = "variants of these methods"
"""Heading of the variants of methods that are there as a whole."""
_BETWEEN_STEPS = ("evaluation", "checkpoint")
"""What a training does between its steps; `Record.training` has the seconds of each."""


def head_to_head(
    evidence: Evidence, pairs: Iterable[Row] = (), shown: Callable[[Group], bool] = lambda group: True
) -> Table:
    """One row per experiment that is `shown`: the three accuracies over its seeds, and what it costs.

    Each part has experiments that may be compared; those that nothing may be compared with stand together. The best are
    marked by the tests of `pairs`, rows of the table `paired`.
    """
    verdicts = decisions(pairs)
    compared: dict[Place, list[Row]] = defaultdict(list)
    alone: dict[Place, list[Row]] = defaultdict(list)
    headings = {f"{arena}, {VARIANTS}": f"{heading}, {VARIANTS}" for arena, heading in evidence.headings.items()}
    for shared, members in evidence.comparisons.items():
        rows = [_row(group, evidence) | {"arena": str(shared)} for group in members if shown(group)]
        place = shared.dataset, shared.protocol
        (compared if len(rows) > 1 else alone)[place] += _in_parts(rows, verdicts)
    for (dataset, protocol), several in alone.items():
        part = f"{dataset}, {protocol} recipe, {ALONE}"
        headings[part] = f"{evidence.names.dataset(dataset)}, {protocol} recipe, {ALONE}"
        together = {PART: part} if len(several) > 1 else {}
        ordered = sorted_rows(several, ["backbone", "input", "method", "variant"])
        compared[dataset, protocol] += [{**row, **together} for row in ordered]
    every = [row for place in sorted(compared) for row in compared[place]]
    return Table("head_to_head", "Head to head", every, COLUMNS, NOTE, (PART,), headings)


def _in_parts(rows: Sequence[Row], verdicts: Winners) -> Sequence[Row]:
    """Rows of one comparison, the most accurate first, each with its `PART` and whether it is among the `best`.

    Variants follow in a part of their own, unless all rows are of one method.
    """
    rows = sorted_rows(rows, ["last_top1"], descending=["last_top1"])
    whole = whole_methods(rows) if len({row["method"] for row in rows}) > 1 else rows
    best = _best(whole, verdicts)
    variants = [{**row, PART: f"{row['arena']}, {VARIANTS}", "best": False} for row in rows if row not in whole]
    return [{**row, PART: row["arena"], "best": trained_ids(row) in best} for row in whole] + variants


def _best(rows: Sequence[Row], verdicts: Winners) -> set[Ids]:
    """The experiment of the highest accuracy, and those that are not shown to be worse.

    What was not tested against the highest is not among them, and where nothing was, nor is the highest.
    """
    known = {trained_ids(row): row["last_top1"] for row in rows if row["last_top1"] is not None}
    top = max(known, key=known.__getitem__, default=())
    winners = {ids: verdicts[pair] for ids in known if (pair := frozenset({ids, top})) in verdicts}
    return {top, *(ids for ids, winner in winners.items() if winner != top)} if winners else set()


def trained_ids(row: Row) -> Ids:
    """Of the trained Runs, which come before the profile Runs of the row."""
    ids: Ids = row[SOURCES][0]
    return ids


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
        | {"epochs": group.epochs}
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
    columns["profile_repeats"] = min((len(one.records) for one in cost.values()), default=None)
    columns["profiled_on"] = measured.hardware if measured else None
    columns["profiled_as"] = _profiled_as(measured.run) if measured else None
    return columns


def _profiled_as(run: ProfileRun) -> str:
    return ", ".join([f"batch {run.batch_size}", run.precision, *run.ways])


_MEMORY = cell_format.number("inference_peak_memory", "inference memory, GiB", 2, cell_format.GIB)


def _rate(key: str, heading: str, compact: bool = False) -> Column:
    """A rate that the row's profile measured."""
    rate = cell_format.marked(cell_format.number(key, heading, compact=compact), "profile_busy")
    return cell_format.profiled(cell_format.once(rate, "profile_repeats"))


COLUMNS = (
    *NAMES,
    cell_format.size("epochs", "epochs", compact=True),
    cell_format.bold(ACCURACIES[0], "best"),
    ACCURACIES[1],
    cell_format.printed(cell_format.number("seeds", "seeds", compact=True)),
    *ACCURACIES[2:],
    PASSES,
    cell_format.number("failed", "failed"),
    cell_format.explained(
        cell_format.interval("last_top1_images", "95 % over images alone"),
        "for other test images and these very models",
    ),
    cell_format.estimate("last_top5", "top-5, %"),
    cell_format.estimate("last_mean_class", "mean class, %"),
    cell_format.estimate("last_calibration_error", "calibration error, %"),
    cell_format.explained(
        cell_format.marked(cell_format.rate("training_images_per_s", "training, images/s"), "training_busy"),
        "end to end, over the steps alone, without evaluations and checkpoints; with the range over seeds where they "
        "differ by more than a tenth",
    ),
    cell_format.explained(
        cell_format.marked(cell_format.number("training_hours", "training, device hours", 2), "training_busy"),
        "of the steps of one training, mean over seeds, times the devices that shared it",
    ),
    cell_format.number("evaluation_share", "evaluations, % of time", 1),
    cell_format.number("checkpoint_share", "checkpoints, % of time", 1),
    cell_format.text("trained_on", "trained on"),
    cell_format.explained(
        cell_format.printed(_rate("inference_images_per_s", "inference, images/s", compact=True)),
        "median of the repeats of the profile with the highest rate, from which the training step and memory come too; "
        "the last columns name its device, batch, precision and compiling",
    ),
    _rate("train_step_images_per_s", "training step, images/s"),
    cell_format.profiled(_MEMORY),
    cell_format.profiled(cell_format.number("train_step_peak_memory", "training memory, GiB", 2, cell_format.GIB)),
    cell_format.number("parameters", "parameters, M", 1, 1e6),
    cell_format.number("flops", "FLOPs, G", 1, 1e9),
    cell_format.text("profiled_on", "profiled on"),
    cell_format.text("profiled_as", "profiled as"),
)
NOTE = (
    "Top-1 of the last epoch is the headline: mean ± standard deviation over seeds, and a 95 % interval for other test "
    "images and seeds. Bold: the best, and what the paired comparison does not show to be worse; what was not tested "
    "against the best is not bold. Rows of different parts may not be compared."
)
