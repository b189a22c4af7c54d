"""Augmentation of a batch: each operation gives torchvision's pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from datasets.loading import colour, pixels
from datasets.loading.augment import normalise, test_batch
from results.augmentation import InputScaling
from tests.helpers.small_photos import batch_of, photos, seeded


def one_by_one(operation: object, images: Tensor, parameters: Tensor) -> Tensor:
    return torch.stack([operation(image, value) for image, value in zip(images, parameters.tolist(), strict=True)])  # type: ignore[operator]


FLIPS = torch.tensor([False, True, True, False])


# Parity with torchvision


@pytest.mark.parametrize("crop", [pixels.crop_by_slices, pixels.crop_by_gather])
def test_a_crop_copies_exactly_the_pixels_of_its_window(crop: object) -> None:
    images = photos()
    corners = torch.tensor([[0, 0], [38, 58], [7, 31], [20, 1]])
    windows = crop(images, corners, FLIPS, 32)  # type: ignore[operator]
    assert windows.dtype == torch.uint8
    for image, window, (top, left), flip in zip(images, windows, corners.tolist(), FLIPS.tolist(), strict=True):
        expected = functional.crop(image, top, left, 32, 32)
        assert torch.equal(window, functional.horizontal_flip(expected) if flip else expected)


@pytest.mark.parametrize("crop", [pixels.crop_by_slices, pixels.crop_by_gather])
def test_a_crop_beyond_the_image_is_that_of_the_image_padded_with_black(crop: object) -> None:
    """Also where the images of a batch differ in size, and something else lies beyond their ends."""
    images, sizes = photos(), torch.tensor([[70, 90], [40, 50], [70, 30], [64, 64]])
    reaching, outside = [[-8, -8], [16, 26], [46, -3], [-1, 7]], [[-50, 0], [50, 60], [0, -40], [-45, -45]]
    for corners in (reaching, outside):
        windows = crop(images, torch.tensor(corners), FLIPS, 32, sizes)  # type: ignore[operator]
        given = zip(images, windows, sizes.tolist(), corners, FLIPS.tolist(), strict=True)
        for image, window, (height, width), (top, left), flip in given:
            padded = functional.pad(image[:, :height, :width], 50)
            expected = functional.crop(padded, top + 50, left + 50, 32, 32)
            assert torch.equal(window, functional.horizontal_flip(expected) if flip else expected)


@pytest.mark.parametrize("resized_crop", [pixels.resized_crop_by_slices, pixels.resized_crop_by_products])
@pytest.mark.parametrize("size", [16, 32, 100])
def test_a_resized_crop_is_torchvisions_within_one_level(resized_crop: object, size: int) -> None:
    images = photos()
    boxes = torch.tensor([[0, 0, 70, 90], [10, 20, 33, 41], [69, 89, 1, 1], [5, 0, 60, 20]])
    windows = resized_crop(images, boxes, FLIPS, size)  # type: ignore[operator]
    for image, window, box, flip in zip(images, windows, boxes.tolist(), FLIPS.tolist(), strict=True):
        expected = functional.resized_crop(image, *box, [size, size], antialias=True)
        expected = functional.horizontal_flip(expected) if flip else expected
        assert window.dtype == torch.uint8
        assert (window.int() - expected.int()).abs().max() <= 1


class CopiedToMeta(TorchDispatchMode):
    """Counts the numbers that are copied from the host to the meta device, which stands for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("device") == torch.device("meta") and args and isinstance(args[0], torch.Tensor):
            self.numbers += args[0].numel()
        return function(*args, **kwargs)


