"""Which epoch's weights count: the last, the best on the validation slice, the best on test."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from torch import Tensor

from benchmarks.training.evaluate import log_loss, top1
from results.record import Selection


@dataclass
class Choice:
    """The test logits of one epoch's weights, and why that epoch was chosen."""

    epoch: int
    logits: Tensor
    """(N, K) float32, over the whole test set in its order."""
    score: tuple[float, ...]
    """What the choice was made by, larger is better."""


def consider(
    chosen: MutableMapping[Selection, Choice], epoch: int, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> dict[str, float]:
    """Scores an epoch by the logits `(N, K)` and labels (N,) of the splits there are, and keeps it where it is chosen.

    The test set chooses nothing but `best_on_test`. Of equal epochs the earlier one stays.
    """
    test = logits["test"]
    scores = {"test_top1": top1(test, labels["test"])}
    found: dict[Selection, tuple[float, ...]] = {"last": (epoch,), "best_on_test": (scores["test_top1"],)}
    if "validation" in logits:
        scores["validation_top1"] = top1(logits["validation"], labels["validation"])
        # A small slice has many ties in accuracy; the likelihood decides among them.
        found["validation"] = scores["validation_top1"], -log_loss(logits["validation"], labels["validation"])
    for selection, score in found.items():
        if selection not in chosen or score > chosen[selection].score:
            chosen[selection] = Choice(epoch, test, score)
    return scores
