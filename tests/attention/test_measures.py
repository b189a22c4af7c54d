"""Each measure of attention against a slow, obvious count, and in edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.attention import measures
from benchmarks.attention.attention_maps import AttentionMaps, peaks
from benchmarks.attention.frame import Frame
from benchmarks.attention.localise import Bootstrap, derangement
from results.localisation import MEASURES
from tests.helpers.host_waits import host_waits_forbidden

SIZE = 24


def attention_of(maps: Tensor) -> AttentionMaps:
    return AttentionMaps(maps.mean(dim=1), peaks(maps), maps.amax(dim=(2, 3)), torch.full((len(maps), 2), SIZE))


def random_frame(count: int = 5, parts: int = 4) -> Frame:
    corners = torch.rand(count, 2) * 10
    boxes = torch.cat([corners, corners + 2 + torch.rand(count, 2) * 10], dim=1)
    visible = torch.rand(count, parts) < 0.7
    visible[:, 0] = True
    return Frame(SIZE, boxes, torch.rand(count, parts, 2) * SIZE, visible, 1 + 3 * torch.rand(count, 2))


def one_cell(x: int, y: int, height: int = 4, width: int = 4) -> Tensor:
    attention = torch.zeros(height, width)
    attention[y, x] = 1
    return attention


def test_a_peak_is_the_centre_of_the_highest_cell():
    assert peaks(one_cell(3, 1)).tolist() == pytest.approx([3.5 / 4, 1.5 / 4])


def test_a_flat_map_has_its_peak_in_the_middle_and_not_in_a_corner():
    assert peaks(torch.ones(5, 3)).tolist() == pytest.approx([0.5, 0.5])


def test_share_near_parts_is_that_of_a_count_pixel_by_pixel():
    frame, weights = random_frame(), torch.rand(5, SIZE, SIZE)
    assert frame.parts is not None
    assert frame.visible is not None
    slow = []
    for n in range(5):
        inside = 0.0
        for y in range(SIZE):
            for x in range(SIZE):
                near = [
                    ((x + 0.5 - px) / frame.radii[n, 0]) ** 2 + ((y + 0.5 - py) / frame.radii[n, 1]) ** 2 <= 1
                    for (px, py), visible in zip(frame.parts[n], frame.visible[n], strict=True)
                    if visible
                ]
                inside += float(weights[n, y, x]) * any(near)
        slow.append(inside / float(weights[n].sum()))
    assert measures.share_near_parts(weights, frame).tolist() == pytest.approx(slow, rel=1e-4)


def test_share_in_box_counts_pixels_by_their_part_within():
    frame, weights = random_frame(), torch.rand(5, SIZE, SIZE)
    assert frame.boxes is not None
    fine = weights.repeat_interleave(40, dim=1).repeat_interleave(40, dim=2)
    place = (torch.arange(40 * SIZE) + 0.5) / 40
    slow = []
    for one, (left, top, right, bottom) in zip(fine, frame.boxes, strict=True):
        rows, columns = (place >= top) & (place < bottom), (place >= left) & (place < right)
        slow.append(float(one[rows][:, columns].sum() / one.sum()))
    assert measures.share_in_box(weights, frame).tolist() == pytest.approx(slow, abs=5e-3)


def test_iou_of_boxes():
    first = torch.tensor([[0.0, 0, 4, 4], [0, 0, 2, 2], [1, 1, 1, 1]])
    second = torch.tensor([[2.0, 0, 6, 4], [5, 5, 9, 9], [3, 3, 3, 3]])
    assert measures.box_iou(first, second).tolist() == pytest.approx([8 / 24, 0, 0])


def test_the_crop_goes_around_all_that_reaches_the_threshold():
    weights = torch.zeros(2, SIZE, SIZE)
    weights[0, 3:7, 5] = 1
    weights[0, 20, 9] = 0.4
    assert measures.crop_boxes(weights, 0.5).tolist() == [[5, 3, 6, 7], [0, 0, 0, 0]]
    assert measures.crop_boxes(weights, 0.3)[0].tolist() == [5, 3, 10, 21]


def test_the_threshold_is_the_one_that_fits_best():
    slope = (1 - (torch.arange(SIZE) + 0.5 - SIZE / 2).abs() / (SIZE / 2)).expand(1, SIZE, SIZE)
    cone = torch.minimum(slope, slope.mT)
    inner = torch.tensor([[SIZE / 4, SIZE / 4, 3 * SIZE / 4, 3 * SIZE / 4]])
    frame = Frame(SIZE, inner, None, None, torch.ones(1, 2))
    assert measures.best_threshold(attention_of(cone[:, None]), frame) == pytest.approx(0.5, abs=0.06)


def test_a_map_that_is_zero_everywhere_scores_nothing():
    frame = random_frame()
    found = measures.measure(attention_of(torch.zeros(5, 2, 4, 4)), frame, threshold=0.5, same_maps=True)
    for name in MEASURES:
        assert found[name].nan_to_num(0).tolist() == [0.0] * 5, name


def test_images_without_a_visible_part_do_not_count():
    frame = random_frame()
    assert frame.visible is not None
    frame.visible[2] = False
    found = measures.measure(attention_of(torch.rand(5, 3, 4, 4)), frame, threshold=None, same_maps=True)
    for name in ("peak_on_part", "maps_on_parts", "near_parts", "own_part"):
        assert found[name].isnan().tolist()[2], name
    assert not found["in_box"].isnan().any()


def test_no_peak_beats_the_ceiling_and_the_best_cell_reaches_it():
    frame = random_frame(40)
    assert frame.parts is not None
    reached = measures.ceiling(frame, 4, 4)
    hits = torch.stack(
        [
            measures.on_parts(peaks(one_cell(x, y)).expand(40, 1, 2) * SIZE, frame).flatten(1).any(1)
            for x in range(4)
            for y in range(4)
        ]
    )
    assert torch.equal(reached, hits.any(dim=0))
    assert 0 < reached.float().mean() < 1


def test_random_cells_score_what_many_draws_score_on_average():
    frame = random_frame(40)
    assert frame.visible is not None
    frame.visible[3] = False
    maps = torch.zeros(40, 600, 5 * 7)
    maps.scatter_(2, torch.randint(5 * 7, (40, 600, 1)), 1)
    attention = attention_of(maps.unflatten(2, (5, 7)))
    drawn = measures.measure(attention, frame, threshold=None, same_maps=False)
    expected = measures.of_random_cells(frame, 5, 7)
    assert expected["maps_on_parts"].isnan().tolist() == [n == 3 for n in range(40)]
    assert expected["maps_on_parts"].tolist() == pytest.approx(drawn["maps_on_parts"].tolist(), abs=0.09, nan_ok=True)
    assert float(expected["maps_on_parts"].nanmean() - drawn["maps_on_parts"].nanmean()) == pytest.approx(0, abs=0.01)


def test_random_cells_are_scored_cell_by_cell():
    frame = random_frame()
    expected = measures.of_random_cells(frame, 5, 7)
    each = [
        measures.measure(attention_of(one_cell(x, y, 5, 7).expand(5, 1, 5, 7)), frame, None, False)
        for y in range(5)
        for x in range(7)
    ]
    for name in ("peak_on_part", "maps_on_parts", "peak_in_box"):
        assert expected[name].tolist() == pytest.approx((sum(one[name] for one in each) / 35).tolist()), name


class TestOwnPart:
    """A map has a part of its own if it hits the same part on images that were not used to choose it."""

    def test_maps_that_always_hit_their_part_score_one(self):
        hits = torch.zeros(10, 3, 4, dtype=torch.bool)
        for index in range(3):
            hits[:, index, index + 1] = True
        visible, active = torch.ones(10, 4, dtype=torch.bool), torch.ones(10, 3, dtype=torch.bool)
        assert measures.own_part(hits, visible, active).tolist() == [1.0] * 10

    def test_maps_that_hit_random_parts_score_low(self):
        hits = torch.nn.functional.one_hot(torch.randint(8, (400, 3)), 8).bool()
        visible, active = torch.ones(400, 8, dtype=torch.bool), torch.ones(400, 3, dtype=torch.bool)
        assert measures.own_part(hits, visible, active).mean() < 0.2

    def test_no_image_is_scored_with_a_part_that_it_helped_to_choose(self):
        hits = torch.zeros(10, 1, 2, dtype=torch.bool)
        hits[0::2, 0, 0], hits[1::2, 0, 1] = True, True  # one part in one half, the other in the other
        visible, active = torch.ones(10, 2, dtype=torch.bool), torch.ones(10, 1, dtype=torch.bool)
        assert measures.own_part(hits, visible, active).tolist() == [0.0] * 10

    def test_an_invisible_part_is_no_miss(self):
        hits = torch.zeros(10, 1, 2, dtype=torch.bool)
        hits[:, 0, 0] = True
        visible, active = torch.ones(10, 2, dtype=torch.bool), torch.ones(10, 1, dtype=torch.bool)
        hits[4], visible[4, 0] = False, False
        found = measures.own_part(hits, visible, active)
        assert math.isnan(found[4])
        assert found.nanmean() == 1


def test_another_images_annotations_are_never_its_own():
    order = derangement(50)
    assert sorted(order.tolist()) == list(range(50))
    assert not (order == torch.arange(50)).any()


def test_intervals_of_the_bootstrap_are_those_of_the_mean():
    values = np.random.default_rng(0).random(500)
    values[::5] = np.nan
    (found,) = Bootstrap(500).estimates({"x": values}).values()
    known = values[~np.isnan(values)]
    half = 1.96 * known.std() / np.sqrt(400)
    assert found.images == 400
    assert found.value == pytest.approx(known.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_a_measure_without_any_image_has_no_estimate():
    assert Bootstrap(3).estimates({"x": np.full(3, np.nan)}) == {}


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_measuring_does_not_wait_for_the_device(device: str, monkeypatch: pytest.MonkeyPatch):
    frame, attention = random_frame().to(torch.device(device)), attention_of(torch.rand(5, 3, 4, 4, device=device))
    measures.measure(attention, frame, threshold=0.5, same_maps=True)  # the first call may wait
    with host_waits_forbidden(device, monkeypatch):
        measures.measure(attention, frame, threshold=0.5, same_maps=True)
