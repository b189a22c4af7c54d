"""TODO: each operator against the paper's formula. The contract of all methods is tested in `tests/methods`."""

from __future__ import annotations

import torch

from methods import backbones
from methods._template.model import TemplateMethod


def test_logits_are_a_linear_map_of_the_mean_feature() -> None:
    method = TemplateMethod(backbones.TimmBackbones("test_resnet", 64), 5).eval()
    images = torch.randn(2, 3, 64, 64)
    (features,) = method.backbone(images)
    slow = torch.stack([method.head.weight @ one.flatten(1).mean(dim=1) + method.head.bias for one in features])
    torch.testing.assert_close(method(images), slow)
