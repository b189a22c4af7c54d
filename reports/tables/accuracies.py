"""What tables of accuracies share: the columns that name an experiment, and its accuracy over seeds.

Accuracies and their spreads are in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports import cell_format
from reports.cell_format import percent
from reports.evidence import Evidence
from reports.groups import Group
from reports.predictions import Predictions
from reports.statistics import bootstrap, over_seeds
from results.record import SELECTIONS, Selection

HEADLINE: Selection = "last"
NAMES = (
    cell_format.text("method", compact=True),
    cell_format.text("variant", compact=True),
    cell_format.text("backbone", compact=True),
    cell_format.printed(cell_format.text("pretrained")),
    cell_format.size("input", "px", compact=True),
    cell_format.text("settings", compact=True),
)
ACCURACIES = (
    cell_format.headline(cell_format.printed(cell_format.estimate("last_top1", "top-1 last epoch, %", compact=True))),
    cell_format.explained(
        cell_format.printed(cell_format.interval("last_top1", "95 % interval", compact=True)),
        "for other test images and other seeds (bootstrap over both); where predictions are not stored, for other "
        "seeds on these images (Student-t, marked “seeds”); one seed has none",
    ),
    cell_format.explained(
        cell_format.estimate("validation_top1", "validation-selected, %", compact=True),
        "of the epoch that was best on held-out images; empty where only one epoch was evaluated",
    ),
    cell_format.explained(
        cell_format.estimate("best_on_test_top1", "best on test, %", compact=True),
        "the test set chose the epoch, which is optimistic; empty where only one epoch was evaluated",
    ),
)
PASSES = cell_format.explained(cell_format.number("views", "passes"), "of the network per test image")


def accuracies(group: Group, evidence: Evidence) -> dict[str, Any]:
    """The three accuracies over the group's seeds: mean, spread, interval and number, and what the headline's interval
    is over: images and seeds where predictions are stored, else seeds alone."""
    values: dict[str, Any] = {}
    for selection in SELECTIONS:
        values |= estimate(f"{selection}_top1", [percent(metrics.top1) for metrics in group.metrics(selection)])
    values["last_top1_over"] = None if values["last_top1_low"] is None else cell_format.SEEDS_ALONE
    return values | _bootstrapped(values["last_top1_n"], evidence.predictions.of(group))


def accuracies_of_readout(group: Group, name: str) -> dict[str, Any]:
    """The same of a read-out, which was scored with the last weights alone and whose predictions are not stored."""
    known = [record.readouts[name] for record in group.done if name in record.readouts]
    values: dict[str, Any] = {f"last_top1_images_{end}": None for end in ("low", "high")}
    for selection in SELECTIONS:
        values |= estimate(f"{selection}_top1", [percent(one.top1) for one in known] if selection == HEADLINE else [])
    return values | {"last_top1_over": None if values["last_top1_low"] is None else cell_format.SEEDS_ALONE}


def readout_of(published: Mapping[str, Any]) -> str | None:
    """The read-out that answers a published row, by its name; None if the method's prediction does."""
    name = (published.get("answered_by") or {}).get("readout")
    return None if name is None else str(name)


def estimate(name: str, percents: Sequence[float | None]) -> dict[str, Any]:
    """The columns that show a value over seeds: mean, spread, interval, number."""
    summary = over_seeds([percent for percent in percents if percent is not None])
    spread = {f"{name}_{key}": getattr(summary, key) for key in ("sd", "n")}
    # Student's interval of few seeds is so wide that it would leave the scale.
    return {name: summary.mean} | _ends(name, summary.low, summary.high) | spread


def _bootstrapped(count: int, predictions: Predictions) -> dict[str, Any]:
    """Intervals of the headline: of the method if there are several seeds, and of these very models."""
    found: dict[str, Any] = {f"last_top1_images_{end}": None for end in ("low", "high")}
    if predictions.images is None or len(predictions.seeds) != count:
        return found
    draws = predictions.draws(predictions.seeds)
    top1 = predictions.right(predictions.seeds).mean(axis=0)
    if over_images := bootstrap(top1.mean(keepdims=True), draws.mean(axis=1, keepdims=True)):
        found |= _ends("last_top1_images", percent(over_images.low), percent(over_images.high))
    if count > 1 and (over_both := bootstrap(top1, draws)):
        found |= _ends("last_top1", percent(over_both.low), percent(over_both.high))
        found |= {"last_top1_over": "images and seeds"}
    return found


def _ends(name: str, low: float | None, high: float | None) -> dict[str, float | None]:
    """The columns of an interval in percent, cut to the scale."""
    ends = {f"{name}_low": low, f"{name}_high": high}
    return {key: None if end is None else min(max(end, 0.0), 100.0) for key, end in ends.items()}
