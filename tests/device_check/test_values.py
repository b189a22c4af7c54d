"""A method that computes something else on a device is found, in each precision; one that only rounds is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import methods
from benchmarks.device_check.compilation import compare_compiled
from benchmarks.device_check.host_draws import DRAWS, HostDraws
from benchmarks.device_check.networks import small_batch, small_method
from benchmarks.device_check.values import RANKED, answer, check_values, compare, tolerances
from methods.interface import Method
from tests.helpers.fakes.planted_checks import Broken, Drawing, Faulty

CPU = torch.device("cpu")


def test_a_sound_method_passes() -> None:
    found = compare(Faulty(), *small_batch(size=16), CPU, ["fp32", "bf16"])
    assert found.status == "ok"
    assert found.numbers["fp32_logits"] < 1e-6 < found.numbers["bf16_logits"]


@pytest.mark.parametrize("factor", [1.001, 0.0, float("nan"), float("inf")])
def test_logits_that_are_wrong_in_one_precision_are_found(factor: float) -> None:
    found = compare(Faulty(factor), *small_batch(size=16), CPU, ["fp32"])
    assert found.status == "wrong"
    assert "fp32 logits differ" in found.finding
    assert all(number < float("inf") for number in found.numbers.values())


def test_a_wrong_gradient_alone_is_found() -> None:
    class WrongBackward(Faulty):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits = super().forward(images)
            if images.dtype == torch.float32 and logits.requires_grad:
                logits.register_hook(lambda gradient: 2 * gradient)
            return logits

    found = compare(WrongBackward(), *small_batch(size=16), CPU, ["fp32"])
    assert found.status == "wrong"
    assert "gradient" in found.finding
    assert "logits" not in found.finding


def test_draws_are_the_same_in_every_type() -> None:
    found = compare(Drawing(), *small_batch(size=16), CPU, ["fp32"])
    assert found.status == "ok", found.finding


def test_draws_of_the_host_are_those_of_torch_with_the_same_seed() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4), torch.empty(4).bernoulli_(0.5), torch.randn(4)
    torch.manual_seed(3)
    with HostDraws():
        found = (
            torch.rand(4, dtype=torch.float64),
            torch.empty(4, dtype=torch.float64).bernoulli_(0.5),
            torch.randn(4, dtype=torch.bfloat16),
        )
    assert torch.equal(found[0], expected[0].double())
    assert torch.equal(found[1], expected[1].double())
    assert torch.equal(found[2], expected[2].bfloat16())


def test_draws_like_a_tensor_do_not_depend_on_its_layout() -> None:
    maps = torch.zeros(2, 3, 4, 4)
    with HostDraws():
        torch.manual_seed(3)
        expected = torch.rand_like(maps)
        torch.manual_seed(3)
        assert torch.equal(torch.rand_like(maps.contiguous(memory_format=torch.channels_last)), expected)


class Drawn(TorchDispatchMode):
    """Within, notes the names of the operators that move torch's generator: attention without dropout does not."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = torch.get_rng_state()
        made = function(*args, **(kwargs or {}))
        if not torch.equal(before, torch.get_rng_state()):
            self.names.add(function.overloadpacket.__name__)
        return made


@pytest.mark.parametrize("method", methods.available())
def test_all_that_a_method_draws_in_a_step_is_drawn_on_the_host(method: str) -> None:
    """Else it would be called wrong on every GPU, whose generator gives other numbers."""
    with Drawn() as drawn:
        for losses in small_method(method).train().steps(*small_batch()):
            sum(losses.values()).backward()
    assert drawn.names <= DRAWS


def test_draws_from_a_gamma_distribution_are_the_same_in_every_type() -> None:
    shape = torch.full((4,), 0.7)
    torch.manual_seed(3)
    expected = torch._standard_gamma(shape)
    torch.manual_seed(3)
    with HostDraws():
        assert torch.equal(torch._standard_gamma(shape.double()), expected.double())


@pytest.mark.parametrize("method", methods.available())
def test_every_method_computes_in_float32_what_it_computes_in_float64(method: str) -> None:
    found = check_values(method, "cpu", ["fp32"])
    assert found.status == "ok", found.finding
    margin = 3 if method in RANKED else 10  # swapped tokens, which differ by processor, in place of rounding
    assert found.numbers["fp32_logits"] < tolerances(method)["fp32"][0] / margin


def test_the_answer_is_that_of_the_method() -> None:
    method: Method = small_method("plain")
    images, labels = small_batch(4)
    found = answer(copy.deepcopy(method), images, labels, "fp32")
    with torch.no_grad():
        assert torch.equal(found.logits, method.eval()(images).double())
    loss = method.train().losses(images, labels)["cross_entropy"]
    loss.backward()
    assert found.losses.tolist() == [loss.item()]
    whole = torch.cat([one.grad.flatten() for one in method.parameters() if one.grad is not None])
    assert found.gradient.norm().item() == pytest.approx(whole.double().norm().item())


def test_a_method_that_compiles_as_a_whole_passes() -> None:
    found = compare_compiled(Faulty(), CPU, "fp32", "aot_eager")
    assert found.status == "ok", found.finding
    assert found.numbers["compile_s"] > 0


def test_a_graph_break_is_found() -> None:
    found = compare_compiled(Broken(), CPU, "fp32", "aot_eager")
    assert found.status == "wrong"
    assert "does not compile as a whole" in found.finding
