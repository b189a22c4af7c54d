"""`methods.build`: every method as a module for other people's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import Conv2dSame
from torch import nn

import methods
from methods import hub, trained
from methods.backbones import BackboneError, TimmBackbones
from tests.helpers.methods_under_test import SIZE, small_networks


@pytest.mark.parametrize("name", methods.available())
def test_any_method_is_built_by_name_and_predicts(name: str) -> None:
    for backbone, _ in small_networks(name):
        try:
            module = methods.build(name, backbone=backbone, num_classes=3, image_size=SIZE)
            break
        except BackboneError:  # of another kind than the method needs
            continue
    assert isinstance(module, nn.Module)
    assert module.eval()(torch.randn(2, 3, SIZE, SIZE)).shape == (2, 3)


def test_options_override_those_of_the_variant() -> None:
    assert methods.build("ws_dan", "test_resnet", 3, variant="maps_4").maps == 4
    assert methods.build("ws_dan", "test_resnet", 3, variant="maps_4", maps=2).maps == 2


def test_a_weight_file_fills_the_backbone_and_no_choice_leaves_it_random(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    weights = timm.create_model("test_resnet", num_classes=7).state_dict()
    save_file(weights, file)
    filled = methods.build("plain", "test_resnet", 3, pretrained=file).backbone.net.conv1[0].weight
    assert torch.equal(filled, weights["conv1.0.weight"])
    left = methods.build("plain", "test_resnet", 3).backbone.net.conv1[0].weight
    assert not torch.equal(left, weights["conv1.0.weight"])


@pytest.mark.parametrize("backbone", ["test_resnet", "test_resnet.r160_in1k"])
def test_a_tag_names_the_file_that_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str) -> None:
    tag, file = "test_resnet.r160_in1k", tmp_path / "model.safetensors"
    with pytest.raises(BackboneError, match=f"weights fetch {tag}"):
        methods.build("plain", backbone, 3, pretrained=tag)
    weights = timm.create_model("test_resnet", num_classes=7).state_dict()
    save_file(weights, file)
    monkeypatch.setattr(hub, "cached", {tag: file}.get)
    filled = methods.build("plain", backbone, 3, pretrained=tag).backbone.net.conv1[0].weight
    assert torch.equal(filled, weights["conv1.0.weight"])


def test_timms_own_weights_are_asked_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = timm.create_model, []

    def without_a_network(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        asked.append(pretrained)
        return create(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", without_a_network)
    methods.build("plain", "test_resnet", 3, pretrained="timm")
    methods.build("plain", "test_resnet", 3)
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"name": "ws_dam"}, ValueError, "no method 'ws_dam'; nearest: ws_dan"),
        ({"variant": "maps_5"}, ValueError, "ws_dan has no variant 'maps_5'; nearest: maps_"),
        ({"backbone": "test_resnett"}, BackboneError, "no network 'test_resnett'; nearest: test_resnet"),
        ({"pretrained": "nowhere.pth"}, BackboneError, "nowhere.pth: weight file can't be read"),
        ({"pretrained": "/dev/zero"}, BackboneError, "/dev/zero: weight file can't be read"),
        ({"backbone": "ResNet-50"}, BackboneError, r"no network .ResNet-50.; nearest: resnet50,"),
        ({"backbone": "test_resnet.x"}, BackboneError, r"no network 'test_resnet.x'; nearest: test_resnet.r160_in1k"),
        ({"mapps": 3}, TypeError, "mapps"),
        ({"num_classes": 0}, ValueError, "num_classes is 0; it must be 1 or more"),
        ({"image_size": -5}, ValueError, "image_size is -5; it must be 1 or more"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest_name(
    wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    asked = {"name": "ws_dan", "backbone": "test_resnet", "num_classes": 3} | wrong
    with pytest.raises(error, match=message):
        methods.build(**asked)


@pytest.mark.parametrize("name", ["nonesuch", "", "..plain", "plain.model", "_template", "../plain", "a" * 5000])
def test_only_methods_are_imported(name: str) -> None:
    with pytest.raises(ValueError, match="has no method"):
        methods.load(name)


def test_a_second_network_is_built_with_the_options_that_its_weights_needed() -> None:
    weights = [
        {"backbone": name, "file": f"{name}.tf_in1k.safetensors", "sha256": "0" * 64}
        for name in ("resnet50", "inception_v3")
    ]
    found = trained.of_record({"run": {"backbone": "resnet50"}, "weights": weights})
    assert found["second_options"] == {"inception_v3": {"count_include_pad": False}}
    source = TimmBackbones("test_resnet", 32, second_options={"mobilenetv2_050": {"pad_type": "same"}})
    second = source.features([16], "mobilenetv2_050")
    assert isinstance(second.net.conv_stem, Conv2dSame)
