"""The watch that forbids the host to wait for the device notices every way of waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.host_waits import fake_gpu, host_waits_forbidden

Waits = dict[str, Callable[[Tensor], Any]]

READS: Waits = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x[0]),
    "if": lambda x: bool(x[0] > 0),
    "slice": lambda x: x[: x[0].long()],
    "nonzero": Tensor.nonzero,
    "where": lambda x: torch.where(x > 0),
    "mask": lambda x: x[x > 0],
    "set_mask": lambda x: x.clone().__setitem__(x > 0, 0.0),
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": Tensor.unique,
    "unique_consecutive": Tensor.unique_consecutive,
    "bincount": lambda x: x.abs().long().bincount(),
    "equal": lambda x: torch.equal(x, x),
    "repeat_interleave": lambda x: x.repeat_interleave(x.abs().long()),
    "one_hot": lambda x: torch.nn.functional.one_hot(x.abs().long()),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "cpu": lambda x: x.cpu(),
    "solve": lambda x: torch.linalg.solve(torch.diag(x), x),
    "cholesky": lambda x: torch.linalg.cholesky(torch.diag(x.abs())),
    "eigh": lambda x: torch.linalg.eigh(torch.diag(x)),
    "svd": lambda x: torch.linalg.svd(torch.diag(x)),
    "lstsq": lambda x: torch.linalg.lstsq(torch.diag(x), x[:, None]),
    "multinomial": lambda x: x.abs().multinomial(1),
}
"""Each is noticed on a CPU and on a fake GPU."""

COPIES: Waits = {
    "to_host": lambda x: x.to("cpu"),
    "to_device": lambda x: torch.arange(2).to(x.device),
    "copy": lambda x: x.clone().copy_(torch.ones(2)),
    "tensor": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "number": lambda x: torch.tensor(1.0, device=x.device),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "as_tensor": lambda x: torch.as_tensor([1.0, 2.0], device=x.device),
    "list_as_index": lambda x: x[[0, 1]],
    "index_of_the_host": lambda x: x[torch.tensor([0, 1])],
    "element": lambda x: x.clone().__setitem__(0, 5.0),
}
"""Only a fake GPU shows these: on a CPU, nothing is copied to another device."""


def values() -> Tensor:
    return torch.tensor([1.0, -1.0])


@pytest.mark.parametrize("name", READS)
def test_every_way_to_read_a_tensor_back_is_refused(name: str, monkeypatch: pytest.MonkeyPatch):
    x = values()
    with pytest.raises(AssertionError, match="host waits"), host_waits_forbidden("cpu", monkeypatch):
        READS[name](x)


@pytest.mark.parametrize("name", [*READS, *COPIES])
def test_on_a_fake_gpu_copies_are_refused_too(name: str, monkeypatch: pytest.MonkeyPatch):
    with fake_gpu():
        x = values().to("cuda")
        with pytest.raises(AssertionError, match="host waits"), host_waits_forbidden("cpu", monkeypatch):
            (READS | COPIES)[name](x)


ALLOWED: Waits = {
    "where": lambda x: torch.where(x > 0, x, 0.0).sum(),
    "index": lambda x: x[torch.zeros(2, dtype=torch.long, device=x.device)],
    "asynchronous_copy": lambda x: torch.ones(2).to(x.device, non_blocking=True),
    "number_of_the_host": lambda x: x * torch.tensor(2.0),  # a kernel takes it as an argument
    "another_type": lambda x: x.to(torch.float64),
    "solve_without_check": lambda x: torch.linalg.solve_ex(torch.diag(x), x).result,
    "repeats_of_known_size": lambda x: x.repeat_interleave(x.abs().long(), output_size=2),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_work_that_stays_on_the_device_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch):
    x = values()
    with host_waits_forbidden("cpu", monkeypatch):
        found = ALLOWED[name](x)
    assert torch.equal(found, ALLOWED[name](x))


@pytest.mark.parametrize("name", ALLOWED)
def test_work_that_stays_on_a_fake_gpu_is_allowed(name: str, monkeypatch: pytest.MonkeyPatch):
    with fake_gpu():
        x = values().to("cuda")
        with host_waits_forbidden("cpu", monkeypatch):
            found = ALLOWED[name](x)
    assert found.device.type == "cuda"
    assert found.shape == ALLOWED[name](values()).shape
