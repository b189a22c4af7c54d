"""Logits and predictions of the test images, every metric from them, and which epoch's weights count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.training.listener import Listener
from benchmarks.training.networks.build_method import autocast
from datasets.interface import Dataset
from datasets.loading import augment
from datasets.loading.feed import Feed
from methods.interface import Method
from results.record import SELECTIONS, Metrics, Selection
from results.settings import Run

CALIBRATION_BINS = 15


@torch.inference_mode()
def logits_of(
    method: Method,
    feed: Feed,
    run: Run,
    listener: Listener,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Logits `(N, K)` float32 of a Run on the host, in the order of the feed's rows (the feed must not shuffle).

    `forward`: replaces the method's own, for instance by a compiled one.
    """
    method.eval()
    forward = forward or method
    parts = []
    for batch in feed.batches(epoch=0):
        images = augment.test_batch(batch, run.recipe.image_size, run.scaling)
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(feed.device, run.precision):
            parts.append(forward(images).float())
        listener.evaluated(len(batch))
    return torch.cat(parts).cpu()


@dataclass
class Beside:
    """What a method predicts of some images beside `forward`."""

    hits: dict[str, int]
    """How many of them each of `Method.branches` classifies right."""
    readouts: dict[str, Tensor]
    """Logits `(N, K)` float32 of each of `Method.readouts`, on the host."""


@torch.inference_mode()
def beside_forward(method: Method, feed: Feed, run: Run) -> Beside:
    """Branches and read-outs of the feed's images, in its order; nothing, at no cost, if the method has neither.

    Raises `ValueError` if the read-outs are not those of `readout_views`.
    """
    hits: dict[str, Tensor] = {}
    parts: dict[str, list[Tensor]] = {}
    overridden = [name for name in ("branches", "readouts") if getattr(type(method), name) is not getattr(Method, name)]
    method.eval()
    for batch in feed.batches(epoch=0) if overridden else ():
        images = augment.test_batch(batch, run.recipe.image_size, run.scaling)
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(feed.device, run.precision):
            branches = method.branches(images) if "branches" in overridden else {}
            readouts = method.readouts(images) if "readouts" in overridden else {}
        if not branches and not readouts:
            break
        for name, logits in branches.items():
            hits[name] = hits.get(name, 0) + (logits.argmax(dim=1) == batch.labels).sum()
        for name, logits in readouts.items():
            parts.setdefault(name, []).append(logits.float())
    if set(parts) != set(method.readout_views):
        named, given = (", ".join(one) or "nothing" for one in (method.readout_views, parts))
        raise ValueError(f"the method's readouts returned {given}; its readout_views name {named}")
    logits_by_name = {name: torch.cat(several).cpu() for name, several in parts.items()}
    return Beside({name: int(count) for name, count in hits.items()}, logits_by_name)


def checked(logits: Tensor, images: int, classes: int, what: str = "forward") -> Tensor:
    """The logits, if they have the shape `(images, classes)` of the contract. Raises `ValueError` otherwise."""
    if logits.shape != (images, classes):
        found = f"({', '.join(['B', *map(str, logits.shape[1:])])})" if len(logits) == images else tuple(logits.shape)
        raise ValueError(f"the method's {what} returned {found}; its contract asks for logits (B, {classes})")
    return logits


def metrics(logits: Tensor, labels: Tensor, epoch: int) -> Metrics:
    """Every accuracy of `results.record.Metrics` from logits `(N, K)` and labels `(N,)`."""
    log_probabilities = logits.double().log_softmax(dim=1)
    confidence, prediction = log_probabilities.exp().max(dim=1)
    correct = (prediction == labels).double()
    in_top5 = (_top5(logits) == labels[:, None]).any(dim=1).double()
    return Metrics(
        epoch=epoch,
        top1=correct.mean().item(),
        top5=in_top5.mean().item(),
        mean_class=_mean_class(correct, labels),
        calibration_error=_calibration_error(confidence, correct),
        log_loss=-log_probabilities.gather(1, labels[:, None]).mean().item(),
    )


def top1(logits: Tensor, labels: Tensor) -> float:
    """Share of images whose largest logit is that of their label."""
    return (logits.argmax(dim=1) == labels).double().mean().item()


def log_loss(logits: Tensor, labels: Tensor) -> float:
    """Mean negative log-likelihood, nats."""
    return torch.nn.functional.cross_entropy(logits.double(), labels).item()


def _top5(logits: Tensor) -> Tensor:
    return logits.topk(min(5, logits.shape[1]), dim=1).indices


def _mean_class(correct: Tensor, labels: Tensor) -> float:
    """Mean accuracy of the classes that have test images."""
    images = torch.bincount(labels).double()
    right = torch.bincount(labels, weights=correct)
    present = images > 0
    return (right[present] / images[present]).mean().item()


def _calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """Expected calibration error: |accuracy - confidence| over bins of equal width, weighted by their images.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3; bins are (lower, upper].
    """
    bins = (confidence * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    gap = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add_(0, bins, correct - confidence)
    return gap.abs().sum().item() / len(confidence)


@dataclass
class Choice:
    """The test logits of one epoch's weights, and why that epoch was chosen."""

    epoch: int
    logits: Tensor
    """(N, K) float32, over the whole test set in its order."""
    score: tuple[float, ...]
    """The criterion; the largest is chosen."""


def choose(
    chosen: MutableMapping[Selection, Choice], epoch: int, logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]
) -> dict[str, float]:
    """Scores an epoch by the logits `(N, K)` and labels `(N,)` of each split, and updates `chosen` where it is better.

    The test set decides nothing but `best_on_test`. Of equal epochs the earlier one stays. Returns the accuracies.
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


def prediction_table(dataset: Dataset, rows: np.ndarray, selected: dict[Selection, Tensor]) -> pd.DataFrame:
    """One row per selection and test image: image, label, prediction, confidence, log_loss, top5."""
    labels = dataset.labels[rows]
    tables = []
    for selection in SELECTIONS:
        if selection not in selected:
            continue
        logits = selected[selection]
        log_probabilities = logits.double().log_softmax(dim=1)
        confidence, prediction = log_probabilities.exp().max(dim=1)
        tables.append(
            pd.DataFrame(
                {
                    "selection": selection,
                    "image": [dataset.paths[row] for row in rows],
                    "label": labels.astype(np.int32),
                    "prediction": prediction.numpy().astype(np.int32),
                    "confidence": confidence.numpy().astype(np.float32),
                    "log_loss": -log_probabilities[torch.arange(len(rows)), labels].numpy().astype(np.float32),
                    "top5": _top5(logits).tolist(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
