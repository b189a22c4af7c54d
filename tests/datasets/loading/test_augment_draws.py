"""Random draws of augmentation: per sample, reproducible, with the probabilities of the settings; invalid settings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision.transforms import RandomResizedCrop, v2
from torchvision.transforms.v2 import functional

from datasets.loading import augment, pixels, policies
from datasets.loading.augment import normalise, resized_crop_boxes, test_batch, train_batch
from datasets.loading.feed import Batch
from results.augmentation import Augment, Blur, Policy, Sharpness
from tests.helpers.small_photos import batch_of, photos, seeded

EVERYTHING = Augment(
    crop="resized",
    rotation=20,
    blur=Blur(probability=0.5),
    sharpness=Sharpness(probability=0.5),
    policy=Policy(name="randaugment"),
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    erase=0.5,
)


@pytest.mark.parametrize("settings", [Augment(), Augment(padding=8), Augment(crop="center"), EVERYTHING])
def test_one_seed_gives_one_result_of_the_promised_form(settings: Augment) -> None:
    batch = batch_of(photos(6))
    before = batch.images.clone()
    first = train_batch(batch, settings, 48, seeded(1))
    assert first.shape == (6, 3, 48, 48)
    assert first.dtype == torch.float32
    assert first.isfinite().all()
    assert torch.equal(first, train_batch(batch, settings, 48, seeded(1)))
    assert not torch.equal(first, train_batch(batch, settings, 48, seeded(2)))
    assert torch.equal(batch.images, before)


@pytest.mark.parametrize("settings", [Augment(flip=0), EVERYTHING])
def test_each_sample_has_its_own_draw(settings: Augment) -> None:
    same = photos(1, 90, 120).expand(8, -1, -1, -1)
    result = train_batch(batch_of(same), settings, 48, seeded())
    assert len({tuple(image.flatten()[::97].tolist()) for image in result}) == 8


def test_enabling_one_operation_keeps_the_draws_of_the_others() -> None:
    batch = batch_of(photos(8))
    plain = train_batch(batch, Augment(), 48, seeded())
    erased = train_batch(batch, Augment(erase=1), 48, seeded())
    kept = erased != 0
    assert kept.float().mean() < 0.99
    assert torch.equal(erased[kept], plain[kept])
    blurred = train_batch(batch, Augment(blur=Blur(probability=0.5)), 48, seeded())
    same = (blurred == plain).flatten(1).all(1)
    assert 0 < same.sum() < 8  # crops and flips are the same ones


def test_without_any_operation_the_result_is_the_test_image() -> None:
    batch = batch_of(photos())
    assert torch.equal(train_batch(batch, Augment(crop="center", flip=0), 48, seeded()), test_batch(batch, 48))


def test_an_image_is_rotated_before_it_is_cropped() -> None:
    images = photos()
    result = train_batch(batch_of(images), Augment(crop="center", flip=0, rotation=30), 48, seeded())
    angles = (torch.rand(4, augment.DRAWS, generator=seeded())[:, 0] * 60 - 30).tolist()
    bilinear = v2.InterpolationMode.BILINEAR
    turned = [functional.rotate(image, angle, bilinear) for image, angle in zip(images, angles, strict=True)]
    expected = normalise(functional.center_crop(torch.stack(turned), [48, 48]))
    torch.testing.assert_close(result, expected, atol=1.01 / 255 / 0.224, rtol=0)


def test_a_policy_works_on_the_cropped_and_mirrored_image() -> None:
    batch = batch_of(photos(6))
    result = train_batch(batch, Augment(policy=Policy(name="trivialaugment")), 48, seeded())
    generator = seeded()
    draws = torch.rand(6, augment.DRAWS, generator=generator)
    torch.randperm(4, generator=generator)
    policy_draws = torch.rand(6, policies.DRAWS, generator=generator)
    cropped = pixels.crop(batch.images, augment.random_corners(batch.sizes, 48, draws[:, 2:4]), draws[:, 1] < 0.5, 48)
    assert torch.equal(result, normalise(policies.apply(cropped, Policy(name="trivialaugment"), policy_draws)))


def test_blur_and_sharpness_work_in_this_order_on_the_cropped_and_mirrored_images_that_draw_them() -> None:
    settings = Augment(padding=6, blur=Blur(probability=0.6, sigma=(0.5, 3)), sharpness=Sharpness(probability=0.6))
    batch, draws = batch_of(photos(12)), torch.rand(12, augment.DRAWS, generator=seeded())
    result = train_batch(batch, settings, 80, seeded())  # higher than the images are
    corners, flips = augment.random_corners(batch.sizes + 12, 80, draws[:, 2:4]) - 6, draws[:, 1] < 0.5
    kinds = set()
    for number, ours in enumerate(result):
        (top, left), image = corners[number].tolist(), functional.pad(batch.images[number], 6)
        expected = functional.crop(image, top + 6, left + 6, 80, 80)
        expected = functional.horizontal_flip(expected) if flips[number] else expected
        blurs, amount, sharpens = draws[number, 13:16].tolist()
        if blurs < 0.6:
            expected = functional.gaussian_blur(expected, 5, 0.5 + 2.5 * amount)
        if sharpens < 0.6:
            expected = functional.adjust_sharpness(expected, 2.0)
        kinds.add((blurs < 0.6, sharpens < 0.6))
        torch.testing.assert_close(ours, normalise(expected[None])[0], atol=2.01 / 255 / 0.224, rtol=0)
    assert len(kinds) == 4


def test_crops_of_a_padded_image_are_spread_over_all_places() -> None:
    corners = augment.random_corners(torch.tensor([[8 + 4, 10 + 4]] * 8000), 8, torch.rand(8000, 2)) - 2
    for places, extent in zip(corners.unbind(1), (8, 10), strict=True):
        counts = (places + 2).bincount()
        assert len(counts) == extent + 4 - 8 + 1
        assert counts.min() > 8000 / len(counts) * 0.85


def test_resize_keeps_the_whole_image() -> None:
    images, sizes = photos(), torch.tensor([[70, 90], [40, 50], [70, 30], [64, 64]])
    result = train_batch(batch_of(images, sizes), Augment(crop="resize", flip=0), 48, seeded())
    wholes = [image[:, :height, :width] for image, (height, width) in zip(images, sizes.tolist(), strict=True)]
    expected = torch.stack([functional.resize(whole, [48, 48], antialias=True) for whole in wholes])
    torch.testing.assert_close(result, normalise(expected), atol=1.01 / 255 / 0.224, rtol=0)


@pytest.mark.parametrize("settings", [Augment(), EVERYTHING, Augment(crop="resize", rotation=20)])
def test_memory_layout_and_padding_change_nothing(settings: Augment) -> None:
    """Other strides are the same pixels, and wider padding about the images changes at most the rounding of a turn."""
    images = photos(5)
    plain = train_batch(batch_of(images), settings, 48, seeded())
    strided = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(train_batch(batch_of(strided), settings, 48, seeded()), plain)
    padded = torch.nn.functional.pad(images, (0, 13, 0, 6))
    sizes = torch.tensor([[70, 90]] * 5)
    differs = train_batch(batch_of(padded, sizes), settings, 48, seeded()) != plain
    assert differs.float().mean() < 0.01


def test_how_many_images_are_jittered_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(photos(7))
    plain = train_batch(batch, EVERYTHING, 48, seeded())
    for count in (1, 3, 100):
        monkeypatch.setattr(augment, "CPU_CHUNK", count)
        assert torch.equal(train_batch(batch, EVERYTHING, 48, seeded()), plain)


@pytest.mark.parametrize(
    "settings",
    [Augment(), Augment(padding=8), EVERYTHING, Augment(crop="resize", policy=Policy(name="trivialaugment"))],
)
def test_nothing_waits_for_the_device(settings: Augment) -> None:
    """A tensor on `meta` has no values: whatever would make the host wait for one fails. CUDA takes the same path."""
    batch = Batch(photos(6).to("meta"), torch.tensor([[70, 90]] * 6), torch.zeros(6), np.arange(6))
    result = train_batch(batch, settings, 48, seeded())
    assert result.device.type == "meta"
    assert result.shape == (6, 3, 48, 48)


def test_all_crop_positions_and_flips_are_drawn() -> None:
    """A picture of its own coordinates shows what was drawn."""
    columns = torch.arange(10).expand(4000, 3, 8, 10).to(torch.uint8)
    result = train_batch(batch_of(columns), Augment(), 8, seeded())
    left = (result[:, 0, 0, 0] * augment.IMAGENET.std[0] + augment.IMAGENET.mean[0]).mul(255).round().long()
    counts = left.bincount()
    assert counts.nonzero().flatten().tolist() == [0, 1, 2, 7, 8, 9]  # three places, straight and mirrored
    assert counts[counts > 0].min() > 4000 / 6 * 0.85


@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_resized_crops_lie_within_the_image(height: int, width: int, seed: int) -> None:
    draws = torch.rand(16, 30, generator=seeded(seed))
    boxes = resized_crop_boxes(torch.tensor([[height, width]] * 16), (0.08, 1.0), (3 / 4, 4 / 3), draws)
    top, left, box_height, box_width = boxes.unbind(1)
    assert (boxes >= 0).all()
    assert (box_height >= 1).all()
    assert (box_width >= 1).all()
    assert (top + box_height <= height).all()
    assert (left + box_width <= width).all()


def test_resized_crops_are_spread_as_torchvisions_are() -> None:
    count, scale, ratio = 3000, (0.2, 1.0), (0.5, 2.0)
    torch.manual_seed(0)
    image = torch.empty(3, 100, 160)
    reference = torch.tensor([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(count)])
    boxes = resized_crop_boxes(torch.tensor([[100, 160]] * count), scale, ratio, torch.rand(count, 30))
    for ours, theirs in zip(boxes.float().unbind(1), reference.float().unbind(1), strict=True):
        assert abs(ours.mean() - theirs.mean()) < 4 * theirs.std() * (2 / count) ** 0.5
        assert abs(ours.std() / theirs.std() - 1) < 0.1


def test_if_no_draw_fits_the_largest_centred_box_is_used() -> None:
    boxes = resized_crop_boxes(torch.tensor([[10, 400], [400, 10]]), (1.0, 1.0), (3 / 4, 4 / 3), torch.rand(2, 30))
    assert boxes.tolist() == [[0, 193, 10, 13], [193, 0, 13, 10]]


def test_probabilities_are_those_of_the_settings() -> None:
    images = photos(1, 24, 24).expand(2000, -1, -1, -1)
    flipped = train_batch(batch_of(images), Augment(crop="center", flip=0.25), 24, seeded())
    straight = normalise(images[:1])
    assert 0.22 < (flipped != straight).flatten(1).any(1).float().mean() < 0.28
    erased = train_batch(batch_of(images), Augment(crop="center", flip=0, erase=0.5), 24, seeded())
    share = (erased == 0).flatten(1).float().mean(1)
    assert 0.46 < (share > 0).float().mean() < 0.54
    assert share.max() < 0.4
    assert share[share > 0].min() > 0.005


# Settings

WRONG_POLICIES = [{"name": "autoaugment"}, {"operations": 0}, {"operations": 5}, {"magnitude": 31}, {"bins": 10}]
WRONG_MIXING = [{"mixup": -1}, {"cutmix": -0.1}, {"probability": 1.1}, {"epochs": 0}, {"alpha": 1}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip": 1.5},
        {"hue": 0.6},
        {"rotation": -1},
        {"brightness": -0.1},
        {"scale": (0.5, 0.2)},
        {"scale": (0.5, 1.2)},
        {"ratio": (0, 1)},
        {"crop": "middle"},
        {"erase": -1},
        {"padding": -1},
        {"padding": 4, "crop": "resize"},
        {"blur": {"kernel_size": 4}},
        {"blur": {"sigma": (2, 1)}},
        {"sharpness": {"factor": -1}},
        {"flipp": 0.5},
        *({"policy": wrong} for wrong in WRONG_POLICIES),
        *({"mixing": wrong} for wrong in WRONG_MIXING),
    ],
)
def test_settings_out_of_range_or_unknown_are_refused(wrong: dict[str, object]) -> None:
    (setting, value), *_ = wrong.items()
    setting = f"{setting}.{next(iter(value))}" if isinstance(value, dict) else setting
    with pytest.raises(ValidationError, match=setting):
        Augment.model_validate(wrong)


def test_a_stored_image_too_small_for_the_crop_says_which_setting_to_change() -> None:
    batch = batch_of(photos(2, 40, 60))
    for wrong in (
        lambda: test_batch(batch, 48),
        lambda: train_batch(batch, Augment(), 48, seeded()),
    ):
        with pytest.raises(
            ValueError, match="side of 40 px, too small for a crop of 48 px: raise the stored size to 48"
        ):
            wrong()
    assert train_batch(batch, Augment(crop="resized"), 48, seeded()).shape == (2, 3, 48, 48)
