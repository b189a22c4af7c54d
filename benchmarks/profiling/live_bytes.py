"""Counts the bytes of tensors that live at the same time; on the meta device too, where they take no memory."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Within, `peak` is the largest number of bytes of all tensors made here and alive at one time.

    Views share the bytes of their storage, and what existed before is not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self.live = 0
        self.holders: Counter[int] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        given, known = set(map(id, inputs)), set(map(storage_of, inputs))
        result = function(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and id(tensor) not in given:
                self._hold(tensor, storage_of(tensor) in known)
        return result

    def _hold(self, tensor: Tensor, view: bool) -> None:
        key, size = storage_of(tensor), tensor.untyped_storage().nbytes()
        if view and not self.holders[key]:
            return  # of what existed before
        if not self.holders[key]:
            self.live += size
            self.peak = max(self.peak, self.live)
        self.holders[key] += 1
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.holders[key] -= 1
        if not self.holders[key]:
            self.live -= size


def storage_of(tensor: Tensor) -> int:
    """What tells the storages of living tensors apart."""
    return tensor.untyped_storage()._cdata


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes that live at one time during `work`, with its result."""
    with LiveBytes() as live:
        kept = work()
    del kept
    return live.peak
