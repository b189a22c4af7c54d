"""The small networks that come with the project: their files fit, and they see what the drawn birds differ in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.device_check.networks import SMALL, Network
from benchmarks.shipped_weights.students import STUDENTS, TokenMaps
from datasets import open_dataset
from datasets.loading.augment import normalise
from methods.backbones import TimmBackbones
from methods.weight_files import find_weights

SIZE, CLASSES, EACH = 96, 20, 10
VIT = next(network for network in SMALL if network.weights == "test_vit_birds")


def backbones(network: Network, weights: str) -> TimmBackbones:
    return TimmBackbones(network.name, SIZE, weights, options=network.options)


@pytest.fixture(scope="module")
def birds() -> tuple[Tensor, Tensor]:
    """Images `(CLASSES, EACH, 3, 96, 96)` of the quick suite's classes, and their labels `(CLASSES, EACH)`."""
    options = {"classes": CLASSES, "train_per_class": EACH - 1, "test_per_class": 1, "size": SIZE}
    dataset = open_dataset("synthetic", options=options)
    order = np.argsort(dataset.labels, kind="stable")
    pixels = torch.stack([torch.from_numpy(dataset.image(int(row)).copy()).permute(2, 0, 1) for row in order])
    labels = torch.from_numpy(dataset.labels[order])
    return normalise(pixels).unflatten(0, (CLASSES, EACH)), labels.unflatten(0, (CLASSES, EACH))


@torch.no_grad()
def centroid_accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the second half of each class's images that are nearest to their own class's mean of the first half."""
    features = network.eval()(images.flatten(0, 1))[-1].mean((2, 3)).unflatten(0, labels.shape)
    means, asked = features[:, : EACH // 2].mean(1), features[:, EACH // 2 :]
    nearest = labels[:, 0][torch.cdist(asked.flatten(0, 1), means).argmin(1)]
    return float((nearest == labels[:, EACH // 2 :].flatten()).float().mean())


@pytest.mark.parametrize("network", SMALL, ids=lambda network: network.weights)
def test_the_file_fills_its_network_whose_options_it_knows(network: Network) -> None:
    found = find_weights(network.name, network.weights, None)
    assert found is not None
    assert found.network_options == network.options
    source = TimmBackbones(network.name, SIZE, network.weights)
    features = source.features(("final",))
    assert not set(source.loaded[network.name].unfilled) & features.parameter_names()


@pytest.mark.parametrize("name", STUDENTS)
def test_what_was_distilled_is_what_is_shipped(name: str) -> None:
    (network,) = (network for network in SMALL if network.weights == name)
    assert (STUDENTS[name].network, STUDENTS[name].options) == (network.name, network.options)


def test_the_last_of_a_vits_maps_is_the_class_token_after_the_last_norm() -> None:
    maps = STUDENTS["test_vit_birds"].build()
    assert isinstance(maps, TokenMaps)
    images = torch.randn(2, 3, SIZE, SIZE)
    tokens = maps.eval().net.forward_features(images)
    middle, last, class_token = maps(images)
    assert torch.allclose(class_token[:, :, 0, 0], tokens[:, 0], atol=1e-5)
    mean = tokens[:, [1, 2, 9, 10]].mean(1)  # the four patches in the corner of a grid of 8 x 8
    assert torch.allclose(last[:, :, 0, 0], mean, atol=1e-5)
    assert middle.shape == (2, 96, 8, 8)


def test_the_class_token_of_the_vit_tells_apart_birds_of_classes_that_it_never_saw(
    birds: tuple[Tensor, Tensor],
) -> None:
    images, labels = birds
    torch.manual_seed(0)
    untrained, trained = (
        centroid_accuracy(TokenMaps(backbones(VIT, weights).tokens(after=(2, -1))), images, labels)
        for weights in ("none", "test_vit_birds")
    )
    assert untrained < 3 / CLASSES
    assert trained > 5 / CLASSES
