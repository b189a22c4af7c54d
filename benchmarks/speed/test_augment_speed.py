"""Images per second of augmentation: a whole batch at once, compared with torchvision's v2 image by image.

Measures each operation with parameters that differ between samples, and the augmentation of each method's recipe. Both
run on a CUDA GPU with batches at 448 px, or on a CPU with small ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

import methods
from benchmarks.planning import method_files, recipes
from datasets.loading import augment, colour, pixels
from datasets.loading.augment import normalise, train_batch
from datasets.loading.feed import Batch
from datasets.loading.mixup import mix
from results.augmentation import Augment, Blur, Mixing, Policy, Sharpness
from tests.helpers.speed import CUDA, DEVICE, finish, peak, seconds

BATCH, STORED, SIZE = (64, 512, 448) if CUDA else (32, 256, 224)
BILINEAR = v2.InterpolationMode.BILINEAR
OF_LEVELS, OF_FLOATS = 1.01, 1e-4
"""Largest difference from torchvision's pixels: in levels of 255, and for floats of another scale."""


def photos() -> Tensor:
    """uint8 `(BATCH, 3, STORED, STORED)`: smooth shapes with some noise."""
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(BATCH, 3, 16, 16), (STORED, STORED), mode="bicubic") * 255
    return (smooth + 20 * torch.randn_like(smooth)).clamp(0, 255).to(torch.uint8).to(DEVICE)


def spread(low: float, high: float) -> Tensor:
    """Parameters (BATCH,) from `low` to `high`."""
    return torch.linspace(low, high, BATCH)


def measure(benchmark: Any, ours: Callable[[], object], torchvisions: Callable[[], object]) -> None:
    """Times both in turns and records their images per second."""

    def work() -> None:
        ours()
        finish()

    benchmark.pedantic(work, rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        times = seconds({"ours": ours, "torchvision": torchvisions})
        benchmark.extra_info["images/s"] = round(BATCH / times["ours"])
        benchmark.extra_info["torchvision, images/s"] = round(BATCH / times["torchvision"])
        benchmark.extra_info["time of torchvision / ours"] = round(times["torchvision"] / times["ours"], 2)


CORNERS = torch.stack([spread(0, STORED - SIZE), spread(STORED - SIZE, 0)], 1).long()
BOXES = torch.stack([spread(0, 40), spread(40, 0), spread(STORED - 40, 60), spread(80, STORED - 40)], 1).long()
NOT_FLIPPED = torch.zeros(BATCH, dtype=torch.bool)
WHOLE = torch.tensor([STORED, STORED]).expand(BATCH, 2)
FACTORS, ANGLES = spread(0.2, 1.8), spread(-30, 30)

OPERATIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[..., Tensor], Tensor]] = {
    "brightness": (colour.adjust_brightness, functional.adjust_brightness, FACTORS),
    "contrast": (colour.adjust_contrast, functional.adjust_contrast, FACTORS),
    "saturation": (colour.adjust_saturation, functional.adjust_saturation, FACTORS),
    "sharpness": (colour.adjust_sharpness, functional.adjust_sharpness, FACTORS),
    "posterize": (colour.posterize, functional.posterize, spread(1, 8).long()),
    "solarize": (colour.solarize, functional.solarize, spread(0, 255)),
    "crop": (
        lambda images, corners: pixels.crop(images, corners, NOT_FLIPPED, SIZE),
        lambda image, corner: functional.crop(image, *corner, SIZE, SIZE),
        CORNERS,
    ),
    "padded crop": (
        lambda images, corners: pixels.crop(images, corners - 8, NOT_FLIPPED, SIZE, WHOLE),
        lambda image, corner: functional.crop(functional.pad(image, 8), *corner, SIZE, SIZE),
        CORNERS,
    ),
    "blur": (
        lambda images, sigmas: colour.gaussian_blur(images, sigmas, 5),
        lambda image, sigma: functional.gaussian_blur(image, 5, sigma),
        FACTORS,
    ),
    "resized crop": (
        lambda images, boxes: pixels.resized_crop(images, boxes, NOT_FLIPPED, SIZE),
        lambda image, box: functional.resized_crop(image, *box, [SIZE, SIZE]),
        BOXES,
    ),
    "rotate": (
        lambda images, angles: pixels.rotate(images, WHOLE, angles),
        lambda image, angle: functional.rotate(image, angle, BILINEAR),
        ANGLES,
    ),
    "shear": (
        lambda images, angles: pixels.affine(
            images, pixels.shears((-angles).deg2rad().tan(), 0 * angles, STORED, STORED)
        ),
        lambda image, angle: functional.affine(image, 0.0, [0, 0], 1.0, [-angle, 0.0], BILINEAR, center=[0, 0]),
        ANGLES,
    ),
    "translate": (
        lambda images, corners: pixels.affine(images, pixels.translations(*corners.float().unbind(1))),
        lambda image, corner: functional.affine(image, 0.0, corner, 1.0, [0.0, 0.0], BILINEAR),
        CORNERS,
    ),
    "hue": (
        lambda images, angles: colour.adjust_hue(images / 255, angles / 60),
        lambda image, angle: functional.adjust_hue(image / 255, angle / 60),
        ANGLES,
    ),
    "autocontrast": (
        lambda images, _: colour.autocontrast(images),
        lambda image, _: functional.autocontrast(image),
        FACTORS,
    ),
    "equalize": (lambda images, _: functional.equalize(images), lambda image, _: functional.equalize(image), FACTORS),
    "normalise": (
        lambda images, _: normalise(images),
        lambda image, _: functional.normalize(image / 255, list(augment.IMAGENET.mean), list(augment.IMAGENET.std)),
        FACTORS,
    ),
    "erase": (
        lambda images, corners: pixels.erase(images, corners, torch.full_like(corners, 60)),
        lambda image, corner: functional.erase(image, *corner, 60, 60, torch.zeros_like(image[:, :1, :1])),
        CORNERS,
    ),
}
"""Our function of a batch, torchvision's of an image, and the parameters of both, one row per sample."""


