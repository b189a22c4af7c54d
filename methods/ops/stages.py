"""The two steps in which bilinear networks are trained: the new layers on the frozen network, then everything.

Lin, RoyChowdhury, Maji, "Bilinear CNN Models for Fine-grained Visual Recognition", ICCV 2015, Section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from methods.interface import Phase

STAGES = {
    "classifier": Phase("classifier", trains=("head",), share=0.3),
    "all": Phase("all", share=0.7),
}
"""Their shares of a training with one number of epochs are near those of B-CNN's authors, 25 and 45 epochs."""


def phases_of(stages: Sequence[str]) -> tuple[Phase, ...]:
    """The named stages in order, with their shares of the whole. Raises `ValueError` for a name that there is not."""
    if not stages or not set(stages) <= set(STAGES):
        raise ValueError(f"stages are {list(stages)}; they must be among {', '.join(STAGES)}")
    whole = sum(STAGES[name].share for name in stages)
    return tuple(replace(STAGES[name], share=STAGES[name].share / whole) for name in stages)
