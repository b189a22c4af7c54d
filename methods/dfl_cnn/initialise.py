"""Non-random initialisation of the filters (Section 3.3): each class's filters start as centres of its own patches.

From random filters the side branch is prone to a poor minimum in which the filters of a class detect nothing of that
class. So the filters start from data: positions where a map of the pretrained network has much energy are candidates,
non-maximum suppression keeps one vector per place, and k-means within each class gives the filters.

What the sources leave open (number of peaks, window, whitening) is decided in the README.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.precision import at_least_float32, full_float32

ITERATIONS = 100
"""Upper limit of k-means' rounds; it ends earlier when nothing changes."""

SHRINKAGE = 0.01
"""Added to the covariance, as a share of its mean variance, so that it can be inverted: 0.01 after Hariharan et al.,
"Discriminative Decorrelation for Clustering and Classification", ECCV 2012."""


def peaks(features: Tensor, count: int, window: float) -> tuple[Tensor, Tensor]:
    """Vectors at the strongest positions, none within the window around a stronger one (non-maximum suppression).

    `(B, C, h, w)` -> `(B, count, C)`, at least in float32, and whether each exists, `(B, count)`: a small map
    may have fewer. The energy of a position is the L2 norm over channels. `window` is the side of the window as a share
    of the map's.
    """
    features = at_least_float32(features)
    height, width = features.shape[2:]
    row = torch.arange(height, device=features.device)[:, None]
    column = torch.arange(width, device=features.device)[None, :]
    energy = features.norm(dim=1)
    places, exists = [], []
    for _ in range(count):
        strongest, place = energy.flatten(1).max(dim=1)
        places.append(place)
        exists.append(strongest > -torch.inf)
        place = place[:, None, None]
        near = ((row - place // width).abs() <= int(window * height / 2)) & (
            (column - place % width).abs() <= int(window * width / 2)
        )
        energy = energy.masked_fill(near, -torch.inf)
    at = torch.stack(places, dim=1)[:, None].expand(-1, features.shape[1], -1)
    return features.flatten(2).gather(2, at).transpose(1, 2), torch.stack(exists, dim=1)


def kmeans(points: Tensor, count: int) -> Tensor:
    """Centres of `count` clusters, `(N, C)` -> `(count, C)`: k-means++ seeding, then Lloyd's rounds until none moves.

    Draws from torch's generator. With fewer different points than clusters, some centres are equal.
    """
    centres = _spread(points, count)
    for _ in range(ITERATIONS):
        member = F.one_hot(torch.cdist(points, centres).argmin(dim=1), count).to(points.dtype)
        sizes = member.sum(dim=0)[:, None]
        moved = torch.where(sizes > 0, member.t() @ points / sizes.clamp_min(1), centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _spread(points: Tensor, count: int) -> Tensor:
    """k-means++: each centre is a point, drawn in proportion to its squared distance to the nearest earlier centre."""
    centres = points[torch.randint(len(points), (1,))]
    for _ in range(count - 1):
        squared = torch.cdist(points, centres).min(dim=1).values.square()
        chosen = torch.multinomial(squared if squared.sum() > 0 else torch.ones_like(squared), 1)
        centres = torch.cat([centres, points[chosen]])
    return centres


def whiten(centres: Tensor, points: Tensor) -> Tensor:
    """Linear discriminants of `centres` `(F, C)` against all `points` `(N, C)`: covariance⁻¹ · (centre - mean).

    Mean and covariance are those of the patches of all classes together, so what the classes share is removed.
    """
    mean = points.mean(dim=0)
    covariance = (points - mean).t() @ (points - mean) / max(len(points) - 1, 1)
    variance = covariance.diagonal().mean().clamp_min(torch.finfo(points.dtype).tiny)
    ridge = SHRINKAGE * variance * torch.eye(len(covariance), dtype=points.dtype, device=points.device)
    return torch.linalg.solve(covariance + ridge, (centres - mean).t()).t()


@full_float32()
def class_filters(points: Tensor, labels: Tensor, start: Tensor, shape: tuple[int, int], whitened: bool) -> Tensor:
    """Initial filters `(K·k, C)`, class after class, each of length 1.

    `points` `(N, C)` are the patches, `labels` `(N,)` their classes, `shape` is (K, k). A class without a patch keeps
    its rows of `start` `(K·k, C)`.
    """
    count = shape[1]
    filters = start.unflatten(0, shape).clone()
    classes = labels.unique().tolist()
    centres = torch.stack([kmeans(points[labels == label], count) for label in classes])
    filters[classes] = whiten(centres.flatten(0, 1), points).unflatten(0, (-1, count)) if whitened else centres
    return F.normalize(filters.flatten(0, 1), dim=1)


def calibrate(filters: Tensor, vectors: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
    """One factor for all filters and a bias for each, so that their largest responses have mean 0 and deviation 1.

    `(F, C)` filters and the peaks of N images as `peaks` gives them -> scaled `(F, C)`, `(F,)`. This deviates from the
    paper: a network's features have any length, and so have the responses of filters of length 1. If these are large,
    the P-stream's classifier diverges at the learning rate that suits it on other networks.
    """
    images = zip(vectors.split(64), exists.split(64), strict=True)
    largest = torch.cat(
        [(found @ filters.t()).masked_fill(~there[:, :, None], -torch.inf).amax(dim=1) for found, there in images]
    )
    deviation = largest.std(dim=0, correction=0).mean()
    alike = deviation <= 1e-3 * largest.abs().mean()  # a single image, or copies of one, give no scale
    deviation = torch.where(alike, torch.ones_like(deviation), deviation)
    return filters / deviation, -largest.mean(dim=0) / deviation
