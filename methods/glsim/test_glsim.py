"""GLSim against the words of its pseudo-code: one image and one patch at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import BackboneError, TimmBackbones
from methods.glsim.boxes import boxes_around
from methods.glsim.model import GLSim
from methods.ops.attention.crops import crop
from tests.helpers.methods_under_test import TINY_VIT, images_and_labels

SIZE, PATCH, SIDE = 96, 16, 6


def glsim(name: str = "vit_tiny_patch16_224", **options: object) -> GLSim:
    torch.manual_seed(0)
    return GLSim(TimmBackbones(name, SIZE, options=TINY_VIT), 5, **options)


def slow_crop(image: Tensor, chosen: list[int], whole_patches: bool = False) -> Tensor:
    """The pixels from the first chosen row and column of patches to the last, enlarged: `(3, H, W)`."""
    rows, columns = [one // SIDE for one in chosen], [one % SIDE for one in chosen]
    end = PATCH if whole_patches else 0
    top, left = min(rows) * PATCH, min(columns) * PATCH
    bottom = max(max(rows) * PATCH + end, top + PATCH)
    right = max(max(columns) * PATCH + end, left + PATCH)
    pixels = image[None, :, top:bottom, left:right]
    return F.interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", align_corners=True)[0]


@pytest.mark.parametrize("whole_patches", [False, True])
@pytest.mark.parametrize("chosen", [[14], [0, 35], [8, 9, 10], [7, 13, 19], [20, 9, 27, 10]])
def test_a_crop_is_the_box_of_its_patches_cut_out_and_enlarged(chosen: list[int], whole_patches: bool):
    images = images_and_labels(2, SIZE)[0].double()
    boxes = boxes_around(torch.tensor([chosen, chosen]), (SIDE, SIDE), (SIZE, SIZE), whole_patches)
    expected = torch.stack([slow_crop(image, chosen, whole_patches) for image in images])
    torch.testing.assert_close(crop(images, boxes), expected, rtol=0, atol=2e-5)


def test_boxes_are_those_of_each_image_and_of_grids_that_are_no_squares():
    chosen = torch.tensor([[1, 6], [11, 11]])  # of 3 rows of 4 patches, 24 by 40 pixels: patches of 8 by 10
    pixels = boxes_around(chosen, (3, 4), (24, 40)) * torch.tensor([23, 39, 23, 39])
    torch.testing.assert_close(pixels, torch.tensor([[0, 10, 7, 19], [16, 30, 23, 39]]).double())


@pytest.mark.parametrize("top", [3, 8])
def test_logits_are_those_of_image_and_crop_one_image_at_a_time(top: int):
    method = glsim(top=top).double().eval()
    images = images_and_labels(3, SIZE)[0].double()

    def encoded(image: Tensor) -> Tensor:
        return method.backbone.rest(method.backbone(image[None]).after[0])[0]

    def cosine(one: Tensor, other: Tensor) -> float:
        return float(one @ other / math.sqrt(float(one @ one) * float(other @ other)))

    expected = []
    with torch.no_grad():
        for image in images:
            whole, *patches = encoded(image)
            similarity = [cosine(whole, patch) for patch in patches]
            chosen = sorted(range(len(patches)), key=lambda place: -similarity[place])[:top]
            closer = encoded(slow_crop(image, chosen))[0]
            expected.append(method.head(method.aggregator(torch.stack([whole, closer])[None])[0, 0]))
        torch.testing.assert_close(method(images), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_the_highest_attention_is_at_a_patch_of_the_crop_and_the_lowest_is_zero():
    method = glsim(top=1).eval()
    images = images_and_labels(3, SIZE)[0]
    with torch.no_grad():
        maps = method.attention(images)
        shown = method.explain(images)["crop"]
    assert maps.shape == (3, 1, SIDE, SIDE)
    assert torch.equal(maps.amin(dim=(1, 2, 3)), torch.zeros(3))
    for image, peak, one in zip(images, maps.flatten(1).argmax(dim=1).tolist(), shown, strict=True):
        torch.testing.assert_close(one, slow_crop(image, [peak]), rtol=0, atol=1e-4)


def test_losses_teach_the_encoder_through_both_of_its_passes():
    method = glsim(drop_path=0.0).double().eval()
    images, labels = images_and_labels(2, SIZE)
    images = images.double()
    method.losses(images, labels)["cross_entropy"].backward()
    both = method.backbone.net.patch_embed.proj.weight.grad.clone()
    method.zero_grad()
    seen = method.look(images)
    with torch.no_grad():
        closer = method.encode(method.cropped(images, seen.similarity))[:, 0]
    logits = method.head(method.aggregator(torch.stack([seen.class_token, closer], dim=1))[:, 0])
    F.cross_entropy(logits, labels, label_smoothing=0.1).backward()
    assert not torch.allclose(both, method.backbone.net.patch_embed.proj.weight.grad, rtol=1e-3)


def test_labels_are_smoothed_by_a_tenth():
    method = glsim(drop_path=0.0).eval()
    images, labels = images_and_labels(4, SIZE)
    with torch.no_grad():
        (loss,) = method.losses(images, labels).values()
        log_shares = method(images).log_softmax(dim=1)
    right = log_shares[torch.arange(4), labels]
    torch.testing.assert_close(loss, -(0.9 * right + 0.1 * log_shares.mean(dim=1)).mean())


def test_a_network_with_fewer_patches_crops_around_all_of_them():
    method, images = glsim(top=1000, whole_patches=True).eval(), images_and_labels(2, SIZE)[0]
    torch.testing.assert_close(method.explain(images)["crop"], images, rtol=0, atol=1e-4)


def test_options_that_can_not_be_are_refused():
    with pytest.raises(ValueError, match="top is 0; it must be 1 or more"):
        glsim(top=0)
    with pytest.raises(ValueError, match="smoothing is 2; it must be a share"):
        glsim(smoothing=2)
    with pytest.raises(BackboneError, match="has no class token"):
        glsim("vit_base_patch16_siglip_224")
