"""Class activation maps: how much each position of a map speaks for a class of the linear layer behind its mean."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from methods.ops.precision import at_least_float32


def class_activation(features: Tensor, weight: Tensor, classes: Tensor) -> Tensor:
    """M(x, y) = sum over channels of w_c · f_c(x, y), for one class of each image (Zhou et al., eq. 2).

    Features `(B, C, h, w)`, weights `(K, C)` of the linear layer, classes `(B,)` -> `(B, h, w)`, at least in float32.
    The mean of a map is its class's logit without the bias. Only the maps that are asked for are computed.

    Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
    """
    with torch.autocast(features.device.type, enabled=False):
        maps, rows = at_least_float32(features), at_least_float32(weight)[classes]
        return torch.einsum("bc,bchw->bhw", rows.to(maps.dtype), maps)


def predicted_class_map(features: Tensor, head: nn.Linear) -> Tensor:
    """Class activation map of the class that a linear layer predicts from the mean, negative evidence set to 0.

    Features `(B, C, h, w)` -> `(B, 1, h, w)`.
    """
    predicted = head(features.mean(dim=(2, 3))).argmax(dim=1)
    return class_activation(features, head.weight, predicted)[:, None].clamp_min(0)
