"""Backbone options that fgbench applies to a timm network itself: where frameworks differ and timm has no option.

    count_include_pad: whether average pools count the zeros that pad a map's border in their mean. TensorFlow's leave
        them out; PyTorch's count them by default, and so do timm's Inception-v3, DLA, Res2Net and ResNeSt.
    norm_scale: whether the scale γ of batch norm is trained. False: it stays as the weight file has it, and 1 in a
        network without one; TensorFlow's slim networks have no γ.
    patch_stride: pixels from one patch of a vision transformer to the next. Less than a patch: they overlap, as
        TransFG's do.
    shrink_last: whether the last stage halves the map. False: its strides are 1, and its map is as large as its input;
        iSQRT-COV's ResNets are built so. timm's `output_stride=16` also dilates the stage's convolutions.

An option that isn't given leaves the network as timm builds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import timm
import torch
from timm.models.inception_v3 import InceptionA, InceptionC, InceptionE
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from methods.errors import BackboneError
from methods.tags import split_tag
from methods.transformers.overlapping_patches import OverlappingPatches

SWITCHES = ("count_include_pad", "norm_scale", "shrink_last")
OWN_OPTIONS = (*SWITCHES, "patch_stride")
PLAIN_TRANSFORMERS = ("timm.models.vision_transformer", "timm.models.deit")
WINDOW = 3
"""Side in cells of the average pools in Inception-v3's blocks; they pad by one cell."""


def arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What timm's constructor of the network `name` needs for those of `OWN_OPTIONS` that shape it.

    Raises `BackboneError` for a stride that is none, and for a network whose patches can't overlap.
    """
    if "patch_stride" not in options:
        return {}
    stride = options["patch_stride"]
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
        raise BackboneError(f"backbone_options.patch_stride of {name} is {stride!r}; it must be a number of pixels")
    if timm.model_entrypoint(split_tag(name)[0]).__module__ not in PLAIN_TRANSFORMERS:
        raise BackboneError(
            f"{name} is no plain vision transformer, whose patches may overlap (vit_…, deit_…); leave "
            "backbone_options.patch_stride out"
        )
    return {"embed_layer": partial(OverlappingPatches, stride=stride)}


def apply(net: nn.Module, name: str, options: Mapping[str, Any]) -> None:
    """Changes `net`, the timm network `name`, by those of `OWN_OPTIONS` that are given.

    Raises `BackboneError` for a value that is no bool, and if the network has nothing that the option is about.
    """
    for key, value in options.items():
        if key in SWITCHES and not isinstance(value, bool):
            raise BackboneError(f"backbone_options.{key} of {name} is {value!r}; it must be true or false")
    if "count_include_pad" in options:
        _pad(net, name, options["count_include_pad"])
    if "norm_scale" in options:
        norms = _affine(net, name)
        if not options["norm_scale"]:
            fix_scales(net, norms)
    if not options.get("shrink_last", True):
        _keep_last_size(net, name)


def _keep_last_size(net: Any, name: str) -> None:
    """Sets the strides of the last stage's convolutions to 1, and its stride in `feature_info` to that of its input."""
    last = net.feature_info[-1]
    stage = net.get_submodule(last["module"])
    strided = [one for one in stage.modules() if isinstance(one, nn.Conv2d) and one.stride == (2, 2)]
    pools = [
        one for one in stage.modules() if isinstance(one, (nn.AvgPool2d, nn.MaxPool2d)) and one.stride in (2, (2, 2))
    ]
    if pools or not strided or last["reduction"] != 2 * net.feature_info[-2]["reduction"]:
        raise BackboneError(
            f"the last stage of {name} does not halve its map by convolutions alone, as those of ResNets do; leave "
            "backbone_options.shrink_last out"
        )
    for one in strided:
        one.stride = (1, 1)
    last["reduction"] //= 2


def _pad(net: nn.Module, name: str, counted: bool) -> None:
    modules = list(net.modules())
    pools = [one for one in modules if isinstance(one, nn.AvgPool2d) and one.padding not in (0, (0, 0))]
    blocks = [one for one in modules if isinstance(one, (InceptionA, InceptionC, InceptionE))]
    if not pools and not blocks:
        raise BackboneError(f"{name} has no average pool that pads; leave backbone_options.count_include_pad out")
    for pool in pools:
        pool.count_include_pad = counted
    for block in blocks:
        if not counted:  # they pool by a function that counts padding, into this convolution
            block.branch_pool.register_forward_pre_hook(_leave_padding_out)


def _leave_padding_out(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Means over whole windows, padding included, `(B, C, h, w)` -> means over the cells inside the map.

    The factor is 1 inside, 1.5 on the edges and 2.25 in the corners: exact in any precision.
    """
    (pooled,) = inputs
    ones = torch.ones_like(pooled[:1, :1])
    inside = F.avg_pool2d(ones, WINDOW, stride=1, padding=WINDOW // 2, divisor_override=1)
    return pooled * (WINDOW * WINDOW / inside)


def _affine(net: nn.Module, name: str) -> list[str]:
    """Names of the batch norms of `net`, the timm network `name`, that have a scale as a parameter."""
    norms = [key for key, module in net.named_modules() if isinstance(module, _BatchNorm) and module.affine]
    if not norms:
        raise BackboneError(f"{name} has no batch norm with a scale; leave backbone_options.norm_scale out")
    return norms


def fix_scales(net: nn.Module, names: list[str]) -> None:
    """Makes γ of the batch norms `names` a buffer: loaded and stored under the same key, but never trained."""
    for name in names:
        norm: Any = net.get_submodule(name)
        scale = norm.weight.detach()
        del norm.weight
        norm.register_buffer("weight", scale)


def free_scales(net: nn.Module) -> list[str]:
    """The reverse for all batch norms whose γ is a buffer; returns their names, for `fix_scales`."""
    names = [
        name for name, module in net.named_modules() if isinstance(module, _BatchNorm) and "weight" in module._buffers
    ]
    for name in names:
        norm: Any = net.get_submodule(name)
        scale = norm.weight
        del norm.weight
        norm.weight = nn.Parameter(scale)
    return names
