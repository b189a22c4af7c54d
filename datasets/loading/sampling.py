"""The order of images and the random generator of each batch, determined by seed, epoch and batch number alone.

Nothing depends on earlier draws, so a Run can be repeated, resumed at any batch and divided among processes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Part = tuple[int, int]
"""(rank, world size) of a process; each batch is divided among all processes."""


def epoch_order(
    labels: NDArray[np.int64], batches: int, *, seed: int, epoch: int, shuffle: bool, sampling: tuple[int, int] | None
) -> NDArray[np.int64]:
    """Positions within `labels` (N,) in the order of an epoch; batches are taken from the front.

    Every position once or, with `sampling` = (classes, images per class), as many as `batches` such batches need.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
    if sampling is not None:
        return _class_balanced(labels, *sampling, batches, generator)
    return generator.permutation(len(labels)) if shuffle else np.arange(len(labels))


def batch_generator(seed: int, epoch: int, number: int) -> torch.Generator:
    """The host's generator for the augmentation of batch `number` of an epoch, independent of other batches."""
    # The number is a spawn key because SeedSequence ignores trailing zeros: batch 0 would get the stream of the epoch.
    sequence = np.random.SeedSequence([seed, epoch], spawn_key=(number,))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 2))


def share(length: int, part: Part) -> slice:
    """The part of a batch of `length` images that one process takes; the parts of all ranks in order are the batch.

    Each part is contiguous, so images of one class, which P x K sampling makes adjacent, stay together.
    """
    rank, world = part
    return slice(rank * length // world, (rank + 1) * length // world)


def _class_balanced(
    labels: NDArray[np.int64], classes: int, images_per_class: int, batches: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """P x K sampling: positions `(batches * classes * images_per_class,)`.

    The classes of a batch are distinct, and a class uses all its images in random order before it repeats one.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    unused = [np.empty(0, dtype=np.int64) for _ in members]
    order: list[NDArray[np.int64]] = []
    for _ in range(batches):
        for chosen in generator.choice(len(members), classes, replace=False):
            while len(unused[chosen]) < images_per_class:
                shuffled = generator.permutation(members[chosen])
                late = np.isin(shuffled, unused[chosen])  # unused ones go last, so that no batch has an image twice
                unused[chosen] = np.concatenate([unused[chosen], shuffled[~late], shuffled[late]])
            order.append(unused[chosen][:images_per_class])
            unused[chosen] = unused[chosen][images_per_class:]
    return np.concatenate(order)
