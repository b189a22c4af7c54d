"""Scores a trained Run's attention over the whole test set, for its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.attention.attention_maps import AttentionMaps, centre_prior, compute_attention, peaks
from benchmarks.attention.frame import TOLERANCE, Frame, framed, original_sizes
from benchmarks.attention.measures import best_threshold, ceiling, measure, of_random_cells, on_parts
from benchmarks.environment import Environment
from datasets.curation.boxes import UnusableBoxes, require_usable
from datasets.interface import Dataset
from datasets.loading.feed import Feed
from datasets.loading.sources import Source, open_source
from methods.interface import Method
from results.localisation import Estimate, Localisation, PartHits
from results.resampling import CONFIDENCE, image_counts
from results.settings import Run

BATCH = 64
"""Images per forward pass: does not affect the result."""
WHOLE_IMAGE = 0.9
"""Boxes that cover this share of the frame or more, on average, are useless: nearly everything is inside them."""
THRESHOLD_IMAGES = 1000
"""Maximum number of training images on which the attention crop's threshold is chosen."""


@dataclass(frozen=True)
class AttentionScores:
    """A method's attention on the test images, and how well it fits the annotations."""

    attention: AttentionMaps
    frame: Frame
    crop_threshold: float | None
    localisation: Localisation | None
    """None if the dataset has neither boxes nor parts, or if its boxes can't be used."""
    missing: dict[str, str]
    """What could not be measured -> the reason."""


class AttentionEvaluator:
    """A trained Run's method and the images of its dataset."""

    def __init__(self, run: Run, method: Method, environment: Environment) -> None:
        self.run, self.method, self.device = run, method, torch.device(environment.device)
        self.dataset: Dataset = environment.open(run.dataset, run.dataset_options)
        self.source: Source = open_source(
            self.dataset, run.recipe.stored_size, run.recipe.resize, self.device, environment.feed
        )
        self.splits = self.dataset.split(run.recipe.validation)

    def feed(self, rows: NDArray[np.int64]) -> Feed:
        """Batches of these rows, in order."""
        return Feed(self.source, rows, self.dataset.labels, BATCH, shuffle=False)

    def attention(self, rows: NDArray[np.int64]) -> AttentionMaps | None:
        """Attention on these rows; None if the method has none."""
        return compute_attention(self.method, self.feed(rows), self.run)

    def frame(self, rows: NDArray[np.int64], attention: AttentionMaps) -> Frame:
        """The annotations of these rows, on the device. Raises `UnusableBoxes`."""
        originals = original_sizes(self.dataset, rows.tolist())
        require_usable(self.dataset, rows.tolist(), originals.tolist())
        frame = framed(self.dataset, rows, originals, attention.stored, self.run.recipe.image_size)
        return frame.to(self.device)


@torch.inference_mode()
def score(evaluator: AttentionEvaluator) -> AttentionScores | None:
    """Computes and scores the attention on the test images; None if the method has no attention."""
    rows = evaluator.splits["test"]
    attention = evaluator.attention(rows)
    if attention is None:
        return None
    try:
        return _scored(evaluator, rows, attention)
    except UnusableBoxes as error:  # without them, how near to a part counts as on it is unknown, too
        return _unscored(evaluator, attention, str(error))


def _unscored(evaluator: AttentionEvaluator, attention: AttentionMaps, reason: str) -> AttentionScores:
    """Attention without annotations."""
    empty = Frame(evaluator.run.recipe.image_size, None, None, None, torch.zeros(len(attention), 2))
    return AttentionScores(attention, empty, None, None, {"localisation": reason})


def _scored(evaluator: AttentionEvaluator, rows: NDArray[np.int64], attention: AttentionMaps) -> AttentionScores:
    """The attention on test images `rows` with their annotations."""
    dataset, missing = evaluator.dataset, dict[str, str]()
    if dataset.boxes is None and dataset.parts is None:
        return _unscored(evaluator, attention, f"{dataset.name} has neither boxes nor parts")
    frame = evaluator.frame(rows, attention)
    if dataset.parts is None:
        missing["localisation.parts"] = f"{dataset.name} has no parts"
    if frame.box_share is None:
        missing["localisation.boxes"] = f"{dataset.name} has no boxes"
    elif frame.box_share >= WHOLE_IMAGE:
        missing["localisation.boxes"] = (
            f"the boxes cover {100 * frame.box_share:.0f} % of what the network sees: nearly everything is inside them"
        )
        frame = frame.without_boxes()
    thresholds = None if frame.boxes is None else _thresholds(evaluator)
    return AttentionScores(
        attention,
        frame,
        None if thresholds is None else thresholds[0],
        _localisation(attention, frame, thresholds, not evaluator.method.maps_of_class),
        missing,
    )


