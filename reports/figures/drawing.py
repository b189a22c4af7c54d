"""A figure that is to be drawn, and which kinds there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from reports.cell_format import BUSY_FOOTNOTE

KINDS = {
    "throughput": "Accuracy against throughput",
    "training_time": "Accuracy over training time",
    "ranks": "Average ranks over datasets",
    "gains": "Gain on each backbone",
    "curves": "Accuracy over the epochs",
    "losses": "Training loss",
    "calibration": "Calibration",
    "per_class": "Accuracy by class",
    "confused": "Most confused classes",
    "published": "Published and ours",
    "ablation": "Ablation",
    "batch_sweep": "Throughput over batch size",
    "roofline": "Roofline",
    "memory": "Memory of a training step",
}
"""Kind -> what its figures show."""


@dataclass(frozen=True)
class Drawing:
    """`draw(*arguments)` gives the figure, or None if there is nothing to see."""

    kind: str
    heading: str
    """What is compared."""
    draw: Callable[..., Figure | None]
    arguments: tuple[Any, ...]
    told: str = ""
    """What it shows, in sentences."""
    busy: bool = False
    """Whether it has marked rates, which were measured while other work ran."""
    shown: str = ""
    """What people read in the place of `heading`, whose ids name the file; empty if it is the same."""

    @property
    def title(self) -> str:
        """Kind and heading."""
        return f"{KINDS[self.kind]}: {self.shown or self.heading}"

    @property
    def caption(self) -> str:
        """What stands below it: what it shows, and what the mark means."""
        return f"{self.told} {BUSY_FOOTNOTE}.".strip() if self.busy else self.told
