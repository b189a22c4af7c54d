"""The order of images and the random generator of each batch, determined by seed, epoch and batch number alone.

Nothing depends on earlier draws, so a Run can be repeated, resumed at any batch and divided among processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # plans and `status` need no torch
    import torch

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
    import torch

    # The number is a spawn key because SeedSequence ignores trailing zeros: batch 0 would get the stream of the epoch.
    sequence = np.random.SeedSequence([seed, epoch], spawn_key=(number,))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 2))


def check_batches(
    labels: NDArray[np.int64], batch_size: int, sampling: tuple[int, int] | None, processes: int, together: int = 1
) -> None:
    """Raises `ValueError` unless batches can be drawn from images with these labels (N,) and divided among processes;
    `sampling` as in `epoch_order`. `together`: images of a batch, one after another, that are never parted."""
    check_batch_size(batch_size, sampling, processes, together)
    if len(labels) == 0:
        raise ValueError("batches need at least one row")
    if sampling is None:
        if len(labels) < together:
            raise ValueError(f"{together} images belong together, and there are {len(labels)}")
        return
    if (present := len(np.unique(labels))) < sampling[0]:
        raise ValueError(f"batches of {sampling[0]} classes can't be drawn from {present} classes")


def check_batch_size(batch_size: int, sampling: tuple[int, int] | None, processes: int, together: int = 1) -> None:
    """The part of `check_batches` that needs no images. Raises `ValueError`."""
    if batch_size < 1:
        raise ValueError(f"a batch has at least one image, not {batch_size}")
    if batch_size < processes:
        raise ValueError(f"a batch of {batch_size} images can't be divided among {processes} processes")
    if sampling is not None:
        _check_size(batch_size, sampling[1], "images a class", processes)
        _check_size(batch_size, together, "images that belong together", processes)
        return
    _check_size(batch_size, together, "images that belong together", 1)
    if batch_size // together < processes:
        raise ValueError(
            f"a batch of {batch_size // together} times {together} images that belong together can't be divided "
            f"among {processes} processes"
        )


def _check_size(batch_size: int, multiple: int, of_what: str, processes: int) -> None:
    """Raises `ValueError` with the nearest sizes that work, unless each process gets a multiple of that many images."""
    step = multiple * processes
    if batch_size % step:
        nearest = [size for size in (batch_size // step * step, (batch_size // step + 1) * step) if size]
        each = f" for each of {processes} processes" if processes > 1 else ""
        works = " or ".join(map(str, nearest)) + (" are" if len(nearest) > 1 else " is")
        raise ValueError(f"batch_size {batch_size} is not a multiple of {multiple} {of_what}{each}; {works}")


def drops_last(images: int, batch_size: int, processes: int, together: int = 1, always: bool = False) -> bool:
    """Whether the smaller last batch of an epoch is left out of a training: `always`, or because some process would get
    no `together` images of it, or a single one, from which batch norm can't learn if its map is 1 × 1. A batch that is
    the only one stays."""
    enough = batch_size if always else max(together, 2) * processes
    return 0 < images % batch_size < enough and images > batch_size


def batches_in_epoch(
    images: int, batch_size: int, *, balanced: bool = False, drop_last: bool = False, together: int = 1
) -> int:
    """Batches of an epoch: with P x K sampling (`balanced`) as many as fit into the images, at least one; otherwise all
    images once, but for a smaller last batch if that is dropped or has no `together` images."""
    whole, rest = divmod(images, batch_size)
    return max(whole, 1) if balanced else whole + (rest >= together and not drop_last)


def share(length: int, part: Part, together: int = 1) -> slice:
    """The part of a batch of `length` images that one process takes; the parts of all ranks in order are the batch.

    Each part is contiguous, and cuts between no `together` images: those of a class, which P x K sampling makes
    adjacent, or a pair.
    """
    rank, world = part
    units = length // together
    return slice(rank * units // world * together, (rank + 1) * units // world * together)


def _class_balanced(
    labels: NDArray[np.int64], classes: int, images_per_class: int, batches: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """P x K sampling: positions `(batches * classes * images_per_class,)`.

    A batch is one of `MPerClassSampler` of PyTorch Metric Learning: distinct classes, all equally likely, and of each
    as many different images; of a class that has fewer, as many draws, in which an image may come several times. Its
    batches are independent. Here a class that has enough uses all its images in random order before it repeats one.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    unused = [np.empty(0, dtype=np.int64) for _ in members]
    order: list[NDArray[np.int64]] = []
    for _ in range(batches):
        for chosen in generator.choice(len(members), classes, replace=False):
            if len(members[chosen]) < images_per_class:
                order.append(generator.choice(members[chosen], images_per_class))
                continue
            while len(unused[chosen]) < images_per_class:
                shuffled = generator.permutation(members[chosen])
                late = np.isin(shuffled, unused[chosen])  # unused ones go last, so that no batch has an image twice
                unused[chosen] = np.concatenate([unused[chosen], shuffled[~late], shuffled[late]])
            order.append(unused[chosen][:images_per_class])
            unused[chosen] = unused[chosen][images_per_class:]
    return np.concatenate(order)
