"""The baseline is what it says: average pooling and one linear layer, nothing else."""

from __future__ import annotations

import torch

from methods.backbones import TimmBackbones
from methods.plain.model import Plain


def test_logits_are_a_linear_map_of_the_mean_feature() -> None:
    method = Plain(TimmBackbones("test_resnet", 64), 5).eval()
    images = torch.randn(2, 3, 64, 64)
    features = method.backbone(images)[-1]
    slow = torch.stack([method.head.weight @ one.flatten(1).mean(dim=1) + method.head.bias for one in features])
    torch.testing.assert_close(method(images), slow)


def test_the_class_activation_map_adds_up_to_the_evidence_for_the_predicted_class() -> None:
    """The mean of the uncut map is that class's logit without its bias: where the map is all positive, so is ours."""
    method = Plain(TimmBackbones("test_resnet", 64), 5).eval()
    torch.nn.init.constant_(method.head.weight, 0.1)
    method.head.bias.data = torch.arange(5.0)  # class 4 is predicted, by its bias alone
    images = torch.randn(2, 3, 64, 64)
    features = method.backbone(images)[-1]
    positive = (features.sum(dim=1) * 0.1).clamp_min(0)
    torch.testing.assert_close(method.attention(images)[:, 0], positive)


def test_dropout_is_off_in_evaluation() -> None:
    method = Plain(TimmBackbones("test_resnet", 64), 5, dropout=0.9).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(method(images), method(images), rtol=0, atol=0)


def test_a_vision_transformer_is_classified_by_its_class_token_and_explained_by_its_patches() -> None:
    options = {"embed_dim": 32, "depth": 2, "num_heads": 4}
    method = Plain(TimmBackbones("vit_tiny_patch16_224", 96, options=options), 5).eval()
    images = torch.randn(2, 3, 96, 96)
    tokens = method.backbone.net.forward_features(images)
    torch.testing.assert_close(method(images), tokens[:, 0] @ method.head.weight.T + method.head.bias)
    weight = method.head.weight[method(images).argmax(dim=1)]
    evidence = torch.stack([one[1:] @ row for one, row in zip(tokens, weight, strict=True)]).clamp_min(0)
    torch.testing.assert_close(method.attention(images), evidence.unflatten(1, (1, 6, 6)))
