"""Counts the work of a step: passes through backbones, FLOPs (by torch), bytes moved, operations launched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from methods.interface import Method


@dataclass(frozen=True)
class Counts:
    """The work of one step."""

    flops: int
    """As torch counts them: matrix products, convolutions and attention, 2 per multiply-add."""
    bytes: int
    """What the operations read and write, each by itself: caches and fused kernels move less."""
    launches: int
    """Operations that read or write; on a GPU each is one or a few kernels."""
    backbone_images: int
    """Images that passed through a backbone."""
    images_with_gradients: int
    """Those of them that passed while gradients were enabled."""


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
    """The gradients of images and weights each take as many FLOPs as the convolution, with or without groups."""
    return conv_flop_count(images, weight, gradient, transposed) * sum(wanted[:2])


CORRECTIONS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda gradient, query, key, value, *_, **__: sdpa_backward_flop_count(gradient, query, key, value)
    ),
}
"""Replace torch's own counts (torch 2.14). It ignores the groups of a convolution in the gradient of its weights, so
that depthwise convolutions would bring a training step of MobileNetV2 to twenty times the forward pass. And it counts
attention on GPUs only."""


def count(method: Method, step: Callable[[], object]) -> Counts:
    """Takes one step and counts its work. It should not be the first step, in which an optimiser creates its state.

    The method must not be compiled: the operations of compiled code can't be counted.
    """
    with (
        passes(method) as found,
        FlopCounterMode(display=False, custom_mapping=CORRECTIONS) as flops,
        Traffic() as traffic,
    ):
        step()
    return Counts(
        int(flops.get_total_flops()),
        traffic.bytes,
        traffic.launches,
        sum(one.images for one in found),
        sum(one.images for one in found if one.with_gradients),
    )


def backbones(method: nn.Module) -> list[nn.Module]:
    """The modules made by a `BackboneSource`, which marks them."""
    return [module for module in method.modules() if getattr(module, "is_backbone", False)]


class Pass(NamedTuple):
    """A batch that went through a backbone."""

    images: int
    with_gradients: bool
    """Whether gradients were enabled."""


@contextlib.contextmanager
def passes(method: nn.Module) -> Iterator[list[Pass]]:
    """Yields a list to which hooks append each pass through a backbone."""
    found: list[Pass] = []
    hooks = [
        backbone.register_forward_pre_hook(
            lambda _, inputs: found.append(Pass(len(inputs[0]), torch.is_grad_enabled()))
        )
        for backbone in backbones(method)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


class Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write, and counts the operations. Torch has no such counter."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.launches = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode, composite operations arrive whole, with the copies in them
            decomposed = func.decompose(*args, **kwargs)
        if decomposed is not NotImplemented:
            return decomposed
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
    """Bytes of a tensor; an expanded tensor has those of its storage."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