class Products(TorchDispatchMode):
    """Notes the types of the matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[torch.dtype] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket.__name__ in ("mm", "bmm", "addmm", "baddbmm"):
            self.types.append(args[0].dtype)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("crop", [pixels.crop, pixels.resized_crop])
def test_boxes_and_flips_alone_are_copied_to_the_device(crop: object) -> None:
    images = torch.empty(4, 3, 70, 90, dtype=torch.uint8, device="meta")
    boxes = torch.tensor([[0, 0, 70, 90], [10, 20, 33, 41], [1, 2, 3, 4], [5, 0, 60, 20]])
    given = boxes[:, :2] if crop is pixels.crop else boxes
    with CopiedToMeta() as copied:
        windows = crop(images, given, FLIPS, 32)  # type: ignore[operator]
    assert windows.shape == (4, 3, 32, 32)
    assert 0 < copied.numbers <= given.numel() + FLIPS.numel()


@pytest.mark.parametrize("size", [16, 32, 100])
def test_products_in_half_precision_are_torchvisions_float_resize_within_three_quarters_of_a_level(size: int) -> None:
    """Half a level is the last rounding's, a quarter that of weights and sums: none are lost in between."""
    images = photos()
    images[3] = 255
    boxes = torch.tensor([[0, 0, 70, 90], [10, 20, 33, 41], [1, 2, 3, 4], [5, 0, 60, 20]])
    windows = pixels.resized_crop_by_products(images, boxes, torch.zeros(4, dtype=torch.bool), size)
    for image, window, box in zip(images, windows, boxes.tolist(), strict=True):
        expected = functional.resized_crop(image.float(), *box, [size, size], antialias=True)
        torch.testing.assert_close(window.float(), expected, atol=0.75, rtol=0)
    assert (windows[3] == 255).all()


@pytest.mark.parametrize("size", [(70, 90), (8, 5), (1, 3)])
def test_the_grid_without_a_matrix_product_is_torchs(size: tuple[int, int]) -> None:
    matrices = torch.randn(5, 2, 3, generator=seeded())
    expected = affine_grid(matrices, [5, 3, *size], align_corners=False)
    torch.testing.assert_close(pixels.grid_by_sums(matrices, *size), expected, atol=1e-6, rtol=0)


def test_the_grid_of_a_gpu_is_not_rounded_by_tf32() -> None:
    """The meta device takes the path of a GPU. TF32 rounds matrix products alone."""
    images = torch.empty(4, 3, 70, 90, dtype=torch.uint8, device="meta")
    with Products() as products:
        pixels.rotate(images, torch.tensor([[70, 90]] * 4), torch.tensor([-30.0, 0.0, 7.5, 180.0]))
    assert products.types == []
    with Products() as products:
        pixels.resized_crop(images, torch.tensor([[0, 0, 70, 90]] * 4), FLIPS, 32)
    assert products.types == [torch.float16] * 2


def test_rotation_is_torchvisions_within_a_hundredth_of_a_level() -> None:
    images, angles = photos(), torch.tensor([-30.0, 0.0, 7.5, 180.0])
    sizes = torch.tensor([[70, 90]] * 4)
    turned = pixels.rotate(images.float(), sizes, angles)
    expected = one_by_one(
        lambda image, angle: functional.rotate(image, angle, v2.InterpolationMode.BILINEAR, fill=None),
        images.float(),
        angles,
    )
    torch.testing.assert_close(turned, expected, atol=1e-2, rtol=0)
    rounded = pixels.rotate(images, sizes, angles)
    assert rounded.dtype == torch.uint8
    assert (rounded.float() - expected).abs().max() <= 0.51


