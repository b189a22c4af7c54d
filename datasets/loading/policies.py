"""TrivialAugment and RandAugment on a batch, with operations and magnitudes drawn for each sample.

Operations, magnitudes and pixels are those of torchvision's `TrivialAugmentWide` and `RandAugment` with bilinear
interpolation and black fill. torchvision draws one operation for a whole batch. Here operations are drawn on the host
for each sample, and samples with the same operation are grouped, so that each operation runs once per batch. Groups
differ in size from batch to batch, so compiled code computes all operations for all samples instead
(`datasets.loading.compiled`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from datasets.loading import colour, pixels
from results.augmentation import BINS, MAX_OPERATIONS, Policy

Operation = Callable[[Tensor, Tensor], Tensor]

DRAWS = 3 * MAX_OPERATIONS
"""Uniform numbers per sample: operation, magnitude and sign for each round."""


MOVES: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "ShearX": lambda values, height, width: pixels.shears(values, 0 * values, height, width),
    "ShearY": lambda values, height, width: pixels.shears(0 * values, values, height, width),
    "TranslateX": lambda values, *_: pixels.translations(values.trunc(), 0 * values),
    "TranslateY": lambda values, *_: pixels.translations(0 * values, values.trunc()),
    "Rotate": lambda values, *size: pixels.rotations(torch.tensor(size).expand(len(values), 2), values, *size),
}
"""Matrices (B, 2, 3) for `pixels.affine` of the operations that move pixels, by magnitudes (B,), height and width."""


def _move(name: str) -> Operation:
    return lambda images, values: pixels.affine(images, MOVES[name](values, *images.shape[-2:]))


OPERATIONS: dict[str, Operation] = {
    "Identity": lambda images, _: images,
    "ShearX": _move("ShearX"),
    "ShearY": _move("ShearY"),
    "TranslateX": _move("TranslateX"),
    "TranslateY": _move("TranslateY"),
    "Rotate": _move("Rotate"),
    "Brightness": lambda images, values: colour.adjust_brightness(images, 1 + values),
    "Color": lambda images, values: colour.adjust_saturation(images, 1 + values),
    "Contrast": lambda images, values: colour.adjust_contrast(images, 1 + values),
    "Sharpness": lambda images, values: colour.adjust_sharpness(images, 1 + values),
    "Posterize": colour.posterize,
    "Solarize": lambda images, values: colour.solarize(images, 255 * values),
    "AutoContrast": lambda images, _: colour.autocontrast(images),
    "Equalize": lambda images, _: functional.equalize(images),
}
"""By torchvision's names: functions of uint8 images `(B, 3, H, W)` and magnitudes (B,) on the host."""

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
"""Operations whose magnitude may be negative."""


def operate(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Applies to each image its operation, an index (B,) into `OPERATIONS`, and magnitude (B,); both on the host."""
    order = operations.argsort(stable=True)
    counts = operations.bincount(minlength=len(OPERATIONS)).tolist()
    places = order.to(images.device, non_blocking=True)
    groups = zip(images[places].split(counts), magnitudes[order].split(counts), OPERATIONS.values(), strict=True)
    changed = [operation(group, values) for group, values, operation in groups if len(group)]
    return torch.empty_like(images).index_copy_(0, places, torch.cat(changed))


Operate = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function like `operate`."""


def apply(images: Tensor, policy: Policy, draws: Tensor, operate: Operate = operate) -> Tensor:
    """uint8 images `(B, 3, S, S)` after the operations chosen by `draws` (B, DRAWS), uniform in 0 .. 1.

    `operate` computes a round.
    """
    if policy.name == "none":
        return images
    for step in range(policy.operations if policy.name == "randaugment" else 1):
        images = operate(images, *choose_operations(policy, images.shape[-1], draws[:, 3 * step : 3 * step + 3]))
    return images


def matrices_of(operations: Tensor, magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Matrices (B, 2, 3) for `pixels.affine`: of each sample's operation if it moves pixels, else none that is used."""
    matrices = pixels.translations(0 * magnitudes, 0 * magnitudes)
    for name, matrix in MOVES.items():
        chosen = operations == list(OPERATIONS).index(name)
        matrices = torch.where(chosen[:, None, None], matrix(magnitudes, height, width), matrices)
    return matrices


def choose_operations(policy: Policy, size: int, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Operations and magnitudes (B,) of one round from `draws` (B, 3)."""
    operations = (draws[:, 0].double() * len(OPERATIONS)).long()
    drawn = (draws[:, 1].double() * BINS).long()
    levels = drawn if policy.name == "trivialaugment" else torch.full_like(drawn, policy.magnitude)
    signed = torch.tensor([name in SIGNED for name in OPERATIONS])[operations]
    signs = torch.where(signed & (draws[:, 2] <= 0.5), -1.0, 1.0)
    return operations, magnitude_table(policy.name, size)[operations, levels] * signs


@cache
def magnitude_table(policy: str, size: int) -> Tensor:
    """(len(OPERATIONS), BINS): torchvision's magnitudes of each operation, from none to the largest.

    `size` is the side of the images in pixels.
    """
    if policy == "trivialaugment":
        shear, pixels_moved, degrees, blend, bits_removed = 0.99, 32.0, 135.0, 0.99, 6
    else:
        shear, pixels_moved, degrees, blend, bits_removed = 0.3, 150 / 331 * size, 30.0, 0.9, 4
    largest = {"ShearX": shear, "ShearY": shear, "Rotate": degrees}
    largest |= {"TranslateX": pixels_moved, "TranslateY": pixels_moved}
    largest |= dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), blend)
    table = {name: torch.linspace(0, largest.get(name, 0), BINS) for name in OPERATIONS}
    table["Posterize"] = (8 - torch.arange(BINS) / ((BINS - 1) / bits_removed)).round()
    table["Solarize"] = torch.linspace(1, 0, BINS)
    return torch.stack(list(table.values())).double()
