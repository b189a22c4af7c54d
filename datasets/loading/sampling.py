"""Which images make which batch, and what is random about one: decided by seed, epoch and batch number alone.

Nothing here depends on what was drawn before, so that a Run can be repeated, taken up anywhere and cut over processes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Part = tuple[int, int]
"""(rank, world): which of how many processes that share every batch."""


def epoch_order(
    labels: NDArray[np.int64], batches: int, *, seed: int, epoch: int, shuffle: bool, sampling: tuple[int, int] | None
) -> NDArray[np.int64]:
    """Positions within `labels` (N,) in the order of an epoch; its batches are cut from the front.

    Every position once, or with `sampling` = (classes, images per class) as many as `batches` such batches take.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    if sampling is not None:
        return _class_balanced(labels, *sampling, batches, generator)
    return generator.permutation(len(labels)) if shuffle else np.arange(len(labels))


def batch_generator(seed: int, epoch: int, number: int) -> torch.Generator:
    """What batch `number` of an epoch draws its augmentation from, on the host: no batch depends on the one before."""
    # The number is a spawn key because SeedSequence takes trailing zeros for nothing: batch 0 shall not draw what an
    # epoch as a whole draws.
    sequence = np.random.SeedSequence([seed, epoch], spawn_key=(number,))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 2))


def share(length: int, part: Part) -> slice:
    """What one process takes of a batch of `length` images: laid end to end, the ranks' shares are the batch.

    In one piece, so that images of one class, which P x K sampling puts side by side, stay together.
    """
    rank, world = part
    return slice(rank * length // world, (rank + 1) * length // world)


def _class_balanced(
    labels: NDArray[np.int64], classes: int, images_per_class: int, batches: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Positions `(batches * classes * images_per_class,)`: each batch has different classes, each class goes through
    all its images in a random order before it begins anew."""
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    waiting = [np.empty(0, dtype=np.int64) for _ in members]
    order: list[NDArray[np.int64]] = []
    for _ in range(batches):
        for chosen in generator.choice(len(members), classes, replace=False):
            while len(waiting[chosen]) < images_per_class:
                anew = generator.permutation(members[chosen])
                late = np.isin(anew, waiting[chosen])  # what still waits comes last, so that no batch has it twice
                waiting[chosen] = np.concatenate([waiting[chosen], anew[~late], anew[late]])
            order.append(waiting[chosen][:images_per_class])
            waiting[chosen] = waiting[chosen][images_per_class:]
    return np.concatenate(order)
