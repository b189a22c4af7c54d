"""Class activation maps: the sum that they are, and that half precision does not round it."""

from __future__ import annotations

import torch

from methods.ops.attention.class_activation import class_activation, predicted_class_map


def test_each_image_has_the_weighted_sum_of_its_own_class() -> None:
    features, weight = torch.randn(3, 4, 2, 5, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    classes = torch.tensor([5, 0, 5])
    maps = class_activation(features, weight, classes)
    for image, label in enumerate(classes.tolist()):
        for y in range(2):
            for x in range(5):
                slow = sum(weight[label, c] * features[image, c, y, x] for c in range(4))
                torch.testing.assert_close(maps[image, y, x], slow)


def test_the_mean_of_a_map_is_the_logit_without_its_bias() -> None:
    features, head = torch.randn(3, 4, 5, 5), torch.nn.Linear(4, 6)
    classes = torch.tensor([1, 2, 3])
    logits = head(features.mean(dim=(2, 3))) - head.bias
    means = class_activation(features, head.weight, classes).mean(dim=(1, 2))
    torch.testing.assert_close(means, logits[torch.arange(3), classes])


def test_autocast_rounds_neither_products_nor_sums() -> None:
    features = torch.rand(2, 64, 3, 3).bfloat16()
    weight, classes = torch.rand(5, 64), torch.tensor([4, 1])
    with torch.autocast("cpu", torch.bfloat16):
        maps = class_activation(features, weight, classes)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, class_activation(features.float(), weight, classes), rtol=0, atol=0)


def test_gradients_reach_the_features_and_the_rows_of_the_classes() -> None:
    features = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0, 3])
    assert torch.autograd.gradcheck(lambda f, w: class_activation(f, w, classes), (features, weight))


def test_the_predicted_classs_map_is_that_of_the_highest_logit_without_negative_evidence() -> None:
    features, head = torch.randn(4, 3, 2, 5), torch.nn.Linear(3, 6)
    found = predicted_class_map(features, head)
    assert found.shape == (4, 1, 2, 5)
    for image, one in enumerate(features):
        label = head(one.mean(dim=(1, 2))).argmax()
        evidence = sum(weight * channel for weight, channel in zip(head.weight[label], one, strict=True))
        torch.testing.assert_close(found[image, 0], evidence.clamp_min(0))
