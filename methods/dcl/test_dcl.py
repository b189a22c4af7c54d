"""DCL against slow, obvious formulas: its losses, the sources of regions, and what they train."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import methods
from methods.backbones import TimmBackbones
from methods.dcl.alignment import RegionAlignment, matched_by_brightness, region_means, zoomed
from methods.dcl.model import DCL
from methods.ops.jigsaw import permute_blocks
from methods.ops.patch_shuffle import confuse

VARIANTS = methods.variants("dcl")
CLASSES, SIZE, CPU = 5, 96, torch.device("cpu")


def make(**options: object) -> DCL:
    torch.manual_seed(0)
    return DCL(TimmBackbones("test_resnet", SIZE), CLASSES, **options)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(count) % CLASSES


def slow_cross_entropy(logits: Tensor, labels: list[int]) -> Tensor:
    return -sum(row.log_softmax(dim=0)[label] for row, label in zip(logits, labels, strict=True)) / len(labels)


# ---- the losses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_losses_are_those_of_whole_and_destroyed_images(variant):
    method = make(**VARIANTS[variant]).eval()  # so that batch norm is the same one by one
    images, labels = batch(3)
    torch.manual_seed(4)
    found = method.losses(images, labels)
    torch.manual_seed(4)
    destroyed, sources = method.destroy(images)
    maps = [method.backbone(image[None])[0][0] for image in (*images, *destroyed)]
    pooled = torch.stack([one.flatten(1).mean(dim=1) for one in maps])
    names = labels.tolist()
    torch.testing.assert_close(
        found["cross_entropy"], slow_cross_entropy(pooled @ method.classifier.weight.mT, names + names)
    )
    kinds = [1] * 3 + [0] * 3 if variant == "paper" else names + [name + CLASSES for name in names]
    torch.testing.assert_close(found["adversarial"], slow_cross_entropy(pooled @ method.adversary.weight.mT, kinds))
    errors = [slow_alignment(method.align, one, row) for one, row in zip(maps, sources.tolist(), strict=True)]
    torch.testing.assert_close(found["alignment"], sum(errors) / 6)


def slow_alignment(align: RegionAlignment, features: Tensor, sources: list[int]) -> Tensor:
    """The error of one image, region by region."""
    n, weight, bias = align.n, align.locate.weight[:, :, 0, 0], align.locate.bias
    located = torch.einsum("oc,chw->ohw", weight, features) + bias[:, None, None]
    total = torch.zeros(())
    for place, source in enumerate(sources):
        if align.location == "coordinates":
            found = slow_mean(located.clamp_min(0), n, place)
            total = total + (found[0] - (source // n + 1) / n).abs() + (found[1] - (source % n + 1) / n).abs()
        else:
            found = slow_mean(located, n, place).tanh()
            total = total + (found[0] - (source - n * n // 2) / n**2).abs()
    return total / n**2


def slow_mean(x: Tensor, n: int, place: int) -> Tensor:
    """Mean over a region, from a map whose cells are cut so finely that the regions' edges lie between cells."""
    fine = x.repeat_interleave(n, dim=1).repeat_interleave(n, dim=2)
    height, width = x.shape[1:]
    top, left = place // n * height, place % n * width
    return fine[:, top : top + height, left : left + width].mean(dim=(1, 2))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**31))
def test_means_over_regions_are_weighted_by_area(n, height, width, seed):
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slow = torch.stack([torch.stack([slow_mean(one, n, place) for place in range(n * n)], dim=1) for one in x])
    torch.testing.assert_close(region_means(x, n).flatten(2), slow)


def test_on_the_map_of_the_paper_a_region_is_the_mean_of_2_x_2_cells():
    x = torch.randn(2, 3, 14, 14)
    torch.testing.assert_close(region_means(x, 7), torch.nn.functional.avg_pool2d(x, 2))


@pytest.mark.parametrize("location", ["coordinates", "index"])
@pytest.mark.parametrize("cells", [14, 10, 5, 3])
def test_the_gradient_of_the_alignment_is_right_on_any_map(location, cells):
    torch.manual_seed(0)
    align = RegionAlignment(2, 7, location).double()
    features = torch.randn(2, 2, cells, cells, dtype=torch.float64, requires_grad=True)
    sources = confuse(2, 7, 2, CPU)
    assert torch.autograd.gradcheck(lambda x: align(x, sources), features)


