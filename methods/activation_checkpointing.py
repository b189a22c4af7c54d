"""Activation checkpointing: blocks of a backbone keep their input alone, and compute again in the backward pass.

It saves memory and costs about one more forward pass. The results are the same: random draws are repeated, and the
statistics of batch norm move once, where torch's `checkpoint` and timm's option move them in both passes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from methods.errors import BackboneError


def apply(net: Any, excepted: Collection[nn.Module] = ()) -> None:
    """Checkpoints all blocks of a timm network but those `excepted`. Raises `BackboneError` as `blocks`."""
    for block in blocks(net):
        if block not in excepted:
            block.forward = partial(_checkpointed, block, block.forward)


def blocks(net: Any) -> list[nn.Module]:
    """The blocks that timm's own checkpointing would compute again, in order.

    timm marks the modules that checkpoint. A block is a member of a sequence in such a module, or the module itself if
    it has none. Raises `BackboneError` if timm can't checkpoint the network.
    """
    marked = _marked(net)
    found: dict[nn.Module, None] = {}
    for module in marked:
        members = [one for one in _members(module) if not any(inner in marked for inner in one.modules())]
        found |= dict.fromkeys(members or ([module] if module is not net else []))
    if not found:
        raise BackboneError(
            f"timm can't checkpoint the activations of {type(net).__name__}; leave checkpointing out, or take another "
            "network (resnet50, convnext_tiny, swin_tiny_patch4_window7_224 …)"
        )
    return list(found)


def _marked(net: Any) -> list[nn.Module]:
    """The modules that timm would let checkpoint; none if it refuses."""
    try:
        net.set_grad_checkpointing(True)
    except (AssertionError, AttributeError):
        return []
    marked = [module for module in net.modules() if getattr(module, "grad_checkpointing", False)]
    net.set_grad_checkpointing(False)
    return marked


def _members(module: nn.Module) -> Iterator[nn.Module]:
    """The members of all sequences in a module, and of the sequences in these, that consist of layers with weights."""
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from (one for one in child if _has_layers(one))
            yield from _members(child)


def _has_layers(module: nn.Module) -> bool:
    inside = (parameter for child in module.children() for parameter in child.parameters())
    return not isinstance(module, nn.Sequential | nn.ModuleList) and any(True for _ in inside)


def _checkpointed(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    # A dense block appends each layer's maps to the one list that it gives to all layers.
    inputs = tuple(list(one) if isinstance(one, list) else one for one in inputs)
    if torch.compiler.is_compiling():  # compiled code repeats what has no effect besides its result
        return checkpoint(forward, *inputs, use_reentrant=False, **options)
    contexts = partial(_contexts, block)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **options)


def _contexts(block: nn.Module) -> tuple[Any, Any]:
    """Of the first computation and of the second."""
    return contextlib.nullcontext(), _statistics_kept(block)


@contextlib.contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Within, batch norm takes the statistics of its batch and leaves the running ones as they are."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, counted
