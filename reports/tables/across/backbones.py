"""Methods by backbone: how accurate each method is on each backbone, and what it gains there over the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import cell_format
from reports.cell_format import DASH, SOURCES, Column, Row
from reports.comparisons import BASELINE, WHOLE, ComparisonGroup, across_backbones, contestants, uncut
from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import Group
from reports.names import IDS, Names
from reports.predictions import PredictionCache
from reports.statistics import over_seeds
from reports.tables.accuracies import HEADLINE
from reports.tables.paired import COMPARED, WORDS, compared, decided, verdict
from results.pretraining import described
from results.settings import method_label

CELL = (
    "top1",
    "seeds",
    "gain",
    "gain_low",
    "gain_high",
    "gain_seeds",
    "p_holm",
    "p_bootstrap_holm",
    "verdict",
    "reason",
)
"""Of each backbone, a row's columns, each with the backbone's name behind it (`key`). `verdict`: 1 better than the
baseline, -1 worse, 0 open, None without a test."""
NO_BASELINE = f"no finished {BASELINE} on any of the backbones"
"""Reason for which no cell of a comparison has a gain."""
Weights = tuple[str, str]
"""Backbone and its weights, as `Run.backbone` and `Run.pretrained`."""


@dataclass(frozen=True)
class _Cell:
    """One method on one backbone."""

    group: Group
    weights: Weights
    settings: str
    """What distinguishes it from others of its name on the backbone; empty if there are none."""
    gain: Mapping[str, Any]
    """As `compared` and `decided` have it, over the baseline."""

    @property
    def row(self) -> tuple[str, str, str]:
        """Which row of the table it belongs to."""
        return self.group.run.method, self.group.run.variant, self.settings

    @property
    def values(self) -> dict[str, Any]:
        """The row's columns, `CELL`."""
        top1 = over_seeds([100 * metrics.top1 for metrics in self.group.metrics(HEADLINE)])
        gain = self.gain
        return {
            "top1": top1.mean,
            "seeds": top1.n,
            "gain": gain["difference"],
            "gain_low": gain["difference_low"],
            "gain_high": gain["difference_high"],
            "gain_seeds": gain["seeds"],
            "verdict": verdict(gain, gain["first"]),
        } | {key: gain[key] for key in ("p_holm", "p_bootstrap_holm", "reason")}


def backbones(evidence: Evidence, shown: Callable[[Group], bool] = lambda group: True) -> Table:
    """One row per method, one column per backbone and its weights, wherever methods met on several backbones by the
    same recipe.

    The correction is over all pairs of a method and the baseline on the same backbone, however few of them are `shown`:
    a verdict does not depend on the page it stands on. Variants of the baseline, such as classifiers on frozen
    features, have rows of their own.
    """
    found = {
        shared: [cell for cell in _cells(columns, evidence.predictions) if shown(cell.group)]
        for shared, columns in across_backbones(evidence.comparisons).items()
    }
    name_of = names(dict.fromkeys(cell.weights for cells in found.values() for cell in cells))
    rows = [row for shared, cells in found.items() for row in _rows(shared, cells, name_of)]
    headings = names(name_of, evidence.names)
    columns = [_column(name, headings[one], one[1], place) for place, (one, name) in enumerate(name_of.items())]
    return Table("backbones", "Methods by backbone", rows, (*COLUMNS, *columns), NOTE, split=("arena",))


def key(what: str, name: str) -> str:
    """The column of `CELL` of the backbone with this name."""
    return f"{what} {name}"


def gains_of(part: Table) -> dict[str, list[dict[str, Any] | None]]:
    """Heading of each backbone in the table or a part of it -> the columns `CELL` of each row; None without a gain."""
    found: dict[str, list[dict[str, Any] | None]] = {}
    for column in part.columns:
        if not column.naming:
            name = column.key.removeprefix(key("top1", ""))
            cells = [{what: row[key(what, name)] for what in CELL} for row in part.rows]
            found[column.heading] = [cell if cell["gain"] is not None else None for cell in cells]
    return found


def names(every: Iterable[Weights], shown: Names = IDS) -> dict[Weights, str]:
    """The network's name, or that of its weights where the table has several of one network."""
    every = list(every)
    networks = [network for network, _ in every]
    found = {}
    for network, pretrained in every:
        name, weights = shown.backbone(network), pretrained.removesuffix(".safetensors")
        tagged = weights.startswith(f"{network}.")
        whole = f"{name}{weights.removeprefix(network)}" if tagged else f"{name} from {weights}"
        found[network, pretrained] = name if networks.count(network) == 1 else whole
    return found


