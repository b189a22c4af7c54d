"""The further views that attention leads to: what is drawn, what is not, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.attention import crops
from methods.ops.attention.views import AttentionViews

AS_RELEASED = AttentionViews(align_corners=True, maximum_of="cells", clamp_boxes=True, bounds="pixels")
"""As in PyTorch code of WS-DAN and CAL."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def peaks(*cells: tuple[int, int]) -> Tensor:
    """Maps `(1, M, 8, 8)` with one high cell each, and little elsewhere."""
    maps = torch.full((1, len(cells), 8, 8), 0.01)
    for index, (row, column) in enumerate(cells):
        maps[0, index, row, column] = 1
    return maps


def slow_object_crop(image: Tensor, maps: Tensor, threshold: float, padding: float) -> Tensor:
    """As released: resize the mean map with aligned corners, cut out whole pixels, enlarge them."""
    height, width = image.shape[1:]
    mean = maps.mean(dim=0)
    large = F.interpolate(mean[None, None], (height, width), mode="bilinear", align_corners=True)[0, 0]
    rows, columns = torch.nonzero(large >= threshold * mean.max()).unbind(1)
    top, left = (max(int(int(p.min()) - padding * n), 0) for p, n in ((rows, height), (columns, width)))
    bottom, right = (min(int(int(p.max()) + padding * n), n) for p, n in ((rows, height), (columns, width)))
    part = image[None, :, top:bottom, left:right]
    return F.interpolate(part, (height, width), mode="bilinear", align_corners=True)[0]


@pytest.mark.parametrize(("threshold", "padding"), [(0.1, 0.05), (0.2, 0.1), (0.3, 0.1)])
def test_the_object_is_where_the_mean_map_is_high(threshold: float, padding: float):
    images, attention = torch.randn(6, 3, 32, 40), torch.rand(6, 5, 8, 10).pow(12)
    views = AS_RELEASED.object_cropped(images, attention, threshold, padding)
    for view, image, maps in zip(views, images, attention, strict=True):
        torch.testing.assert_close(view, slow_object_crop(image, maps, threshold, padding), atol=1e-4, rtol=1e-4)


def test_the_strongest_part_is_shown_without_draws():
    images, attention = torch.randn(1, 3, 32, 32), peaks((1, 1), (6, 6))
    attention[:, 1] *= 2
    cropped, dropped = AS_RELEASED.strongest_part(images, attention)
    assert torch.equal(cropped, AS_RELEASED.cropped(images, attention[:, 1], 0.5))
    region = crops.salient(attention[:, 1], (32, 32), 0.35, True, "cells")
    assert torch.equal(dropped, images.masked_fill(region[:, None], 0))
    assert region[0, 24:28, 24:28].any()


def test_each_sample_draws_its_part_for_crop_and_drop_apart():
    images = torch.randn(1, 3, 32, 32).repeat(64, 1, 1, 1)
    attention = peaks((1, 1), (6, 6)).repeat(64, 1, 1, 1)
    views = AttentionViews(crop_threshold=(0.5, 0.5), drop_threshold=(0.5, 0.5))
    cropped, dropped = views.part_cropped(images, attention), views.part_dropped(images, attention)
    first = [torch.isclose(one, cropped[0]).all().item() for one in cropped]
    hidden = [torch.equal(one, dropped[0]) for one in dropped]
    assert 16 < sum(first) < 48
    assert 16 < sum(hidden) < 48
    assert first != hidden


def test_no_view_carries_a_gradient():
    images, attention = torch.randn(2, 3, 16, 16), torch.rand(2, 3, 4, 4, requires_grad=True)
    views = AttentionViews()
    made = [views.part_cropped(images, attention), views.part_dropped(images, attention)]
    made += [*views.strongest_part(images, attention), views.object_cropped(images, attention, 0.1, 0.05)]
    assert not any(view.requires_grad for view in made)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"crop_threshold": [0.6, 0.4]}, "two numbers"),
        ({"drop_threshold": [0.2]}, "two numbers"),
        ({"crop_padding": -0.1}, "crop_padding is -0.1; it must be a share"),
        ({"bounds": "floor"}, "bounds is 'floor'; it must be one of shares, pixels"),
        ({"maximum_of": "max"}, "maximum_of is 'max'; it must be one of resized, cells"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(setting: dict, message: str):
    with pytest.raises(ValueError, match=message):
        AttentionViews(**setting)
