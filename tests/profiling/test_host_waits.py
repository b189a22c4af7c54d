"""The helper that forbids the host to wait for the device notices every way of waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.host_waits import host_waits_forbidden

VALUES = torch.tensor([1.0, -1.0])


READS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x[0]),
    "if": lambda x: bool(x[0] > 0),
    "nonzero": Tensor.nonzero,
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": Tensor.unique,
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "cpu": lambda x: x.cpu(),
}


@pytest.mark.parametrize("name", READS)
def test_every_way_to_read_a_tensor_back_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(AssertionError, match=r"host waits|with a mask"), host_waits_forbidden("cpu", monkeypatch):
        READS[name](VALUES)


def test_work_that_stays_on_the_device_is_allowed(monkeypatch: pytest.MonkeyPatch):
    with host_waits_forbidden("cpu", monkeypatch):
        kept = torch.where(VALUES > 0, VALUES, 0.0)[torch.tensor([0, 0])].sum()
    assert kept == 2
