"""Whether timm's own whole network computes what a trained method does, found by trying, and timm's settings for it.

timm's networks have their own pooling, and some a norm or further layers after it: not every plain network is one of
timm's. Where the logits are equal, people need no fgbench to use it.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import timm
import torch
from torch import Tensor, nn

from methods.interface import Method
from methods.network_options import OWN_OPTIONS
from methods.networks import is_fixed_size
from methods.trained import BACKBONE, HEAD, Trained, timm_names

EQUAL = 1e-9
"""Largest difference of logits in float64, relative to the largest of them: rounding alone."""


def linear_layer(trained: Trained, method: Method) -> str | None:
    """timm's name of the linear layer, if timm's network with the method's tensors gives the method's logits.

    The method is in evaluation mode on the CPU. None if it does not, or if its tensors are not a network's and a linear
    layer's.
    """
    state = method.state_dict()
    if not all(name.startswith((BACKBONE, HEAD)) for name in state):
        return None
    try:
        net = _network(trained).eval()
        linear = next((name for name, part in net.named_modules() if part is net.get_classifier()), None)
        if linear is None:
            return None
        net.load_state_dict(timm_names(state, linear))
    except Exception:  # timm's networks differ in what they take; one that can't be filled is not this one
        return None
    images = torch.randn(2, 3, *[trained.image_size] * 2, generator=torch.Generator().manual_seed(0))
    return linear if _agree(net, method, images) else None


def settings(trained: Trained, linear: str) -> dict[str, Any]:
    """What timm's `config.json` says of such a network, images included."""
    with torch.device("meta"):
        net = _network(trained)
    mode = {"squash": "squash", "short_side": "center"}[trained.resize]
    images = {
        "input_size": [3, trained.image_size, trained.image_size],
        "interpolation": "bilinear",
        "crop_pct": _share(trained.image_size, trained.stored_size),
        "crop_mode": mode,
        "mean": trained.mean,
        "std": trained.std,
    }
    own = {key: net.pretrained_cfg.get(key) for key in ("first_conv", "fixed_input_size")}
    return {
        "architecture": trained.backbone,
        "num_classes": len(trained.class_names),
        "num_features": net.num_features,
        "label_names": trained.class_names,
        "model_args": _arguments(trained),
        "pretrained_cfg": {**images, **own, "num_classes": len(trained.class_names), "classifier": linear},
    }


def _network(trained: Trained) -> Any:  # timm's networks answer to more than nn.Module declares
    return timm.create_model(trained.backbone, num_classes=len(trained.class_names), **_arguments(trained))


def _arguments(trained: Trained) -> dict[str, Any]:
    """timm's own options of the network."""
    options = {key: value for key, value in trained.backbone_options.items() if key not in OWN_OPTIONS}
    return ({"img_size": trained.image_size} if is_fixed_size(trained.backbone) else {}) | options


def _share(inner: int, outer: int) -> float:
    """`inner / outer`, such that timm, which divides by it and rounds down, gets `outer` again."""
    share = inner / outer
    return share if int(inner / share) == outer else math.nextafter(share, 0)


@torch.inference_mode()
def _agree(net: nn.Module, method: Method, images: Tensor) -> bool:
    mine, theirs = (copy.deepcopy(one).double().eval()(images.double()) for one in (method, net))
    return mine.shape == theirs.shape and bool((mine - theirs).abs().max() <= EQUAL * mine.abs().max())
