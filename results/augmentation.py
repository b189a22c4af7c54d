"""How images become the network's input: the settings of augmentation and scaling in recipes and records."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from results.values.numbers import Border, Epochs, Finite, NonNegative, Positive, Share

BINS = 31
"""Number of magnitudes of an operation, from none to its limit: torchvision's number."""


MAX_OPERATIONS = 4
"""Largest number of operations of RandAugment. Random numbers for all of them are drawn for any settings."""


def _positive(values: tuple[float, float, float]) -> tuple[float, float, float]:
    if min(values) <= 0:
        raise ValueError("must be positive numbers")
    return values


Colour = tuple[Finite, Finite, Finite]
"""Red, green, blue."""


class InputScaling(BaseModel, frozen=True, extra="forbid"):
    """What the network's input is normalised with: `(pixels - mean) / std`, RGB in 0 .. 1. It belongs to the weights.

    The default is that of ImageNet's training images, as used by torchvision and timm.
    """

    mean: Colour = (0.485, 0.456, 0.406)
    std: Annotated[Colour, AfterValidator(_positive)] = (0.229, 0.224, 0.225)

    def __str__(self) -> str:
        """For people: `mean 0.5 0.5 0.5, std 0.5 0.5 0.5`."""
        return f"mean {' '.join(map(str, self.mean))}, std {' '.join(map(str, self.std))}"


class Policy(BaseModel, frozen=True, extra="forbid"):
    """Operations drawn for each image from a fixed set, between sharpness and colour jitter."""

    name: Literal["none", "trivialaugment", "randaugment"] = "none"
    """`trivialaugment`: one operation of random magnitude, in the wide ranges (Müller & Hutter, ICCV 2021).
    `randaugment`: several operations of the same magnitude (Cubuk et al., NeurIPS 2020)."""
    operations: Annotated[int, Field(ge=1, le=MAX_OPERATIONS)] = 2
    """Of `randaugment`: the number of operations in sequence."""
    magnitude: Annotated[int, Field(ge=0, lt=BINS)] = 9
    """Of `randaugment`: 0 .. 30, in thirtieths of each operation's limit."""


class Mixing(BaseModel, frozen=True, extra="forbid"):
    """Whether images and labels are mixed. If both kinds are on, each batch uses either with equal probability."""

    mixup: NonNegative = 0.0
    """An image keeps a share of itself, drawn from Beta(mixup, mixup) per batch; 0: no mixup (Zhang et al., 2018)."""
    cutmix: NonNegative = 0.0
    """Likewise for the share of its area; a box from another image covers the rest; 0: no CutMix (Yun et al., 2019)."""
    probability: Share = 1.0
    """That a batch is mixed at all."""
    epochs: Epochs | None = None
    """Mix in the first epochs of a training only; None: in all."""

    @property
    def active(self) -> bool:
        """Whether anything is mixed; labels are class probabilities then."""
        return self.probability > 0 and (self.mixup > 0 or self.cutmix > 0)


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if not 0 < values[0] <= values[1]:
        raise ValueError("must be two positive numbers, the smaller first")
    return values


def _at_most_one(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[1] > 1:
        raise ValueError("an area can't be more than all of the image")
    return scale


Range = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("must be odd")
    return size


class Blur(BaseModel, frozen=True, extra="forbid"):
    """A Gaussian blur of some images, after the flip: torchvision's `RandomApply([GaussianBlur])`."""

    probability: Share = 0.0
    kernel_size: Annotated[int, Field(ge=3, le=15), AfterValidator(_odd)] = 5
    """Pixels that the filter covers in each direction. Half of them fit into the smallest image."""
    sigma: Range = (0.1, 2.0)
    """Range of the standard deviation in pixels, uniform, for each image."""


class Sharpness(BaseModel, frozen=True, extra="forbid"):
    """A change of the sharpness of some images, after the blur: torchvision's `RandomAdjustSharpness`."""

    probability: Share = 0.0
    factor: NonNegative = 2.0
    """0: blurred; 1: unchanged; 2: sharper."""


class Augment(BaseModel, frozen=True, extra="forbid"):
    """Augmentation of a training image. Zero switches an operation off."""

    crop: Literal["random", "resized", "center", "resize"] = "random"
    """`random`, `center`: a window of the input size, not rescaled. `resized`: a random area scaled to the input size;
    `resize`: the whole image scaled to it."""
    padding: Border = 0
    """Of a `random` crop: black pixels that are added at each side of the image before it."""
    scale: Annotated[Range, AfterValidator(_at_most_one)] = (0.08, 1.0)
    """Of a `resized` crop: range of the area, as a share of the image."""
    ratio: Range = (3 / 4, 4 / 3)
    """Of a `resized` crop: range of width / height."""
    flip: Share = 0.5
    """Probability of a horizontal flip."""
    rotation: Annotated[NonNegative, Field(le=180)] = 0.0
    """Degrees: drawn from -rotation .. rotation, about the centre of the stored image; filled with black."""
    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    """Factors are drawn from max(0, 1 - value) .. 1 + value. As in ColorJitter the order of the four colour
    operations is random, but drawn per batch, not per sample."""
    hue: Annotated[NonNegative, Field(le=0.5)] = 0.0
    """Shift on the colour wheel, drawn from -hue .. hue; 0.5 is half a turn."""
    erase: Share = 0.0
    """Probability that a random rectangle is set to the mean colour."""
    blur: Blur = Blur()
    sharpness: Sharpness = Sharpness()
    policy: Policy = Policy()
    mixing: Mixing = Mixing()

    @model_validator(mode="after")
    def _check_padding(self) -> Self:
        if self.padding and self.crop != "random":
            raise ValueError(f"padding is of a random crop, not of {self.crop}: set padding to 0, or crop to random")
        return self
