"""A trained Run's attention over the whole test set, in numbers for its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.attention.attention_maps import AttentionMaps, centre_prior, look, peaks
from benchmarks.attention.frame import TOLERANCE, Frame, framed, original_sizes
from benchmarks.attention.measures import best_threshold, ceiling, measure, on_parts
from benchmarks.environment import Environment
from datasets.interface import Dataset
from datasets.loading.feed import Feed
from datasets.loading.sources import Source, open_source
from methods.interface import Method
from results.localisation import Estimate, Localisation, PartHits
from results.settings import Run

BATCH = 64
"""Images per forward pass: has no influence on the result."""
DRAWS = 2000
"""Of the bootstrap."""
CONFIDENCE = 0.95
WHOLE_IMAGE = 0.9
"""Mean share of the frame from which boxes say nothing: nearly everything is inside them."""
THRESHOLD_IMAGES = 1000
"""Training images at most on which the attention crop's threshold is chosen."""


@dataclass(frozen=True)
class AttentionScores:
    """All that is known of what a Run's method sees on the test images."""

    seen: AttentionMaps
    frame: Frame
    crop_threshold: float | None
    localisation: Localisation | None
    """None where the dataset has neither boxes nor parts."""
    missing: dict[str, str]
    """What could not be measured -> why."""


class AttentionEvaluator:
    """The images of a trained Run's dataset as its method sees them."""

    def __init__(self, run: Run, method: Method, environment: Environment) -> None:
        self.run, self.method, self.device = run, method, torch.device(environment.device)
        self.dataset: Dataset = environment.open(run.dataset, run.dataset_options)
        self.source: Source = open_source(
            self.dataset, run.recipe.stored_size, run.recipe.resize, self.device, environment.feed
        )
        self.splits = self.dataset.split(run.recipe.validation)

    def feed(self, rows: NDArray[np.int64]) -> Feed:
        """Batches of these rows, in their order."""
        return Feed(self.source, rows, self.dataset.labels, BATCH, shuffle=False)

    def look(self, rows: NDArray[np.int64]) -> AttentionMaps | None:
        """Attention on these rows; None if the method gives none."""
        return look(self.method, self.feed(rows), self.run.recipe.image_size, self.run.precision)

    def frame(self, rows: NDArray[np.int64], seen: AttentionMaps) -> Frame:
        """The annotations of these rows, on the device."""
        originals = original_sizes(self.dataset, rows.tolist())
        frame = framed(self.dataset, rows, originals, seen.stored, self.run.recipe.image_size)
        return frame.to(self.device)


@torch.inference_mode()
def sight(viewer: AttentionEvaluator) -> AttentionScores | None:
    """What the method sees on the test images, and how well it fits what is annotated; None without attention."""
    rows = viewer.splits["test"]
    seen = viewer.look(rows)
    if seen is None:
        return None
    dataset, missing = viewer.dataset, {}
    if dataset.boxes is None and dataset.parts is None:
        empty = Frame(viewer.run.recipe.image_size, None, None, None, torch.zeros(len(rows), 2))
        return AttentionScores(seen, empty, None, None, {"localisation": f"{dataset.name} has neither boxes nor parts"})
    frame = viewer.frame(rows, seen)
    if dataset.parts is None:
        missing["localisation.parts"] = f"{dataset.name} has no parts"
    if frame.box_share is None:
        missing["localisation.boxes"] = f"{dataset.name} has no boxes"
    elif frame.box_share >= WHOLE_IMAGE:
        missing["localisation.boxes"] = (
            f"the boxes cover {100 * frame.box_share:.0f} % of what the network sees: nearly everything is inside them"
        )
        frame = frame.without_boxes()
    thresholds = None if frame.boxes is None else _thresholds(viewer)
    return AttentionScores(
        seen,
        frame,
        None if thresholds is None else thresholds[0],
        _localisation(seen, frame, thresholds, not viewer.method.maps_of_class),
        missing,
    )


