"""Parts of a profile: the counted work of a step, its ceilings, and where its time goes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.nn import functional as F

from benchmarks.profiling import breakdown, operations, roofline
from benchmarks.profiling.counting import Traffic, count
from benchmarks.profiling.timing import block_rates, latencies, percentile
from results.speed import Limits, Speed
from tests.helpers.fakes.fake_steps import CPU, NAP, Fake, images_and_labels, optimizer_of, stop_clocks, training

# ---- counting ---------------------------------------------------------------------------------------------------

CONVOLUTION = 2 * 8 * 3 * 3 * 3 * 10 * 10
LINEAR = 2 * 8 * 5


def test_flops_of_a_known_network_are_counted_right_forward_and_backward() -> None:
    method, (images, _) = Fake(), images_and_labels(4)
    with torch.no_grad():
        forward = count(method, lambda: method(images))
    assert forward.flops == 10 * CONVOLUTION + 4 * LINEAR
    # Backward: the convolution's weights for each of the two passes that reach the loss; weights and input of the head.
    step = count(method, training(method, optimizer_of(method)))
    assert step.flops == forward.flops + 8 * CONVOLUTION + 2 * 4 * LINEAR


def test_passes_are_counted_whatever_the_method_declares() -> None:
    method, (images, _) = Fake(), images_and_labels(4)
    assert method.views == 1
    passed = count(method, lambda: method(images))
    assert (passed.backbone_images, passed.images_with_gradients) == (4 + 4 + 2, 4 + 4 + 2)
    passed = count(method, torch.no_grad()(lambda: method(images)))
    assert (passed.backbone_images, passed.images_with_gradients) == (4 + 4 + 2, 0)
    assert not method.backbone._forward_pre_hooks


@pytest.mark.parametrize(
    ("work", "numbers", "launches"),
    [
        (lambda x: x + x, 3, 1),  # read twice, written once
        (lambda x: x.add_(1), 2, 1),
        (lambda x: x.view(10, 100).t()[:5], 0, 0),
        (torch.empty_like, 0, 0),
        (lambda x: x.exp(), 2, 1),
    ],
    ids=["sum", "in place", "views", "empty", "elementwise"],
)
def test_traffic_is_what_operations_read_and_write(work: Any, numbers: int, launches: int) -> None:
    x = torch.zeros(1000)
    with Traffic() as traffic:
        work(x)
    assert (traffic.bytes, traffic.launches) == (numbers * 4000, launches)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_copies_inside_composite_operations_are_counted_in_every_mode(mode: Any) -> None:
    x = torch.zeros(10, 100)
    with mode(), Traffic() as traffic:
        x.t().reshape(-1)  # a copy: a transposed tensor has no flat view
        x.to(torch.bfloat16)
    assert traffic.launches >= 2
    assert traffic.bytes >= (2 * 4 + 4 + 2) * 1000


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_gradients_of_a_grouped_convolution_need_as_many_flops_as_the_convolution(groups: int) -> None:
    class Grouped(Fake):
        def forward(self, images: Tensor) -> Tensor:
            return F.conv2d(images, weight, padding=1, groups=groups)

    weight = torch.randn(8, 8 // groups, 3, 3, requires_grad=True)
    images = torch.randn(4, 8, 6, 6, requires_grad=True)
    method, forward = Grouped(), 2 * 4 * 8 * (8 // groups) * 3 * 3 * 6 * 6
    assert count(method, lambda: method(images)).flops == forward
    assert count(method, lambda: method(images).sum().backward()).flops == 3 * forward
    assert count(method, lambda: method(images.detach()).sum().backward()).flops == 2 * forward


def test_flops_of_attention_are_counted_on_a_cpu_too() -> None:
    class Attending(Fake):
        def forward(self, images: Tensor) -> Tensor:
            query = images.flatten(2)[:, None, :, :8]  # (4, 1, 3, 8)
            return F.scaled_dot_product_attention(query, query, query).flatten(1)

    method, (images, _) = Attending(), images_and_labels(4)
    with torch.inference_mode():
        assert count(method, lambda: method(images)).flops == 2 * (2 * 4 * 3 * 8 * 3)


def test_a_repeated_value_is_read_once() -> None:
    one, many = torch.zeros(1), torch.zeros(1000)
    with Traffic() as traffic:
        many.add_(one.expand(1000))
    assert traffic.bytes == 2 * 4000 + 4


def test_shares_are_the_times_at_each_ceiling_over_the_real_time() -> None:
    limits = Limits(flops_per_s=100.0, bytes_per_s=10.0, launch_s=0.01)
    step = Speed(batch_size=2, images_per_s=0.5, images_per_s_p10=0.5, images_per_s_p90=0.5, peak_memory=0, flops=25)
    assert roofline.shares(step, limits) == {"arithmetic": pytest.approx(0.125)}
    assert roofline.shares(step.model_copy(update={"bytes": 10, "launches": 30}), limits) == {
        "arithmetic": pytest.approx(0.125),
        "memory": pytest.approx(0.5),
        "launches": pytest.approx(0.075),
    }


def test_the_measured_time_of_issuing_a_step_stands_for_the_launches_that_were_counted() -> None:
    limits = Limits(flops_per_s=100.0, bytes_per_s=10.0, launch_s=0.01)
    rates = {"images_per_s": 0.5, "images_per_s_p10": 0.5, "images_per_s_p90": 0.5}
    step = Speed(batch_size=2, **rates, peak_memory=0, launches=30, issue_ms=1000.0)
    assert roofline.shares(step, limits) == {"launches": pytest.approx(0.25)}
    compiled = step.model_copy(update={"launches": None})
    assert roofline.shares(compiled, limits) == {"launches": pytest.approx(0.25)}


def test_the_ceiling_of_bf16_is_that_of_float32_where_a_processor_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {torch.bfloat16: 1.0, torch.float32: 100.0}
    monkeypatch.setattr(roofline, "flops_per_s", lambda device, kind: rates[kind])
    assert roofline.measure_limits(CPU, "bf16").flops_per_s == 100.0
    rates[torch.bfloat16] = 1000.0
    assert roofline.measure_limits(CPU, "bf16").flops_per_s == 1000.0
    assert roofline.measure_limits(CPU, "fp32").flops_per_s == 100.0


def test_each_ceiling_is_the_higher_of_two_measurements() -> None:
    quiet, busy = (Limits(flops_per_s=a, bytes_per_s=b, launch_s=c) for a, b, c in ((9, 2, 1), (5, 3, 4)))
    assert roofline.highest(quiet, busy) == Limits(flops_per_s=9, bytes_per_s=3, launch_s=1)


# ---- time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sleeps", "row"),
    [
        ("backbone", breakdown.BACKBONE),
        ("head", breakdown.OWN + "head"),
        ("method", breakdown.OTHER),
        ("after_step", breakdown.OTHER),
        ("backward", breakdown.BACKWARD),
        ("optimizer", breakdown.OPTIMIZER),
    ],
)
def test_a_sleep_appears_in_its_own_row_of_the_breakdown(
    sleeps: str, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_clocks(monkeypatch)
    method = Fake(sleeps)
    optimizer = optimizer_of(method, NAP if sleeps == "optimizer" else 0.0)
    parts = breakdown.of_training(method, optimizer, training(method, optimizer), CPU)
    assert parts.pop(row) == pytest.approx(1000 * NAP)
    assert set(parts.values()) == {0}


def test_a_real_sleep_appears_in_the_breakdown_of_inference() -> None:
    method, (images, _) = Fake("head"), images_and_labels()
    parts = breakdown.of_inference(method, lambda: method(images), CPU)
    assert parts[breakdown.OWN + "head"] >= 1000 * NAP


def test_loss_functions_of_torch_have_their_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep, entropy = stop_clocks(monkeypatch), torch._C._nn.cross_entropy_loss

    def late(*arguments: Any, **options: Any) -> Tensor:
        sleep(NAP)
        return entropy(*arguments, **options)

    monkeypatch.setattr(torch._C._nn, "cross_entropy_loss", late)
    method = Fake()
    optimizer = optimizer_of(method)
    parts = breakdown.of_training(method, optimizer, training(method, optimizer), CPU)
    assert parts.pop(breakdown.LOSSES) == pytest.approx(1000 * NAP)
    assert set(parts.values()) == {0}


def test_the_breakdown_leaves_the_method_unchanged() -> None:
    method = Fake()
    optimizer = optimizer_of(method)
    breakdown.of_training(method, optimizer, training(method, optimizer), CPU)
    assert "steps" not in vars(method)
    assert "after_step" not in vars(method)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in method.modules())
    assert not optimizer._optimizer_step_pre_hooks


def test_blocks_measure_the_rate_of_a_step_of_known_length(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = stop_clocks(monkeypatch)
    blocks = block_rates(lambda: sleep(NAP), 3, CPU)
    assert blocks.steady
    assert blocks.rates == pytest.approx([3 / NAP] * 9)
    assert (blocks.percentile(10), blocks.median, blocks.percentile(90)) == pytest.approx((3 / NAP,) * 3)


def test_latencies_are_those_of_single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.profiling.timing.LATENCY_SECONDS", 10 * NAP)
    sleep = stop_clocks(monkeypatch)
    naps = iter([NAP, NAP, *(NAP * number for number in range(1, 11))])  # warm-up, then the number of repeats
    seconds = latencies(lambda: sleep(next(naps)), CPU)
    assert seconds == pytest.approx([NAP * number for number in range(1, 11)])
    assert percentile(seconds, 50) == pytest.approx(5.5 * NAP)
    assert percentile(seconds, 99) == pytest.approx(9.91 * NAP)


def test_costliest_operations_are_in_words_and_the_trace_is_a_file(tmp_path: Path) -> None:
    method, (images, _) = Fake(), images_and_labels(64)
    profiler = operations.profiled(lambda: method(images), CPU)
    operations.write_trace(profiler, tmp_path / "trace.json.gz")
    found = operations.costliest(profiler, CPU)
    assert len(found) <= operations.COSTLIEST
    assert [one.milliseconds for one in found] == sorted((one.milliseconds for one in found), reverse=True)
    (convolution,) = [one for one in found if one.name == "convolution"]
    assert convolution.calls == 3
    assert 0 < sum(one.share for one in found) <= 1 + 1e-9
    with gzip.open(tmp_path / "trace.json.gz") as file:
        assert json.load(file)["traceEvents"]


@pytest.mark.parametrize(
    ("key", "spent"),
    [("aten::mm", 5.0), ("## Call CompiledFxGraph f4t ##", 5.0), ("Optimizer.step#SGD.step", 0.0)],
)
def test_only_spans_of_compiled_graphs_count_as_operations(key: str, spent: float) -> None:
    row = SimpleNamespace(key=key, device_type=DeviceType.CPU, self_cpu_time_total=5.0, self_device_time_total=2.0)
    assert operations.own_microseconds(row, cuda=False) == spent
    assert operations.own_microseconds(row, cuda=True) == 0.4 * spent
    row.device_type = DeviceType.CUDA  # a kernel counts for what launched it
    assert operations.own_microseconds(row, cuda=True) == 0


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("aten::clamp_min_", "ReLU"),
        ("aten::addmm", "product of matrices"),
        ("aten::grid_sampler_2d", "grid sampler 2d"),
        ("triton_poi_fused", "triton poi fused"),
        ("aten::_batch_norm_impl_index", "batch norm"),
        ("aten::empty_strided", "allocation and views"),
        ("autograd::engine::evaluate_function: ReluBackward0", "autograd's own work"),
        ("NativeBatchNormBackward0", "autograd's own work"),
        ("## Call CompiledFxGraph f4tvf4jbzn ##", "compiled code"),
        ("CompiledFunctionBackward", "compiled code"),
        ("TorchDynamo Cache Lookup", "entering compiled code"),
        ("Torch-Compiled Region: 0/0", "compiled code"),
    ],
)
def test_operations_are_named_in_words(key: str, words: str) -> None:
    assert operations.in_words(key) == words