@pytest.mark.benchmark(group=f"augmentation, {BATCH} images of {STORED} px")
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(benchmark: Any, name: str) -> None:
    images = photos()
    batched, torchvisions, parameters = OPERATIONS[name]

    def ours() -> Tensor:
        return batched(images, parameters)

    def one_by_one() -> Tensor:
        return torch.stack([torchvisions(*sample) for sample in zip(images, parameters.tolist(), strict=True)])

    expected = one_by_one()
    tolerance = OF_FLOATS if expected.is_floating_point() else OF_LEVELS
    torch.testing.assert_close(ours().float(), expected.float(), atol=tolerance, rtol=0)
    measure(benchmark, ours, one_by_one)


def transform_of(settings: Augment) -> v2.Compose:
    """torchvision's transform of one uint8 image with these settings."""
    crops: dict[str, v2.Transform] = {
        "random": v2.RandomCrop(SIZE, settings.padding or None),
        "resized": v2.RandomResizedCrop(SIZE, settings.scale, settings.ratio),
        "center": v2.CenterCrop(SIZE),
        "resize": v2.Resize((SIZE, SIZE)),
    }
    steps: list[v2.Transform] = [crops[settings.crop], v2.RandomHorizontalFlip(settings.flip)]
    if settings.rotation:
        steps.insert(0, v2.RandomRotation(settings.rotation, BILINEAR))
    blur, sharpness = settings.blur, settings.sharpness
    if blur.probability:
        steps.append(v2.RandomApply([v2.GaussianBlur(blur.kernel_size, blur.sigma)], blur.probability))
    if sharpness.probability:
        steps.append(v2.RandomAdjustSharpness(sharpness.factor, sharpness.probability))
    if settings.policy.name == "trivialaugment":
        steps.append(v2.TrivialAugmentWide(interpolation=BILINEAR))
    if settings.policy.name == "randaugment":
        steps.append(v2.RandAugment(settings.policy.operations, settings.policy.magnitude, interpolation=BILINEAR))
    steps.append(v2.ToDtype(torch.float32, scale=True))
    if any(jitter := (settings.brightness, settings.contrast, settings.saturation, settings.hue)):
        steps.append(v2.ColorJitter(*jitter))
    steps.append(v2.Normalize(augment.IMAGENET.mean, augment.IMAGENET.std))
    if settings.erase:
        steps.append(v2.RandomErasing(settings.erase))
    return v2.Compose(steps)


