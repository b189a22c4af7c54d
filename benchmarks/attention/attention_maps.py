"""What a method attends to on each image of a feed, in the little that has to be kept of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.training.build_method import autocast
from datasets.loading import augment
from datasets.loading.feed import Feed
from methods.interface import Method

PRIOR_CELLS = 64
"""Side of the centre prior's map."""
PRIOR_SIGMA = 0.25
"""Of the Gaussian, as a share of the input's side."""


@dataclass(frozen=True)
class AttentionMaps:
    """Attention on N images; a map is taken as stretched evenly over the input, cell by cell."""

    mean: Tensor
    """(N, h, w) float32, the mean of an image's M maps; zero everywhere where they say nothing"""
    peaks: Tensor
    """(N, M, 2) x, y of each map's maximum, as shares of the input's side: the centre of the cell"""
    strengths: Tensor
    """(N, M) each map's maximum; 0: the map says nothing"""
    stored: Tensor
    """(N, 2) height, width of the stored images, on the host"""

    def __len__(self) -> int:
        return len(self.mean)


@torch.inference_mode()
def look(method: Method, feed: Feed, image_size: int, precision: str) -> AttentionMaps | None:
    """Attention on every image of the feed, in its order (it must not shuffle); None if the method gives none.

    The tensors stay on the feed's device, and nothing waits for it.
    """
    method.eval()
    found: list[tuple[Tensor, ...]] = []
    for batch in feed.batches(epoch=0):
        images = augment.test_batch(batch, image_size).contiguous(memory_format=torch.channels_last)
        with autocast(feed.device, precision):
            maps = method.attention(images)
        if maps is None:
            return None
        maps = maps.float()
        found.append((maps.mean(dim=1), peaks(maps), maps.amax(dim=(2, 3)), batch.sizes))
    return AttentionMaps(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def peaks(maps: Tensor) -> Tensor:
    """Where maps `(..., h, w)` have their maximum: `(..., 2)` x, y as shares of their sides.

    The centre of the highest cell. Several that are equally high count by their middle, or a flat map's peak would be
    its first corner.
    """
    highest = (maps >= maps.amax(dim=(-2, -1), keepdim=True)).float()
    highest = highest / highest.sum(dim=(-2, -1), keepdim=True)
    height, width = maps.shape[-2:]
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    return torch.stack([highest.sum(dim=-2) @ x, highest.sum(dim=-1) @ y], dim=-1)


def centre_prior(like: AttentionMaps) -> AttentionMaps:
    """The same Gaussian about the middle for every image: what can be had without looking."""
    place = (torch.arange(PRIOR_CELLS, device=like.mean.device) + 0.5) / PRIOR_CELLS - 0.5
    bell = (-0.5 * (place / PRIOR_SIGMA) ** 2).exp()
    mean = (bell[:, None] * bell).expand(len(like), -1, -1)
    middle = torch.full_like(like.peaks[:, :1], 0.5)
    return AttentionMaps(mean, middle, torch.ones_like(like.strengths[:, :1]), like.stored)
