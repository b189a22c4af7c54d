"""A watch that fails where a training step makes the host wait for the device, on a machine without a GPU too.

On a CPU the operators are watched for which a GPU's host waits. A CPU can't show copies between host and device; a
fake GPU (`fake_gpu`) shows them, but has no values and no gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class HostWaits(TorchDispatchMode):
    """Fails on operators whose result the host must see before it can go on, and on copies that it waits for."""

    READS = ("_local_scalar_dense", "equal", "allclose")
    SHAPES = ("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "linalg_lstsq")
    CHECKS = ("_linalg_check_errors", "_linalg_eigh", "_linalg_svd", "linalg_eig", "multinomial", "histc")
    """On a GPU the host looks whether these succeeded, or whether their input is valid."""

    COPIES = ("_to_copy", "copy_")

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = function.overloadpacket.__name__, kwargs or {}
        assert name not in (*self.READS, *self.SHAPES, *self.CHECKS), f"the host waits for aten::{name}"
        if name == "repeat_interleave":
            assert kwargs.get("output_size") is not None, "the host waits for the size of aten::repeat_interleave"
        if name.startswith("index") and len(args) > 1 and isinstance(args[1], (list, tuple)):
            self._check_indices(name, args[0], [index for index in args[1] if index is not None])
        try:
            result = function(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:  # of a fake tensor
            raise AssertionError(f"the host waits for aten::{name}") from error
        if name in self.COPIES:
            devices = {one.device.type for one in (*tree_leaves(args), result) if isinstance(one, Tensor)}
            asynchronous = kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,))
            assert len(devices) == 1 or asynchronous, f"the host waits for a copy between {' and '.join(devices)}"
        return result

    @staticmethod
    def _check_indices(name: str, indexed: Tensor, indices: list[Tensor]) -> None:
        for index in indices:
            assert index.dtype not in (torch.bool, torch.uint8), f"the host waits for the mask of aten::{name}"
            assert index.device == indexed.device, f"the host waits for a copy of the indices of aten::{name}"


@contextmanager
def host_waits_forbidden(device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On "cuda" torch watches itself. On "cpu", which serves `fake_gpu` too, every operator is watched."""
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


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Within, tensors on "cuda" have a shape and no values; no GPU and no driver are needed.

    Without gradients: torch asks the driver for those. cuDNN is off, since some of its operators tell no shape.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
        yield