def _thresholds(evaluator: AttentionEvaluator) -> tuple[float, float]:
    """The best thresholds of the method's and the centre prior's crop, on the validation slice or else on train."""
    rows = evaluator.splits["validation"] if len(evaluator.splits["validation"]) else evaluator.splits["train"]
    rows = rows[:: -(-len(rows) // THRESHOLD_IMAGES)]
    attention = evaluator.attention(rows)
    assert attention is not None
    frame = evaluator.frame(rows, attention)
    return best_threshold(attention, frame), best_threshold(centre_prior(attention), frame)


def _localisation(
    attention: AttentionMaps, frame: Frame, thresholds: tuple[float, float] | None, same_maps: bool
) -> Localisation:
    own, centre = thresholds or (None, None)
    prior = centre_prior(attention)
    # The same maps scored against another image's annotations: this baseline shows what is not due to the image.
    elsewhere = frame.rows(derangement(len(attention)).to(attention.mean.device))
    sources = {
        "method": measure(attention, frame, own, same_maps),
        "centre": measure(prior, frame, centre, True),
        "elsewhere": measure(attention, elsewhere, own, same_maps),
        "random": of_random_cells(frame, *attention.mean.shape[1:]),
    }
    values = {name: {key: one.double().cpu().numpy() for key, one in found.items()} for name, found in sources.items()}
    draw = Bootstrap(len(attention))
    over_centre = {key: value - values["centre"][key] for key, value in values["method"].items()}
    over_random = {key: values["method"][key] - value for key, value in values["random"].items()}
    return Localisation(
        images=len(attention),
        blank=int((attention.mean.amax(dim=(1, 2)) <= 0).sum()),
        maps=attention.peaks.shape[1],
        map_size=(attention.mean.shape[1], attention.mean.shape[2]),
        ceiling=_ceiling(attention, frame),
        tolerance=TOLERANCE,
        crop_threshold=own,
        box_share=frame.box_share,
        scores=draw.estimates(values["method"]),
        centre=draw.estimates(values["centre"]),
        elsewhere=draw.estimates(values["elsewhere"]),
        over_centre=draw.estimates(over_centre),
        random=draw.estimates(values["random"]),
        over_random=draw.estimates(over_random),
        parts=_part_hits(attention, prior, frame),
    )


def _ceiling(attention: AttentionMaps, frame: Frame) -> float | None:
    if frame.visible is None or not bool(frame.visible.any()):
        return None
    return float(ceiling(frame, *attention.mean.shape[1:])[frame.visible.any(dim=1)].float().mean())


def _part_hits(attention: AttentionMaps, prior: AttentionMaps, frame: Frame) -> dict[str, PartHits]:
    """How often the mean map's peak lies on each part, among the images in which it is visible."""
    if frame.visible is None:
        return {}
    count = frame.visible.sum(dim=0)

    def rates(of: AttentionMaps) -> list[float]:
        active = of.mean.amax(dim=(1, 2)) > 0
        hits = on_parts(peaks(of.mean)[:, None] * frame.size, frame)[:, 0] & active[:, None]
        return (hits.sum(dim=0) / count.clamp_min(1)).tolist()

    found = zip(frame.part_names, count.tolist(), rates(attention), rates(prior), strict=True)
    return {name: PartHits(visible=n, hit=hit, centre=centre) for name, n, hit, centre in found if n}


def derangement(count: int) -> Tensor:
    """A fixed permutation in which no image keeps its place: each gets the next one in a random order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result


class Bootstrap:
    """Means over images, with percentile intervals over resamples of the images; all measures share the resamples."""

    def __init__(self, images: int) -> None:
        self.weights = image_counts(images)

    def estimates(self, values: Mapping[str, NDArray[np.float64]]) -> dict[str, Estimate]:
        """Each measure's estimate from its values `(N,)`, without NaNs; measures that are all NaN are left out."""
        return {name: self._estimate(one) for name, one in values.items() if not np.isnan(one).all()}

    def _estimate(self, values: NDArray[np.float64]) -> Estimate:
        counted = ~np.isnan(values)
        totals = self.weights[:, counted].sum(axis=1)
        means = (self.weights[:, counted] @ values[counted])[totals > 0] / totals[totals > 0]
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        mean = float(values[counted].mean())
        return Estimate(value=mean, low=float(low), high=float(high), images=int(counted.sum()))