def test_a_padded_image_turns_about_its_own_centre() -> None:
    image, padded = photos(1, 40, 50), torch.zeros(1, 3, 64, 80, dtype=torch.uint8)
    padded[:, :, :40, :50] = image
    alone = pixels.rotate(image.float(), torch.tensor([[40, 50]]), torch.tensor([20.0]))
    within = pixels.rotate(padded.float(), torch.tensor([[40, 50]]), torch.tensor([20.0]))
    torch.testing.assert_close(within[:, :, :40, :50], alone, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("operation", "reference", "values"),
    [
        (colour.adjust_brightness, functional.adjust_brightness, [0.0, 0.6, 1.0, 1.9]),
        (colour.adjust_contrast, functional.adjust_contrast, [0.0, 0.6, 1.0, 1.9]),
        (colour.adjust_saturation, functional.adjust_saturation, [0.0, 0.6, 1.0, 1.9]),
        (colour.adjust_sharpness, functional.adjust_sharpness, [0.0, 0.6, 1.0, 1.9]),
        (colour.adjust_hue, functional.adjust_hue, [-0.5, -0.1, 0.0, 0.37]),
    ],
)
def test_colour_is_torchvisions_within_a_hundredth_of_a_level(
    operation: object, reference: object, values: list[float]
) -> None:
    images = photos().float() / 255
    images[0, :, :8] = 0.5  # grey has no hue
    parameters = torch.tensor(values)
    adjusted = operation(images, parameters)  # type: ignore[operator]
    torch.testing.assert_close(adjusted, one_by_one(reference, images, parameters), atol=4e-5, rtol=0)


@pytest.mark.parametrize("kernel_size", [3, 5, 9])
def test_a_blur_is_torchvisions_within_one_level(kernel_size: int) -> None:
    images, sigmas = photos(), torch.tensor([0.1, 0.7, 2.0, 5.0])
    blurred = colour.gaussian_blur(images, sigmas, kernel_size)
    expected = one_by_one(lambda image, sigma: functional.gaussian_blur(image, kernel_size, sigma), images, sigmas)
    assert blurred.dtype == torch.uint8
    difference = (blurred.int() - expected.int()).abs()
    assert difference.max() <= 1  # where a sum lies half way between two levels
    assert (difference > 0).float().mean() < 1e-3
    floats = colour.gaussian_blur(images.float(), sigmas, kernel_size)
    exact = one_by_one(lambda image, sigma: functional.gaussian_blur(image, kernel_size, sigma), images.float(), sigmas)
    torch.testing.assert_close(floats, exact, atol=1e-3, rtol=0)
    assert torch.equal(blurred[0], images[0])  # a tenth of a pixel reaches no neighbour


def test_erasing_is_torchvisions() -> None:
    images = torch.randn(2, 3, 20, 30)
    corners, extents = torch.tensor([[2.0, 3.0], [4.0, 5.0]]), torch.tensor([[5.0, 7.0], [0.0, 0.0]])
    erased = pixels.erase(images, corners, extents)
    assert torch.equal(erased[0], functional.erase(images[0], 2, 3, 5, 7, torch.zeros(3, 1, 1)))
    assert torch.equal(erased[1], images[1])


@pytest.mark.parametrize("scaling", [InputScaling(), InputScaling(mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))])
def test_normalisation_is_torchvisions_and_leaves_its_input_alone(scaling: InputScaling) -> None:
    images = photos()
    expected = functional.normalize(images.float() / 255, list(scaling.mean), list(scaling.std))
    torch.testing.assert_close(normalise(images, scaling), expected, atol=1e-5, rtol=0)
    given_floats = images.float()
    normalise(given_floats)
    assert torch.equal(given_floats, images.float())


@pytest.mark.parametrize("size", [(70, 90), (71, 90), (64, 93)])
def test_a_test_image_is_torchvisions_centre_crop(size: tuple[int, int]) -> None:
    images = photos(2, *size)
    expected = normalise(functional.center_crop(images, [64, 64]))
    assert torch.equal(test_batch(batch_of(images), 64), expected)


def test_a_test_crop_of_padded_images_is_centred_in_each() -> None:
    small, padded = photos(1, 40, 50), photos(2, 64, 80)
    padded[0] = 0
    padded[0, :, :40, :50] = small
    result = test_batch(batch_of(padded, torch.tensor([[40, 50], [64, 80]])), 32)
    assert torch.equal(result[0], normalise(functional.center_crop(small, [32, 32]))[0])
    assert torch.equal(result[1], normalise(functional.center_crop(padded[1:], [32, 32]))[0])
