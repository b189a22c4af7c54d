"""Random numbers that are the same on every device and in every precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

DRAWS = frozenset({"rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm"}) | {
    *("bernoulli", "bernoulli_", "multinomial", "uniform_", "normal", "normal_", "exponential_", "random_"),
    *("native_dropout", "_standard_gamma"),
}
"""Operators of torch that draw."""


class HostDraws(TorchDispatchMode):
    """Within, each draw is made on the host from torch's generator there, in float32, and then copied to the device.

    A GPU's generator gives other numbers than the CPU's for one seed: a method that draws could not be compared.
    """

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        if name not in DRAWS:
            return function(*args, **kwargs)
        tensors = [one for one in args if isinstance(one, Tensor)]
        device = kwargs.get("device") or (tensors[0].device if tensors else torch.device("cpu"))
        asked = kwargs.get("dtype") or (tensors[0].dtype if tensors else None)
        kind = asked if asked is not None and asked.is_floating_point else None
        on_host = {key: torch.device("cpu") if key == "device" else value for key, value in kwargs.items()}
        if kind is not None and kwargs.get("dtype"):
            on_host["dtype"] = torch.float32  # other types take other numbers from the generator
        drawn = function(*tree_map_only(Tensor, _on_host, args), **on_host)
        if name.endswith("_"):
            return tensors[0].copy_(drawn)
        return tree_map_only(Tensor, lambda one: one.to(device, kind if one.is_floating_point() else None), drawn)


def _on_host(tensor: Tensor) -> Tensor:
    """A copy whose values lie in the order of its dimensions: draws fill a tensor in the order of its memory."""
    kind = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", kind, copy=True, memory_format=torch.contiguous_format)
