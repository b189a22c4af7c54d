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


def check_batches(labels: NDArray[np.int64], batch_size: int, sampling: tuple[int, int] | None, processes: int) -> None:
    """Raises `ValueError` unless batches can be drawn from images with these labels (N,) and divided among processes;
    `sampling` as in `epoch_order`."""
    if batch_size < 1:
        raise ValueError(f"a batch has at least one image, not {batch_size}")
    if len(labels) == 0:
        raise ValueError("batches need at least one row")
    if batch_size < processes:
        raise ValueError(f"a batch of {batch_size} images can't be divided among {processes} processes")
    if sampling is None:
        return
    classes, images_per_class = sampling
    if classes * images_per_class != batch_size:
        raise ValueError(
            f"{classes} classes with {images_per_class} images each make a batch of {classes * images_per_class}, "
            f"not {batch_size}"
        )
    if (present := len(np.unique(labels))) < classes:
        raise ValueError(f"batches of {classes} classes can't be drawn from {present} classes")
    if classes % processes:
        raise ValueError(f"batches of {classes} classes can't be divided among {processes} processes by class")


def drops_last(images: int, batch_size: int, processes: int) -> bool:
    """Whether the last batch of an epoch is left out of a training, because some process would get one image of it, or
    none: batch norm can't learn from one image with a 1 × 1 map. A batch that is the only one stays."""
    return 0 < images % batch_size < 2 * processes and images > batch_size


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
