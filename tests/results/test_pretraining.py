"""The name of a weight file says what a network was trained on, or nothing; overlaps are those that are known."""

from __future__ import annotations

import pytest

from methods.weight_files import SHIPPED_WEIGHTS
from results.pretraining import described, overlaps, training_sets


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("resnet50.a1_in1k.safetensors", "IN-1k"),
        ("vit_base_patch16_224.orig_in21k.safetensors", "IN-21k"),
        ("swin_large_patch4_window12_384.ms_in22k", "IN-21k"),
        ("swin_base_patch4_window12_384.ms_in22k_ft_in1k.pth", "IN-21k + IN-1k"),
        ("vit_base_patch16_clip_224.laion2b_ft_in12k_in1k.safetensors", "LAION-2B + IN-12k + IN-1k"),
        ("vit_small_patch14_dinov2.lvd142m.safetensors", "LVD-142M"),
        ("convnextv2_base.fcmae_ft_in22k_in1k.safetensors", "IN-1k + IN-21k"),
        ("vit_large_patch14_clip_336.laion2b_ft_augreg_inat21.safetensors", "LAION-2B + iNat21"),
        ("tf_efficientnet_b0.ns_jft_in1k.pth.tar", "JFT-300M + IN-1k"),
        ("none", "random weights"),
    ],
)
def test_timms_tags_name_the_training_sets_in_their_order(file: str, words: str) -> None:
    assert described(file) == words


@pytest.mark.parametrize(
    "file",
    [
        "mobilenetv2_100.safetensors",
        "resnet18_to_layer3.safetensors",
        "my_in1k_network.pth",
        "deit_tiny.fb.safetensors",
        "birds.pt",
        "",
    ],
)
def test_what_a_name_does_not_say_is_unknown(file: str) -> None:
    assert (training_sets(file), described(file)) == ((), "unknown")


def test_weights_that_come_with_the_project_were_trained_on_drawn_birds() -> None:
    shipped = [path.name for path in SHIPPED_WEIGHTS.glob("*.safetensors")]
    assert shipped
    assert {described(name) for name in shipped} == {"drawn birds"}


@pytest.mark.parametrize(
    ("tag", "dataset", "words"),
    [
        ("a1_in1k", "stanford_dogs", "from ImageNet's training set"),
        ("orig_in21k", "cub_200_2011", "22 of 5 794"),
        ("lvd142m", "fgvc_aircraft", "may be in it"),
        ("laion2b_ft_augreg_inat21", "nabirds", "species of CUB and NABirds"),
    ],
)
def test_known_overlaps_with_test_sets_are_told(tag: str, dataset: str, words: str) -> None:
    (text,) = overlaps(f"network.{tag}.safetensors", dataset)
    assert words in text


def test_no_overlap_is_told_that_nobody_reported() -> None:
    assert overlaps("resnet50.a1_in1k.safetensors", "stanford_cars") == ()
    assert overlaps("mobilenetv2_100.safetensors", "stanford_dogs") == ()
    assert overlaps("none", "stanford_dogs") == ()
