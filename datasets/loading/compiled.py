"""Parts of an augmentation for torch.compile: a round of a policy, and colours with normalisation and erasing.

Which operations were drawn, and in which order, changes from batch to batch, and no code may be compiled for one batch.
So all operations are computed for all samples, and of each sample the drawn one is selected. Within a fused kernel this
costs arithmetic, but hardly any memory traffic, which is what an augmentation spends its time with.

A graph serves all batch sizes. Crops are not part of it: they are a few kernels already, and the stored images of a
batch may have any size. Pixels are those of the uncompiled operations up to the last bits of a float.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from datasets.loading import colour, pixels, policies

BACKEND = "inductor"
"""The compiler."""

EQUALIZE = list(policies.OPERATIONS).index("Equalize")
"""It counts the pixels of each level, which would be slow for samples that do not need it: it stays uncompiled."""


def operate(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """The same as `policies.operate`, compiled; operations and magnitudes (B,) are on the host."""
    matrices = policies.matrices_of(operations, magnitudes, *images.shape[-2:])
    frame = pixels.scaled_to_grid(matrices, *images.shape[-2:])
    given = [value.to(images.device, non_blocking=True) for value in (operations, magnitudes, frame)]
    changed: Tensor = _run(selected_operation, images, *given)
    equalised = (operations == EQUALIZE).nonzero().flatten()
    if len(equalised):
        places = equalised.to(images.device, non_blocking=True)
        changed = changed.index_copy(0, places, functional.equalize(images[places]))
    return changed


def selected_operation(images: Tensor, operations: Tensor, magnitudes: Tensor, matrices: Tensor) -> Tensor:
    """uint8 images `(B, 3, H, W)`, each after its operation but Equalize: an index (B,) into `policies.OPERATIONS`.

    `matrices` (B, 2, 3) are those of the operations that move pixels, in the grid's coordinates. All are on the device.
    """
    operations = operations.view(-1, 1, 1, 1)
    changed = pixels.sample(images, pixels.grid_by_sums(matrices, *images.shape[-2:]))
    for number, (name, operation) in enumerate(policies.OPERATIONS.items()):
        if name not in policies.MOVES and number != EQUALIZE:
            changed = torch.where(operations == number, operation(images, magnitudes), changed)
    return changed


def finish(
    images: Tensor, order: Sequence[int], factors: Tensor, rectangles: Tensor | None, scale_and_shift: Tensor
) -> Tensor:
    """Colour jitter, normalisation and erasing, compiled: `(B, 3, S, S)` float32, channels last, on the images' device.

    `order`: places in `colour.JITTER` of the operations of this batch, the first to apply first; `factors` (B, 4) of
    each; `rectangles` (B, 4: top, left, height, width) to set to zero; `scale_and_shift` (2, 3). All are on the host.
    """
    others = [number for number in order if number != colour.CONTRAST]
    before = order.index(colour.CONTRAST) if colour.CONTRAST in order else len(order)
    none = len(colour.JITTER)
    early = [number if place < before else none for place, number in enumerate(others)]
    late = [number if place >= before else none for place, number in enumerate(others)]
    device = images.device
    drawn = [None if value is None else value.to(device, non_blocking=True) for value in (factors, rectangles)]
    other = {"order": torch.tensor([early, late]), "scale_and_shift": scale_and_shift}
    other = {name: value.to(device, non_blocking=True) for name, value in other.items()}
    finished: Tensor = _run(selected_colours, images, *drawn, **other, active=tuple(sorted(order)))
    return finished


def selected_colours(
    images: Tensor,
    factors: Tensor,
    rectangles: Tensor | None,
    order: Tensor,
    scale_and_shift: Tensor,
    active: tuple[int, ...],
) -> Tensor:
    """What `finish` returns. All tensors are on the device; `active` operations of `colour.JITTER` are computed.

    `order` (2, number of active operations without contrast): before and after contrast, which needs the mean of its
    image and is therefore computed once. Where a number is not that of an operation, nothing happens.
    """
    images = images.float()
    if active:
        images = _jitter(images / 255, order[0], factors, active)
        if colour.CONTRAST in active:
            images = colour.adjust_contrast(images, factors[:, colour.CONTRAST])
            images = _jitter(images, order[1], factors, active)
        images = images * 255
    scale, shift = scale_and_shift[:, :, None, None]
    images = images * scale + shift
    if rectangles is not None:
        images = pixels.erase(images, rectangles[:, :2], rectangles[:, 2:])
    return images.contiguous(memory_format=torch.channels_last)


def _jitter(images: Tensor, order: Tensor, factors: Tensor, active: tuple[int, ...]) -> Tensor:
    for number in order:
        changed = images
        for one in active:
            if one != colour.CONTRAST:
                changed = torch.where(number == one, colour.JITTER[one](images, factors[:, one]), changed)
        images = changed
    return images


def _run(function: Callable[..., Any], images: Tensor, *of_samples: Tensor | None, **others: Any) -> Any:
    """The compiled function of images, of tensors with a row for each sample, and of others."""
    given = images, *of_samples
    if len(images) == 1:  # torch would compile once more for it
        return function(*given, **others)
    for tensor in given:
        if tensor is not None:
            torch._dynamo.mark_dynamic(tensor, 0)
    return _compiled(function, BACKEND)(*given, **others)


@cache
def _compiled(function: Callable[..., Any], backend: str) -> Callable[..., Any]:
    return torch.compile(function, backend=backend, dynamic=False, fullgraph=True)
