"""TrivialAugment and RandAugment: torchvision's operations, magnitudes and probabilities, drawn per sample."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from datasets.loading import colour, pixels, policies
from datasets.loading.policies import OPERATIONS
from results.augmentation import BINS, Policy
from tests.helpers import small_photos

BILINEAR = v2.InterpolationMode.BILINEAR
TRIVIAL, RAND = Policy(name="trivialaugment"), Policy(name="randaugment")
NAMES = list(OPERATIONS)

INTERPOLATED = ("ShearX", "ShearY", "Rotate")
"""Where a float lies half way between two levels its last bit decides. All other operations agree in every value."""

ROUNDED_OTHERWISE = 0.02
"""Largest share of the values of an interpolated image that may differ from torchvision's, and then by one level."""


def photos(count: int = 4, size: int = 40, seed: int = 0) -> Tensor:
    """uint8 `(count, 3, size, size)`, the last one of two colours only."""
    images = small_photos.photos(count, size, size, seed)
    images[-1] = torch.where(images[-1] > 128, 200, 50)
    return images


def draws_for(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, policies.DRAWS, generator=torch.Generator().manual_seed(seed))


def torchvisions(reference: v2.Transform, image: Tensor, name: str, level: int, sign: int) -> Tensor:
    """One image after one operation, magnitude and pixels both torchvision's."""
    tabulate, signed = reference._AUGMENTATION_SPACE[name]
    magnitudes = tabulate(BINS, *image.shape[-2:])
    magnitude = 0.0 if magnitudes is None else float(magnitudes[level]) * (sign if signed else 1)
    return reference._apply_image_or_video_transform(image, name, magnitude, BILINEAR, {Tensor: None})


def assert_same_levels(ours: Tensor, theirs: Tensor, name: str) -> None:
    assert ours.dtype == theirs.dtype == torch.uint8
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= (1 if name in INTERPOLATED else 0)
    assert (difference > 0).float().mean() <= ROUNDED_OTHERWISE


# Parity with torchvision


@pytest.mark.parametrize("policy", [TRIVIAL, RAND], ids=lambda policy: policy.name)
@pytest.mark.parametrize("name", NAMES)
def test_every_magnitude_of_every_operation_is_torchvisions(name: str, policy: Policy) -> None:
    """Draws in the middle of their bins choose the operation, each magnitude and both directions."""
    reference = v2.TrivialAugmentWide() if policy is TRIVIAL else v2.RandAugment()
    image = photos()[1]
    cases = [(level, sign) for level in range(BINS) for sign in (-1, 1)]
    for level, sign in cases if policy is TRIVIAL else [case for case in cases if case[0] in (0, 9, 30)]:
        chosen = Policy(name=policy.name, operations=1, magnitude=level)
        draws = torch.tensor([[(NAMES.index(name) + 0.5) / len(NAMES), (level + 0.5) / BINS, 0.5 + 0.2 * sign]])
        ours = policies.apply(image[None], chosen, draws)[0]
        assert_same_levels(ours, torchvisions(reference, image, name, level, sign), name)


def test_both_policies_know_the_operations_of_torchvision_and_no_other() -> None:
    assert list(v2.TrivialAugmentWide._AUGMENTATION_SPACE) == NAMES
    assert list(v2.RandAugment._AUGMENTATION_SPACE) == NAMES


@pytest.mark.parametrize(
    ("operation", "reference", "values"),
    [
        (colour.adjust_brightness, functional.adjust_brightness, [0.0, 0.37, 1.0, 1.99]),
        (colour.adjust_contrast, functional.adjust_contrast, [0.0, 0.37, 1.0, 1.99]),
        (colour.adjust_saturation, functional.adjust_saturation, [0.0, 0.37, 1.0, 1.99]),
        (colour.adjust_sharpness, functional.adjust_sharpness, [0.0, 0.37, 1.0, 1.99]),
        (colour.posterize, functional.posterize, [0, 3, 7, 8]),
        (colour.solarize, functional.solarize, [0.0, 127.5, 128.0, 255.0]),
    ],
)
def test_a_batch_of_different_parameters_is_torchvisions_image_by_image(
    operation: object, reference: object, values: list[float]
) -> None:
    images = photos()
    ours = operation(images, torch.tensor(values, dtype=torch.float64))  # type: ignore[operator]
    theirs = torch.stack([reference(image, value) for image, value in zip(images, values, strict=True)])  # type: ignore[operator]
    assert ours.dtype == torch.uint8
    assert torch.equal(ours, theirs)