def _cells(columns: Mapping[ComparisonGroup, Sequence[Group]], predictions: PredictionCache) -> Iterator[_Cell]:
    """Every method on every backbone, tested against the baseline there: one family for the correction."""
    every = [
        (shared, group, members)
        for shared, some in columns.items()
        for members in [_rows_of(some)]
        for group in members
    ]
    gains = decided([_gain(group, members, predictions) for _, group, members in every])
    if not any(_is_baseline(group) and group.done for _, group, _ in every):
        gains = [gain | {"reason": NO_BASELINE} for gain in gains]
    for (shared, group, members), gain in zip(every, gains, strict=True):
        namesakes = [one for one in members if _name(one) == _name(group)]
        settings = group.settings if len(namesakes) > 1 else ""
        yield _Cell(group, (shared.backbone, shared.pretrained), settings, gain)


def _rows_of(members: Sequence[Group]) -> list[Group]:
    """The contestants of a comparison group, and the baseline's variants."""
    found = contestants(members)
    return found + [one for one in uncut(members) if one.run.method == BASELINE and one not in found]


def _name(group: Group) -> tuple[str, str]:
    return group.run.method, group.run.variant


def _gain(group: Group, members: Sequence[Group], predictions: PredictionCache) -> dict[str, Any]:
    """As `compared`, over the baseline among the `members`, or with the reason why there is none."""
    told: dict[str, Any] = dict.fromkeys(COMPARED) | {"first": "method", "second": BASELINE, "seeds": 0}
    if _is_baseline(group):
        return told
    baselines = [one for one in members if _is_baseline(one)]
    if not any(one.done for one in baselines):
        return told | {"reason": f"no finished {BASELINE} on this backbone"}
    if len(baselines) > 1:
        return told | {"reason": f"several experiments of {BASELINE} on this backbone"}
    return told | compared(predictions.of(group), predictions.of(baselines[0]))


def _is_baseline(group: Group) -> bool:
    return _name(group) == (BASELINE, WHOLE)


def _rows(shared: ComparisonGroup, cells: Sequence[_Cell], name_of: Mapping[Weights, str]) -> list[dict[str, Any]]:
    """The baseline, its variants, then the other methods, those that gain most first."""
    together: dict[tuple[str, str, str], dict[Weights, _Cell]] = {}
    for cell in cells:
        together.setdefault(cell.row, {})[cell.weights] = cell
    place = {name: getattr(shared, name) for name in ("dataset", "protocol", "input", "epochs")} | {
        "arena": str(shared)
    }
    family = next((cell.gain["family"] for cell in cells if cell.gain["family"]), None)

    def order(row: tuple[str, str, str]) -> tuple[Any, ...]:
        gains = [cell.gain["difference"] for cell in together[row].values() if cell.gain["difference"] is not None]
        mean = sum(gains) / len(gains) if gains else float("-inf")
        return row[0] != BASELINE, row[:2] != (BASELINE, WHOLE), -mean, row

    rows = []
    for method, variant, settings in sorted(together, key=order):
        by_weights = together[method, variant, settings]
        row = place | {
            "method": method_label(method, variant),
            "variant": variant,
            "settings": settings,
            "family": family,
        }
        row[SOURCES] = tuple(by_weights[one].group.ids if one in by_weights else () for one in name_of)
        for weights, name in name_of.items():
            values = by_weights[weights].values if weights in by_weights else dict.fromkeys(CELL)
            row |= {key(what, name): values[what] for what in CELL}
        rows.append(row)
    return rows


def _column(name: str, heading: str, pretrained: str, place: int) -> Column:
    """`90.2, +2.6 better`: accuracy, gain, verdict. Blank where the method was not trained on the backbone."""

    def show(row: Row) -> str:
        cell = {what: row[key(what, name)] for what in CELL}
        if cell["seeds"] is None:
            return ""
        if cell["top1"] is None:
            return DASH
        top1 = f"{cell['top1']:.1f}{cell_format.alone(cell['seeds'])}"
        if row["method"] == BASELINE or cell["reason"] == NO_BASELINE:
            return top1
        gain = cell_format.signed("gain", "").show(cell)
        alone = cell_format.alone(cell["gain_seeds"]) if cell["seeds"] > 1 else ""
        return f"{top1}, {gain}{WORDS[cell['verdict']]}{alone}"

    about = f"{heading}: {described(pretrained)}"
    return Column(about, show, compact=True, marks=(cell_format.ONCE,), source=place, key=key("top1", name))


COLUMNS = (cell_format.text("method", compact=True), cell_format.text("settings", compact=True))
NOTE = (
    f"Last-epoch top-1, %, mean over seeds, and the gain over {BASELINE} on the same backbone in points, on the same "
    "images and seeds. Better and worse: by both tests of the paired comparison, but corrected for all pairs with "
    f"{BASELINE} in the table, so the two may decide a pair differently; open: not shown to differ. A dash in place "
    "of a gain: the table of missing values says why. Behind each backbone: what its weights were trained on, by their "
    "name; the table of pretraining has overlaps with the test sets that are known."
)
