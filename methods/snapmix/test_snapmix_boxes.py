"""SnapMix's boxes against the obvious formulas: cut out, resize, put in; sum a map pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.snapmix.boxes import Box, draw_box, paste, semantic_share

CPU = torch.device("cpu")


def box(top: int, left: int, bottom: int, right: int) -> Box:
    return Box(*(torch.tensor(bound) for bound in (top, left, bottom, right)))


def slow_paste(images: Tensor, others: Tensor, target: Box, source: Box) -> Tensor:
    (top, left, bottom, right), (first, start, last, end) = (map(int, one) for one in (target, source))
    cut = others[:, :, first:last, start:end]
    result = images.clone()
    result[:, :, top:bottom, left:right] = F.interpolate(
        cut, size=(bottom - top, right - left), mode="bilinear", align_corners=True
    )
    return result


@pytest.mark.parametrize(
    ("target", "source"),
    [
        (box(2, 3, 9, 11), box(0, 1, 5, 12)),
        (box(0, 0, 10, 12), box(4, 4, 6, 5)),
        (box(4, 5, 5, 6), box(1, 2, 9, 10)),  # a single pixel takes the corner of what is pasted
        (box(1, 1, 3, 12), box(7, 0, 8, 12)),
        (box(3, 3, 8, 8), box(3, 3, 8, 8)),
    ],
)
def test_a_pasted_box_is_the_other_one_cut_out_and_resized(target: Box, source: Box) -> None:
    images, others = torch.randn(2, 3, 10, 12, dtype=torch.float64), torch.randn(2, 3, 10, 12, dtype=torch.float64)
    found = paste(images, others, target, source)
    torch.testing.assert_close(found, slow_paste(images, others, target, source), rtol=0, atol=1e-6)
    outside = ~target.inside(10, 12)
    assert torch.equal(found[:, :, outside], images[:, :, outside])


def test_the_share_of_a_map_in_a_box_is_counted_pixel_by_pixel() -> None:
    maps = torch.randn(3, 4, 5, dtype=torch.float64)
    shares = semantic_share(maps, box(3, 2, 15, 9), (16, 20))
    for map_, share in zip(maps, shares, strict=True):
        pixels = F.interpolate(map_[None, None], (16, 20), mode="bilinear", align_corners=False)[0, 0]
        lowest = pixels.min()
        total = sum(float(pixel - lowest) for pixel in pixels.flatten())
        within = sum(float(pixels[y, x] - lowest) for y in range(3, 15) for x in range(2, 9))
        assert share.item() == pytest.approx(within / total)


def test_a_map_without_a_place_has_no_share() -> None:
    assert semantic_share(torch.full((1, 4, 4), 2.0), box(0, 0, 5, 5), (16, 16)).isnan().all()


def test_boxes_stay_in_the_image_and_are_sometimes_cut_off() -> None:
    torch.manual_seed(0)
    boxes = torch.stack([torch.stack(draw_box(5.0, 30, 50, CPU)) for _ in range(300)])
    top, left, bottom, right = boxes.unbind(1)
    assert ((top >= 0) & (top < bottom) & (bottom <= 30)).all()
    assert ((left >= 0) & (left < right) & (right <= 50)).all()
    assert (top == 0).any()
    assert (right == 50).any()
    assert (top > 0).any()


@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_the_uncut_share_of_the_area_is_beta_distributed(beta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(torch, "rand", lambda *size, device: torch.full(size, 0.5, device=device))  # in the middle
    areas = torch.stack([draw_box(beta, 1000, 1000, CPU).area for _ in range(3000)]) / 1e6
    assert areas.mean().item() == pytest.approx(0.5, abs=0.02)
    assert areas.var().item() == pytest.approx(1 / (4 * (2 * beta + 1)), rel=0.1)