# ---- where regions came from ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [56, 96])
def test_true_sources_say_which_region_is_at_each_place(size):
    """Images whose pixels are the number of their region, which 7 divides or not."""
    numbers = torch.arange(49.0).view(1, 1, 7, 7)
    cells = [(torch.arange(size) * 7 + 6) // size for _ in range(2)]
    images = numbers[:, :, cells[0]][..., cells[1]].expand(5, 3, size, size)
    torch.manual_seed(0)
    destroyed, sources = make().destroy(images)
    assert torch.equal(sources[:5], torch.arange(49).expand(5, 49))
    for image, row in zip(destroyed, sources[5:].tolist(), strict=True):
        for place, source in enumerate(row):
            top, bottom = (index * size // 7 for index in (place // 7, place // 7 + 1))
            left, right = (index * size // 7 for index in (place % 7, place % 7 + 1))
            assert (image[:, top:bottom, left:right] == source).all()


def slow_match(image: Tensor, destroyed: Tensor, n: int) -> list[int]:
    side = image.shape[1] // n

    def brightness(one: Tensor) -> list[float]:
        pixels = one * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        corners = [(side * (place // n), side * (place % n)) for place in range(n * n)]
        return [sum(c.mean().item() for c in pixels[:, y : y + side, x : x + side]) for y, x in corners]

    before = brightness(image)
    distances = [[abs(after - one) for one in before] for after in brightness(destroyed)]
    return [row.index(min(row)) for row in distances]


def test_matching_by_brightness_is_the_loop_over_regions_and_finds_regions_that_were_only_moved():
    images, _ = batch(3)
    images = images[..., :91, :91]
    order = confuse(3, 7, 2, CPU)
    destroyed = permute_blocks(images, order, 7)
    assert torch.equal(matched_by_brightness(images, destroyed, 7), order)
    blurred = zoomed(destroyed, 0.03)
    found = matched_by_brightness(images, blurred, 7)
    assert found.tolist() == [slow_match(image, one, 7) for image, one in zip(images, blurred, strict=True)]


def test_regions_of_like_brightness_are_taken_for_each_other():
    """The fault of the released targets: here one of two regions has the other's, and both the same source."""
    image = torch.zeros(1, 3, 4, 4)
    image[..., :2, 2:] = 1.0
    destroyed = permute_blocks(image, torch.tensor([[1, 0, 3, 2]]), 2)
    assert matched_by_brightness(image, destroyed, 2).tolist() == [[1, 0, 0, 0]]


# ---- variants ---------------------------------------------------------------------------------------------------


def test_the_border_is_cut_off_before_the_shuffle():
    images = torch.full((1, 3, 448, 448), 1.0)
    images[..., 10:-10, 10:-10] = 0.0
    method = make(**VARIANTS["released"])
    torch.manual_seed(0)
    assert method.destroy(images)[0].abs().max() == 0
    assert make().destroy(images)[0].abs().max() == 1


def test_released_tests_by_the_class_and_both_halves_of_the_adversary():
    method, (images, _) = make(**VARIANTS["released"]).eval(), batch()
    with torch.no_grad():
        pooled = method.backbone(images)[0].mean(dim=(2, 3))
        weights = method.classifier.weight + method.adversary.weight[:CLASSES] + method.adversary.weight[CLASSES:]
        torch.testing.assert_close(method.readouts(images)["class and halves"], pooled @ weights.mT)
        torch.testing.assert_close(method(images), pooled @ method.classifier.weight.mT)
    assert method.readout_views == {"class and halves": 1}
    assert make().readouts(images) == {}


@pytest.mark.parametrize(
    ("variant", "losses"),
    [
        ("paper", ["cross_entropy", "adversarial", "alignment"]),
        ("destruction", ["cross_entropy", "adversarial"]),
        ("no_adversary", ["cross_entropy", "alignment"]),
        ("only_confusion", ["cross_entropy"]),
        ("baseline", ["cross_entropy"]),
    ],
)
def test_an_ablation_has_no_loss_and_no_head_of_what_it_leaves_out(variant, losses):
    method = make(**VARIANTS[variant])
    assert list(method.losses(*batch())) == losses
    heads = {name.split(".")[0] for name, _ in method.named_parameters()}
    assert ("adversary" in heads, "align" in heads) == ("adversarial" in losses, "alignment" in losses)


def test_rigid_objects_weigh_the_alignment_a_hundredth():
    found = []
    for variant in ("paper", "rigid"):
        method = make(**VARIANTS[variant])
        torch.manual_seed(1)
        found.append(method.losses(*batch())["alignment"])
    torch.testing.assert_close(found[1], 0.01 * found[0])


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": "sort"},
        {"shuffle": "none"},
        {"sources": "known"},
        {"adversary": "three"},
        {"location": "place"},
        {"border": 0.5},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match=r"must be|without a shuffle"):
        make(**options)


def test_learns_its_batch_and_where_regions_came_from():
    method, (images, labels) = make(grid=3).train(), batch(8)
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    torch.manual_seed(0)
    history = []
    for _ in range(15):
        losses = method.losses(images, labels)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    assert history[-1]["cross_entropy"] < 0.3 * history[0]["cross_entropy"]
    assert history[-1]["alignment"] < 0.8 * history[0]["alignment"]