def _thresholds(viewer: AttentionEvaluator) -> tuple[float, float]:
    """Of the method's and the centre prior's crop: what fits best on the validation slice, or else on train."""
    rows = viewer.splits["validation"] if len(viewer.splits["validation"]) else viewer.splits["train"]
    rows = rows[:: -(-len(rows) // THRESHOLD_IMAGES)]
    seen = viewer.look(rows)
    assert seen is not None
    frame = viewer.frame(rows, seen)
    return best_threshold(seen, frame), best_threshold(centre_prior(seen), frame)


def _localisation(
    seen: AttentionMaps, frame: Frame, thresholds: tuple[float, float] | None, same_maps: bool
) -> Localisation:
    own, centre = thresholds or (None, None)
    prior = centre_prior(seen)
    # The same maps, judged by another image's annotations: what is left owes nothing to the image itself.
    elsewhere = frame.rows(_derangement(len(seen)).to(seen.mean.device))
    sources = {
        "method": measure(seen, frame, own, same_maps),
        "centre": measure(prior, frame, centre, True),
        "elsewhere": measure(seen, elsewhere, own, same_maps),
    }
    values = {name: {key: one.double().cpu().numpy() for key, one in found.items()} for name, found in sources.items()}
    draw = Bootstrap(len(seen))
    over_centre = {key: value - values["centre"][key] for key, value in values["method"].items()}
    return Localisation(
        images=len(seen),
        blank=int((seen.mean.amax(dim=(1, 2)) <= 0).sum()),
        maps=seen.peaks.shape[1],
        map_size=(seen.mean.shape[1], seen.mean.shape[2]),
        ceiling=_ceiling(seen, frame),
        tolerance=TOLERANCE,
        crop_threshold=own,
        box_share=frame.box_share,
        scores=draw.estimates(values["method"]),
        centre=draw.estimates(values["centre"]),
        elsewhere=draw.estimates(values["elsewhere"]),
        over_centre=draw.estimates(over_centre),
        parts=_part_hits(seen, prior, frame),
    )


def _ceiling(seen: AttentionMaps, frame: Frame) -> float | None:
    if frame.visible is None or not bool(frame.visible.any()):
        return None
    return float(ceiling(frame, *seen.mean.shape[1:])[frame.visible.any(dim=1)].float().mean())


def _part_hits(seen: AttentionMaps, prior: AttentionMaps, frame: Frame) -> dict[str, PartHits]:
    """How often the mean map's peak lies on each part, of the images in which it is visible."""
    if frame.visible is None:
        return {}
    count = frame.visible.sum(dim=0)

    def rates(of: AttentionMaps) -> list[float]:
        speaks = of.mean.amax(dim=(1, 2)) > 0
        hits = on_parts(peaks(of.mean)[:, None] * frame.size, frame)[:, 0] & speaks[:, None]
        return (hits.sum(dim=0) / count.clamp_min(1)).tolist()

    found = zip(frame.part_names, count.tolist(), rates(seen), rates(prior), strict=True)
    return {name: PartHits(visible=n, hit=hit, centre=centre) for name, n, hit, centre in found if n}


def _derangement(count: int) -> Tensor:
    """A fixed permutation in which no image keeps its place: neighbours in a random order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result


class Bootstrap:
    """Means over the images that count, with percentile intervals over draws of the images; the same draws for all."""

    def __init__(self, images: int) -> None:
        random = np.random.default_rng(images)
        drawn = [np.bincount(random.integers(0, images, images), minlength=images) for _ in range(DRAWS)]
        self.weights = np.array(drawn, np.float32)

    def estimates(self, values: Mapping[str, NDArray[np.float64]]) -> dict[str, Estimate]:
        """Each measure's estimate from its values `(N,)`, NaN where an image does not count; none without any."""
        return {name: self._estimate(one) for name, one in values.items() if not np.isnan(one).all()}

    def _estimate(self, values: NDArray[np.float64]) -> Estimate:
        counted = ~np.isnan(values)
        totals = self.weights[:, counted].sum(axis=1)
        means = (self.weights[:, counted] @ values[counted])[totals > 0] / totals[totals > 0]
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        mean = float(values[counted].mean())
        return Estimate(value=mean, low=float(low), high=float(high), images=int(counted.sum()))
