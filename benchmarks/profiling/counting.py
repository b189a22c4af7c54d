"""What a step does, counted while it does it: passes through backbones, FLOPs, bytes moved, operations launched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from methods.interface import Method


@dataclass(frozen=True)
class Counts:
    """Of one step."""

    flops: int
    """As torch counts them: products of matrices, convolutions and attention, 2 per multiply-add."""
    bytes: int
    """What each operation reads and writes, by itself: caches and fused code move less."""
    launches: int
    """Operations that do something; on a GPU each is a kernel or a few."""
    backbone_images: int
    """Images that went through a backbone."""


def _convolution_backward(
    gradient: list[int],
    images: list[int],
    weight: list[int],
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    wanted: Sequence[bool],
    **_: Any,
) -> int:
    """The gradients of images and weights each take what the convolution took, `groups` or not."""
    return conv_flop_count(images, weight, gradient, transposed) * sum(wanted[:2])


OWN: dict[Any, Callable[..., int]] = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda gradient, query, key, value, *_, **__: sdpa_backward_flop_count(gradient, query, key, value)
    ),
}
"""What torch counts otherwise. The weights' gradient of a convolution in groups it takes for that of a whole one: the
depthwise convolutions of MobileNetV2 would bring a training step to twenty times the forward pass (torch 2.14).
Attention it counts on a GPU alone: a Swin has as many FLOPs on a CPU."""


def count(method: Method, step: Callable[[], object]) -> Counts:
    """Takes one step and counts; not the first one, in which an optimiser makes its state.

    The method must not be compiled: compiled code can't be looked into.
    """
    with passes(method) as images, FlopCounterMode(display=False, custom_mapping=OWN) as flops, Traffic() as traffic:
        step()
    return Counts(int(flops.get_total_flops()), traffic.bytes, traffic.launches, sum(images))


def backbones(method: nn.Module) -> list[nn.Module]:
    """The modules that a `BackboneSource` made, told by their mark."""
    return [module for module in method.modules() if getattr(module, "is_backbone", False)]


@contextlib.contextmanager
def passes(method: nn.Module) -> Iterator[list[int]]:
    """Yields a list that gets the number of images of each pass through a backbone, by hooks on it."""
    counts: list[int] = []
    hooks = [
        backbone.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
        for backbone in backbones(method)
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


class Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write, and counts those that do either."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.launches = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # under inference mode, what is made of other operations arrives in one piece, copies and all
            made_of_others = func.decompose(*args, **kwargs)
        if made_of_others is not NotImplemented:
            return made_of_others
        out = func(*args, **kwargs)
        schema = func._schema
        fresh = all(one.alias_info is None for one in schema.returns)
        written = [
            leaf
            for place, argument in enumerate(schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
            for leaf in tree_leaves(args[place] if place < len(args) else kwargs.get(argument.name))
        ]
        if (fresh or written) and not schema.name.startswith(("aten::empty", "aten::new_empty", "aten::_local_scalar")):
            moved = [*tree_leaves((args, kwargs)), *written, *(tree_leaves(out) if fresh else [])]
            self.bytes += sum(_bytes(one) for one in moved if isinstance(one, Tensor))
            self.launches += 1
        return out


def _bytes(tensor: torch.Tensor) -> int:
    """Without what is only repeated, as in an expanded tensor."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