def recipe_of(method: str) -> Augment:
    backbone = method_files.method_file(method).recipe.backbone
    return recipes.recipe_for(method, "paper", "paper", "", backbone, {}).augment


SETTINGS = {
    **{f"recipe of {method}": recipe_of(method) for method in methods.available()},
    "resized": Augment(crop="resized"),
    "trivialaugment": Augment(crop="resized", policy=Policy(name="trivialaugment")),
    "randaugment": Augment(crop="resized", policy=Policy(name="randaugment"), erase=0.25),
    "padding, blur and sharpness": Augment(
        padding=8, blur=Blur(probability=0.1, sigma=(0.1, 5)), sharpness=Sharpness(probability=0.1, factor=1.5)
    ),
    "jitter": Augment(crop="resized", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
}


@pytest.mark.benchmark(group=f"augmentation of a recipe, {BATCH} images of {STORED} px to {SIZE} px")
@pytest.mark.parametrize("name", SETTINGS)
def test_recipe(benchmark: Any, name: str) -> None:
    images, settings = photos(), SETTINGS[name]
    batch = Batch(images, WHOLE, torch.zeros(BATCH, dtype=torch.long), np.arange(BATCH))
    generator = torch.Generator().manual_seed(0)
    transform = transform_of(settings)
    assert train_batch(batch, settings, SIZE, generator).shape == transform(images).shape
    measure(
        benchmark,
        lambda: train_batch(batch, settings, SIZE, generator),
        lambda: torch.stack([transform(image) for image in images]),
    )


@pytest.mark.benchmark(group=f"compiled augmentation, {BATCH} images of {STORED} px to {SIZE} px")
@pytest.mark.parametrize("name", ["recipe of plain", "trivialaugment", "randaugment", "jitter"])
@pytest.mark.skipif(not CUDA, reason="augmentation is compiled on a GPU only")
def test_compiled(benchmark: Any, name: str) -> None:
    """Against the same augmentation uncompiled. Compiling is part of the warm-up."""
    batch = Batch(photos(), WHOLE, torch.zeros(BATCH, dtype=torch.long), np.arange(BATCH))
    generator = torch.Generator().manual_seed(0)
    works = {
        way: lambda compile=way == "compiled": train_batch(batch, SETTINGS[name], SIZE, generator, compile=compile)
        for way in ("compiled", "uncompiled")
    }
    benchmark.pedantic(lambda: (works["compiled"](), finish()), rounds=3, warmup_rounds=1)
    if benchmark.enabled:
        times = seconds(works)
        benchmark.extra_info["images/s"] = round(BATCH / times["compiled"])
        benchmark.extra_info["time of uncompiled / compiled"] = round(times["uncompiled"] / times["compiled"], 2)
        benchmark.extra_info["MB, uncompiled"] = round(peak(works["uncompiled"]) / 1e6)
        benchmark.extra_info["MB, compiled"] = round(peak(works["compiled"]) / 1e6)


@pytest.mark.skipif(not CUDA, reason="a CPU has nothing to wait for; tests/ check the same on the meta device")
def test_no_wait_for_the_gpu() -> None:
    batch = Batch(photos(), WHOLE, torch.zeros(BATCH, dtype=torch.long, device=DEVICE), np.arange(BATCH))
    generator = torch.Generator().manual_seed(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for settings in SETTINGS.values():
            images = train_batch(batch, settings, SIZE, generator)
            mix(images, batch.labels, 10, Mixing(mixup=1, cutmix=1), 0, generator)
    finally:
        torch.cuda.set_sync_debug_mode("default")
