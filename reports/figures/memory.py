"""What the memory of a training step is spent on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from reports.cell_format import one_line
from reports.figures.style import entitle, in_bytes, style

REST = "rest of the peak"
PHASES = {
    "weights": ("#000000", ""),
    "gradients": ("#0072B2", "////"),
    "optimizer": ("#56B4E9", "...."),
    "activations": ("#E69F00", "\\\\\\\\"),
    REST: ("#FFFFFF", ""),
}
"""Phase -> its colour and hatch; from dark to light, so that grey tells them too."""


class Need(NamedTuple):
    """Bytes of a method's training step, phase by phase, and at its peak."""

    name: str
    phases: dict[str, int]
    peak: int


def memory_by_phase(needs: Sequence[Need], title: str) -> Figure | None:
    """A bar per method, stacked by phase, up to the peak; None if no method has phases."""
    needs = [need for need in needs if need.phases]
    if not needs:
        return None
    unit, word = in_bytes(max(need.peak for need in needs))
    with style():
        figure = Figure(figsize=(6.4, 1.4 + 0.34 * len(needs)), layout="constrained")
        axes = figure.add_subplot(xlabel=f"memory, {word}")
        places = np.arange(len(needs))[::-1]
        left = np.zeros(len(needs))
        for phase, (color, hatch) in PHASES.items():
            sizes = [
                need.peak - sum(need.phases.values()) if phase == REST else need.phases.get(phase, 0) for need in needs
            ]
            width = np.maximum(sizes, 0) / unit
            if width.any():
                edge = "#555555" if color == "#FFFFFF" else "white"
                axes.barh(
                    places, width, 0.62, left, color=color, hatch=hatch, edgecolor=edge, linewidth=0.6, label=phase
                )
            left += width
        for place, need, end in zip(places, needs, left, strict=True):
            axes.text(end, place, f" {need.peak / unit:.3g}", va="center", size=8)
        axes.set_yticks(places, [one_line(need.name) for need in needs])
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.1)
        figure.legend(loc="outside lower center", ncols=5, handlelength=1.6)
        entitle(figure, title)
    return figure
