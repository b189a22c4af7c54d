"""A watch that fails where a training step makes the host wait for the device, on a CPU too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class HostWaits(TorchDispatchMode):
    """Fails on operators whose result the host must see before it can go on."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal", "bincount")

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        assert name not in self.WAITS, f"the host waits for aten::{name}"
        if name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple)):
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"aten::{name} with a mask: the shape depends on the data"
        return function(*args, **(kwargs or {}))


@contextmanager
def host_waits_forbidden(device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On CUDA torch watches itself; on a CPU the operators are watched, and the ways around them are closed."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the host waits: a tensor is read back in a step")

    with monkeypatch.context() as patch, HostWaits():
        for way in ("tolist", "numpy", "cpu", "__array__"):
            patch.setattr(Tensor, way, refuse)
        yield
