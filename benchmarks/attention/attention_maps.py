"""A method's attention on each image of a feed, reduced to what the measures need."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.training.networks.build_method import autocast
from datasets.loading import augment
from datasets.loading.feed import Feed
from methods.interface import Method
from results.settings import Run

PRIOR_CELLS = 64
"""Side of the centre prior's map, in cells."""
PRIOR_SIGMA = 0.25
"""Standard deviation of the centre prior's Gaussian, as a share of the input's side."""


@dataclass(frozen=True)
class AttentionMaps:
    """Attention on N images; the cells of a map divide the input evenly."""

    mean: Tensor
    """(N, h, w) float32, the mean of an image's M maps; all zero if there is no attention"""
    peaks: Tensor
    """(N, M, 2) x, y of each map's maximum (the centre of the cell), as shares of the input's side"""
    strengths: Tensor
    """(N, M) each map's maximum; 0 for a map without attention"""
    stored: Tensor
    """(N, 2) height, width of the stored images, on the host"""

    def __len__(self) -> int:
        return len(self.mean)


@torch.inference_mode()
def compute_attention(method: Method, feed: Feed, run: Run) -> AttentionMaps | None:
    """Attention of a Run on every image of the feed, in its order (it must not shuffle); None if the method has none.

    The tensors stay on the feed's device, and the host does not wait for it.
    """
    method.eval()
    found: list[tuple[Tensor, ...]] = []
    for batch in feed.batches(epoch=0):
        images = augment.test_batch(batch, run.recipe.image_size, run.scaling)
        images = images.contiguous(memory_format=torch.channels_last)
        with autocast(feed.device, run.precision):
            maps = method.attention(images)
        if maps is None:
            return None
        maps = maps.float()
        found.append((maps.mean(dim=1), peaks(maps), maps.amax(dim=(2, 3)), batch.sizes))
    return AttentionMaps(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def peaks(maps: Tensor) -> Tensor:
    """Centre of the highest cell of maps `(..., h, w)`: `(..., 2)` x, y as shares of their sides.

    If several cells are equally high, the mean of their centres: the peak of a flat map is its middle, not a corner.
    """
    highest = (maps >= maps.amax(dim=(-2, -1), keepdim=True)).float()
    highest = highest / highest.sum(dim=(-2, -1), keepdim=True)
    height, width = maps.shape[-2:]
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    return torch.stack([highest.sum(dim=-2) @ x, highest.sum(dim=-1) @ y], dim=-1)


def centre_prior(like: AttentionMaps) -> AttentionMaps:
    """The same centred Gaussian for every image: a baseline that ignores the image."""
    place = (torch.arange(PRIOR_CELLS, device=like.mean.device) + 0.5) / PRIOR_CELLS - 0.5
    bell = (-0.5 * (place / PRIOR_SIGMA) ** 2).exp()
    mean = (bell[:, None] * bell).expand(len(like), -1, -1)
    middle = torch.full_like(like.peaks[:, :1], 0.5)
    return AttentionMaps(mean, middle, torch.ones_like(like.strengths[:, :1]), like.stored)