def test_sharpness_leaves_tiny_images_alone() -> None:
    tiny = photos()[..., :2, :]
    assert torch.equal(colour.adjust_sharpness(tiny, torch.tensor([0.0, 0.37, 1.0, 1.99])), tiny)


def test_autocontrast_leaves_a_channel_of_one_value_alone() -> None:
    images = photos()
    images[0, 1] = 77
    assert torch.equal(colour.autocontrast(images), functional.autocontrast(images))
    assert (colour.autocontrast(images)[0, 1] == 77).all()


def test_shear_and_translation_of_oblong_images_are_torchvisions_within_a_hundredth_of_a_level() -> None:
    images = photos(2, 60)[..., :44, :].float()
    slopes, none = torch.tensor([0.3, -0.7]), torch.zeros(2)
    height, width = images.shape[-2:]
    for matrices, axes in (
        (pixels.shears(slopes, none, height, width), (1, 0)),
        (pixels.shears(none, slopes, height, width), (0, 1)),
    ):
        degrees = [[by * axis for axis in axes] for by in slopes.atan().rad2deg().tolist()]
        theirs = [
            functional.affine(image, 0.0, [0, 0], 1.0, by, BILINEAR, center=[0, 0])
            for image, by in zip(images, degrees, strict=True)
        ]
        torch.testing.assert_close(pixels.affine(images, matrices), torch.stack(theirs), atol=1e-2, rtol=0)
    moved = pixels.affine(images, pixels.translations(torch.tensor([3.0, -5.0]), torch.tensor([-7.0, 0.0])))
    theirs = [
        functional.affine(image, 0.0, by, 1.0, [0.0, 0.0], BILINEAR)
        for image, by in zip(images, ([3, -7], [-5, 0]), strict=True)
    ]
    torch.testing.assert_close(moved, torch.stack(theirs), atol=1e-2, rtol=0)


# Draws


@given(seed=st.integers(0, 10_000), count=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_the_operations_of_a_sample_depend_on_its_own_draws_alone(seed: int, count: int) -> None:
    images, draws = photos(count, 24, seed), draws_for(count, seed)
    for policy in (TRIVIAL, Policy(name="randaugment", operations=3)):
        together = policies.apply(images, policy, draws)
        alone = [policies.apply(images[i : i + 1], policy, draws[i : i + 1]) for i in range(count)]
        assert torch.equal(together, torch.cat(alone))


def test_operations_magnitudes_and_directions_are_equally_likely() -> None:
    count = 14 * 31 * 40
    operations, magnitudes = policies.choose_operations(TRIVIAL, 224, draws_for(count)[:, :3])
    table = policies.magnitude_table("trivialaugment", 224)
    assert_uniform(operations.bincount(minlength=len(NAMES)))
    turned = magnitudes[operations == NAMES.index("Rotate")]
    levels = (turned.abs()[:, None] - table[NAMES.index("Rotate")]).abs().argmin(1)
    assert_uniform(levels.bincount(minlength=BINS))
    turned = turned[turned != 0]
    assert_uniform(torch.stack([(turned < 0).sum(), (turned > 0).sum()]))


def assert_uniform(counts: Tensor) -> None:
    """By the chi-squared statistic: beyond mean + 4 standard deviations one seed in some thousand would be."""
    expected = counts.sum() / len(counts)
    freedom = len(counts) - 1
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 4 * (2 * freedom) ** 0.5


def test_randaugment_applies_its_operations_in_sequence() -> None:
    images, draws = photos(6), draws_for(6)
    once = Policy(name="randaugment", operations=1, magnitude=20)
    stepwise = policies.apply(policies.apply(images, once, draws), once, draws[:, 3:])
    assert torch.equal(policies.apply(images, Policy(name="randaugment", operations=2, magnitude=20), draws), stepwise)


def test_input_images_are_not_modified() -> None:
    images = photos(30)
    before = images.clone()
    changed = policies.apply(images, TRIVIAL, draws_for(30))
    assert torch.equal(images, before)
    assert not torch.equal(changed, before)
    assert torch.equal(policies.apply(images, Policy(), draws_for(30)), before)


@pytest.mark.parametrize("name", NAMES)
def test_no_operation_reads_the_device(name: str) -> None:
    """A tensor on `meta` has no values: whatever would make the host wait for one fails, and so does a tensor that was
    left behind on the host."""
    images = torch.empty(5, 3, 32, 32, dtype=torch.uint8, device="meta")
    changed = policies.operate(images, torch.full((5,), NAMES.index(name)), torch.full((5,), 0.5).double())
    assert changed.device.type == "meta"
    assert changed.shape == images.shape
