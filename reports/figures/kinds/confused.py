"""The pairs of classes that are confused most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from reports.classes import class_labels, class_name, confused
from reports.figures.colours import BETTER
from reports.figures.style import PAGE, new_figure, style

if TYPE_CHECKING:
    from reports.predictions import Predictions

PAIRS = 10
"""Shown in one figure."""
CAPTION = (
    f"The {PAIRS} pairs of classes with the largest share of a class's test images that are taken for the other class; "
    "beside each bar how many images of how many, mean over seeds."
)


@dataclass(frozen=True)
class Confusion:
    """Images of class `label` that are taken for `prediction`."""

    label: str
    prediction: str
    share: float
    """Of the class's images, `[0, 1]`, mean over seeds."""
    images: float
    """How many, mean over seeds."""
    of: int
    """Test images of the class."""


def confusions(predictions: Predictions, class_names: Sequence[str]) -> list[Confusion]:
    """The `PAIRS` with the largest share of a class's images, over all seeds; ties by the classes' order."""
    runs = list(predictions.by_seed.values())
    truth = np.concatenate([run.labels for run in runs])
    guess = np.concatenate([run.predictions for run in runs])
    images = np.bincount(truth)
    pairs, counts = confused(truth, guess)
    shares = counts / images[pairs[:, 0]]
    found = []
    for place in np.lexsort((-counts, -shares))[:PAIRS]:
        label, prediction = pairs[place].tolist()
        names = class_name(class_names, label), class_name(class_names, prediction)
        of = int(images[label] // len(runs))
        found.append(Confusion(*names, float(shares[place]), counts[place] / len(runs), of))
    return found


def most_confused(pairs: Sequence[Confusion]) -> Figure | None:
    """Bars of the share of a class's images that are taken for the other, in the order given; None without any."""
    if not pairs:
        return None
    with style():
        figure = new_figure(PAGE, 0.5 + 0.19 * len(pairs))
        axes = figure.add_subplot(xlabel="share of the class's test images, %")
        places = np.arange(len(pairs))[::-1]
        shares = [100 * pair.share for pair in pairs]
        axes.barh(places, shares, 0.66, color=BETTER)
        for place, pair, share in zip(places, pairs, shares, strict=True):
            axes.text(share, place, f" {pair.images:.3g} of {pair.of}", va="center")
        names = list(dict.fromkeys(name for pair in pairs for name in (pair.label, pair.prediction)))
        label_of = dict(zip(names, class_labels(names), strict=True))
        axes.set_yticks(places, [f"{label_of[pair.label]} → {label_of[pair.prediction]}" for pair in pairs])
        axes.set_ylim(-0.6, len(pairs) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.14)
    return figure
