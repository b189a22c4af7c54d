"""The parts of a profile: what is counted, where time and memory are seen, how the largest batch is found."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.nn import functional as F

from benchmarks import machine
from benchmarks.optimise import take_steps
from benchmarks.profiling import breakdown, gpu, largest, memory, operations, roofline
from benchmarks.profiling.counting import Traffic, count
from benchmarks.profiling.timing import BLOCK_SECONDS, block_rates, latencies, percentile
from methods.interface import Method
from results.speed import Limits, Speed

CPU = torch.device("cpu")
NAP = 0.03
"""Seconds; a step of the fake method takes a hundredth of it."""


class Backbone(nn.Module):
    """Known work: 8 filters of 3 × 3 × 3 at 10 × 10 positions."""

    is_backbone = True

    def __init__(self, nap: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.nap = nap

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.nap)
        return self.convolution(images).mean((2, 3))


class Head(nn.Linear):
    nap = 0.0

    def forward(self, features: Tensor) -> Tensor:
        time.sleep(self.nap)
        return super().forward(features)


class SleepyGradient(torch.autograd.Function):
    """The same values, and a gradient that is late."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        time.sleep(NAP)
        return gradient


class SleepySGD(torch.optim.SGD):
    nap = 0.0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        time.sleep(self.nap)
        super().step(closure)


class Fake(Method):
    """Looks at each image twice and at half of them once more; sleeps in one place of its choice."""

    def __init__(self, sleeps: str = "") -> None:
        super().__init__()
        self.sleeps = sleeps
        self.backbone = Backbone(NAP / 3 if sleeps == "backbone" else 0.0)  # three passes
        self.head = Head(8, 5)
        self.head.nap = NAP if sleeps == "head" else 0.0

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images) + self.backbone(images)
        self.backbone(images[: len(images) // 2])
        if self.sleeps == "method":
            time.sleep(NAP)
        logits = self.head(features)
        return SleepyGradient.apply(logits) if self.sleeps == "backward" else logits

    def after_step(self) -> None:
        if self.sleeps == "after_step":
            time.sleep(NAP)


def images_and_labels(batch: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, 3, 10, 10), torch.arange(batch) % 5


def optimizer_of(method: Method, nap: float = 0.0) -> SleepySGD:
    optimizer = SleepySGD(method.parameters(), lr=0.01, momentum=0.9)
    optimizer.nap = nap
    return optimizer


def training(method: Method, optimizer: torch.optim.Optimizer) -> Any:
    images, labels = images_and_labels()
    return lambda: list(take_steps(method, images, labels, optimizer, "fp32"))


# ---- counting ---------------------------------------------------------------------------------------------------

CONVOLUTION = 2 * 8 * 3 * 3 * 3 * 10 * 10
LINEAR = 2 * 8 * 5


def test_flops_of_a_known_network_are_counted_right_forward_and_backward() -> None:
    method, (images, _) = Fake(), images_and_labels(4)
    with torch.no_grad():
        forward = count(method, lambda: method(images))
    assert forward.flops == 10 * CONVOLUTION + 4 * LINEAR
    # Backward: the weights' convolution for each of the two looks that reach the loss; weights and input of the head.
    step = count(method, training(method, optimizer_of(method)))
    assert step.flops == forward.flops + 8 * CONVOLUTION + 2 * 4 * LINEAR


def test_passes_are_counted_by_hooks_whatever_the_method_declares() -> None:
    method, (images, _) = Fake(), images_and_labels(4)
    assert method.views == 1
    assert count(method, lambda: method(images)).backbone_images == 4 + 4 + 2
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
def test_copies_inside_of_other_operations_are_counted_in_every_mode(mode: Any) -> None:
    x = torch.zeros(10, 100)
    with mode(), Traffic() as traffic:
        x.t().reshape(-1)  # a copy: one flat view of what is transposed there is not
        x.to(torch.bfloat16)
    assert traffic.launches >= 2
    assert traffic.bytes >= (2 * 4 + 4 + 2) * 1000


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_gradients_of_a_convolution_in_groups_take_what_the_convolution_took(groups: int) -> None:
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


def test_shares_are_least_times_over_the_time_taken() -> None:
    limits = Limits(flops_per_s=100.0, bytes_per_s=10.0, launch_s=0.01)
    step = Speed(batch_size=2, images_per_s=0.5, images_per_s_p10=0.5, images_per_s_p90=0.5, peak_memory=0, flops=25)
    assert roofline.shares(step, limits) == {"arithmetic": pytest.approx(0.125)}
    assert roofline.shares(step.model_copy(update={"bytes": 10, "launches": 30}), limits) == {
        "arithmetic": pytest.approx(0.125),
        "memory": pytest.approx(0.5),
        "launches": pytest.approx(0.075),
    }


def test_the_ceiling_of_bf16_is_that_of_float32_where_a_processor_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {torch.bfloat16: 1.0, torch.float32: 100.0}
    monkeypatch.setattr(roofline, "_flops_per_s", lambda device, kind: rates[kind])
    assert roofline.measure_limits(CPU, "bf16").flops_per_s == 100.0
    rates[torch.bfloat16] = 1000.0
    assert roofline.measure_limits(CPU, "bf16").flops_per_s == 1000.0
    assert roofline.measure_limits(CPU, "fp32").flops_per_s == 100.0


def test_each_ceiling_is_the_higher_of_two_measurements() -> None:
    quiet, busy = (Limits(flops_per_s=a, bytes_per_s=b, launch_s=c) for a, b, c in ((9, 2, 1), (5, 3, 4)))
    assert roofline.highest(quiet, busy) == Limits(flops_per_s=9, bytes_per_s=3, launch_s=1)


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on in sleep alone, so that a busy machine changes nothing."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(sys.modules[__name__], "time", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(breakdown, "time", SimpleNamespace(perf_counter=lambda: clock.now))


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
def test_a_sleep_appears_in_its_own_row_of_the_breakdown(sleeps: str, row: str, asleep: None) -> None:
    del asleep
    method = Fake(sleeps)
    optimizer = optimizer_of(method, NAP if sleeps == "optimizer" else 0.0)
    parts = breakdown.of_training(method, optimizer, training(method, optimizer), CPU)
    assert parts.pop(row) == pytest.approx(1000 * NAP)
    assert set(parts.values()) == {0}


def test_a_real_sleep_appears_in_the_breakdown_of_inference() -> None:
    method, (images, _) = Fake("head"), images_and_labels()
    parts = breakdown.of_inference(method, lambda: method(images), CPU)
    assert parts[breakdown.OWN + "head"] >= 1000 * NAP


def test_loss_functions_of_torch_have_their_own_row() -> None:
    class Costly(Fake):
        def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            del images, labels
            wide = torch.zeros(200, 10_000)
            return {"x": F.cross_entropy(wide, torch.zeros(200, dtype=torch.long)) * self.head.weight.sum()}

    method = Costly()
    optimizer = optimizer_of(method)
    parts = breakdown.of_training(method, optimizer, training(method, optimizer), CPU)
    assert parts[breakdown.LOSSES] > parts[breakdown.OPTIMIZER] > 0


def test_a_method_is_left_as_it_was_found() -> None:
    method = Fake()
    optimizer = optimizer_of(method)
    breakdown.of_training(method, optimizer, training(method, optimizer), CPU)
    assert "steps" not in vars(method)
    assert "after_step" not in vars(method)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in method.modules())
    assert not optimizer._optimizer_step_pre_hooks


def test_blocks_tell_the_rate_of_a_step_of_known_length() -> None:
    blocks = block_rates(lambda: time.sleep(NAP), 3, CPU)
    assert 0.5 * 3 / NAP < blocks.median <= 3 / NAP
    assert min(blocks.rates) <= blocks.percentile(10) <= blocks.median <= blocks.percentile(90) <= max(blocks.rates)


def test_latencies_are_those_of_single_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.profiling.timing.LATENCY_SECONDS", 10 * NAP)
    seconds = latencies(lambda: time.sleep(NAP), CPU)
    assert 5 <= len(seconds) <= 10
    assert NAP <= percentile(seconds, 50) <= percentile(seconds, 95) <= percentile(seconds, 99)


def test_costliest_operations_are_in_words_and_the_trace_is_a_file(tmp_path: Path) -> None:
    method, (images, _) = Fake(), images_and_labels(64)
    found = operations.costliest(lambda: method(images), CPU, tmp_path / "trace.json.gz")
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
def test_spans_are_no_operations_but_those_of_compiled_graphs(key: str, spent: float) -> None:
    row = SimpleNamespace(key=key, device_type=DeviceType.CPU, self_cpu_time_total=5.0, self_device_time_total=2.0)
    assert operations._microseconds(row, cuda=False) == spent
    assert operations._microseconds(row, cuda=True) == 0.4 * spent
    row.device_type = DeviceType.CUDA  # a kernel counts for what launched it
    assert operations._microseconds(row, cuda=True) == 0


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
def test_operations_are_told_in_words(key: str, words: str) -> None:
    assert operations.in_words(key) == words


# ---- memory -----------------------------------------------------------------------------------------------------


def test_memory_of_a_known_tensor_is_seen_once() -> None:
    x = torch.ones(1000, requires_grad=True)
    with memory.saved_for_backward() as saved:
        x.exp().sin().sum()
    assert sum(saved.values()) == 4000  # sin keeps what exp gives and keeps too
    with memory.saved_for_backward([x]) as saved:
        x.square().sum()
    assert saved == {}


def test_what_a_compiler_takes_does_not_count_as_the_steps_memory() -> None:
    peak = memory.Peak(CPU)
    with peak.without():
        held = torch.ones(50_000_000)
    peak.reset()
    assert peak.bytes < 50_000_000
    more = torch.ones(25_000_000)
    assert 90_000_000 < peak.bytes < 150_000_000
    del held, more


def test_phases_of_memory_are_those_of_the_tensors() -> None:
    method = Fake()
    optimizer = optimizer_of(method)
    images, labels = images_and_labels()
    found = memory.by_phase(method, optimizer, lambda: take_steps(method, images, labels, optimizer, "fp32"))
    numbers = 8 * 3 * 3 * 3 + 8 * 5 + 5
    assert found["weights"] == found["gradients"] == found["optimizer"] == 4 * numbers
    assert found["activations"] >= images.numel() * 4


def test_memory_is_limited_and_the_limit_is_lifted() -> None:
    with memory.limited(CPU, 50_000_000):
        with pytest.raises(RuntimeError) as caught:
            torch.zeros(25_000_000)
        assert memory.ran_out(caught.value)
    torch.zeros(25_000_000)


def test_other_errors_are_no_lack_of_memory() -> None:
    assert not memory.ran_out(RuntimeError("shapes can't be multiplied"))
    assert not memory.ran_out(OSError("no such file"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_every_way_to_say_that_memory_ran_out_is_understood(error: Exception) -> None:
    assert memory.ran_out(error)


@pytest.mark.parametrize(("met", "is_memory"), [(torch.OutOfMemoryError("no more"), True), (KeyError("no key"), False)])
def test_what_a_compiler_met_is_understood_through_its_own_error(met: Exception, is_memory: bool) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise met

    with pytest.raises(Exception, match="no") as raised:
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(1))
    assert raised.value is not met
    assert memory.ran_out(raised.value) is is_memory


def test_a_gpu_offers_what_nobody_else_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20 * 2**30, 140 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2**30)
    assert memory.available(torch.device("cuda"), None) == 21 * 2**30
    assert memory.available(torch.device("cuda"), 5) == 5
    assert memory.available(torch.device("cuda"), 100 * 2**30) == 21 * 2**30  # there is no more, whatever is allowed


def test_a_container_has_what_the_narrowest_of_its_groups_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"": ("max", 900, 0), "job": ("1000", 700, 50), "job/step": ("2000", 600, 0)}
    for name, (most, used, forgettable) in groups.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "memory.max").write_text(f"{most}\n")
        (tmp_path / name / "memory.current").write_text(f"{used}\n")
        (tmp_path / name / "memory.stat").write_text(f"anon {used}\ninactive_file {forgettable}\n")
    (tmp_path / "own").write_text("4:cpu:/other\n0::/job/step\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    assert sorted(memory._left_by_groups(tmp_path / "own")) == [350, 1400]
    monkeypatch.setattr(memory, "_left_by_groups", lambda: [350, 1400])
    assert memory.available(CPU, None) == 350
    assert memory.available(CPU, 100) == 100


@pytest.mark.parametrize("start", [1, 7, 32, 4096])
def test_the_largest_batch_is_found_within_a_sixteenth(start: int) -> None:
    for limit in [0, 1, 2, 3, 15, 33, 100, 1023, 5000]:
        tried: list[int] = []

        def fits(size: int, limit: int = limit, tried: list[int] = tried) -> bool:
            tried.append(size)
            return size <= limit

        found = largest.search(fits, start)
        assert limit - max(1, limit // largest.RESOLUTION) <= found <= limit
        assert found == 0 or found in tried
        assert len(tried) == len(set(tried))


@pytest.mark.parametrize(
    ("device", "ended_by", "lacked"),
    [
        ("cuda", signal.SIGKILL, True),
        ("cuda", signal.SIGSEGV, False),
        ("cpu", signal.SIGSEGV, True),  # a library that does not look at what malloc gives it
        ("cpu", None, False),
    ],
)
def test_a_try_that_dies_of_anything_but_memory_is_an_error(
    monkeypatch: pytest.MonkeyPatch, device: str, ended_by: int | None, lacked: bool
) -> None:
    def die(*_: object, **__: object) -> bool:
        death = largest.apart.Died("gone")
        death.signal = ended_by
        raise death

    monkeypatch.setattr(largest.apart, "call", die)
    run = SimpleNamespace(batch_size=4, device=device, model_copy=lambda update: update)
    if lacked:
        assert largest.largest_batch(run, "train", 1) == 0  # type: ignore[arg-type]
        return
    with pytest.raises(largest.apart.Died):
        largest.largest_batch(run, "train", 1)  # type: ignore[arg-type]


def test_the_search_ends_where_everything_fits() -> None:
    assert largest.search(lambda _: True, 32) == largest.MOST


# ---- the GPU's driver -------------------------------------------------------------------------------------------


class FakeNvml(SimpleNamespace):
    """One GPU that takes 100 W, held down by its power cap."""

    NVMLError = RuntimeError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = range(3)
    millijoules = 0

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, _: str) -> int:  # noqa: N802
        self.millijoules += 500
        return self.millijoules

    def nvmlDeviceGetCurrentClocksEventReasons(self, _: str) -> int:  # noqa: N802
        return 0x4 | 0x1

    def nvmlDeviceGetClockInfo(self, _: str, kind: int) -> int:  # noqa: N802
        return 1000 + kind

    def nvmlDeviceGetTemperature(self, *_: object) -> int:  # noqa: N802
        return 60

    def nvmlDeviceGetPowerUsage(self, _: str) -> int:  # noqa: N802
        return 100_000


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> gpu.EnergyMeter:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1-2"))
    return gpu.EnergyMeter(torch.device("cuda"))


def test_energy_is_that_of_the_kept_blocks_per_image(meter: gpu.EnergyMeter) -> None:
    assert meter.handle == "GPU-1-2"
    blocks = block_rates(lambda: time.sleep(NAP), 2, CPU, meter)
    steps = max(1, round(BLOCK_SECONDS["cpu"] / NAP))
    assert blocks.joules_per_image == pytest.approx(0.5 / (len(blocks.rates) * steps * 2), rel=0.5)


def test_clocks_and_throttling_are_told_in_words(meter: gpu.EnergyMeter) -> None:
    assert meter.state() == {
        "sm_mhz": 1000,
        "memory_mhz": 1001,
        "celsius": 60,
        "watts": 100.0,
        "throttled": ["power cap"],
    }


def test_what_a_driver_does_not_tell_is_left_out(meter: gpu.EnergyMeter) -> None:
    """An older driver has another word for throttling; a virtual GPU tells no watts."""

    def refuse(*_: object) -> int:
        raise FakeNvml.NVMLError("not supported")

    meter.nvml.nvmlDeviceGetCurrentClocksEventReasons = refuse
    meter.nvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda _: 0x40
    meter.nvml.nvmlDeviceGetPowerUsage = refuse
    found = meter.state()
    assert found["throttled"] == ["temperature (hardware)"]
    assert "watts" not in found
    meter.nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    assert meter.joules() is None


@pytest.mark.parametrize(("bits", "told"), [("0x0000000000000008", ["hardware slowdown"]), ("[N/A]", None)])
def test_nvidia_smi_is_asked_for_the_gpu_in_use_by_the_words_it_knows(
    monkeypatch: pytest.MonkeyPatch, bits: str, told: list[str] | None
) -> None:
    asked: list[list[str]] = []

    def answer(command: list[str], **_: object) -> SimpleNamespace:
        if command[0] != "nvidia-smi":
            raise FileNotFoundError(command[0])
        asked.append(command)
        if any(machine.THROTTLED in word for word in command):  # an older one
            raise subprocess.CalledProcessError(2, command)
        return SimpleNamespace(stdout=f"525.1, 1980, 2619, {bits}, 60\n")

    monkeypatch.setitem(sys.modules, "pynvml", None)
    properties = SimpleNamespace(uuid="1-2", total_memory=1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(subprocess, "run", answer)
    cuda = torch.device("cuda")
    assert machine.hardware(cuda)["driver_version"] == "525.1"
    found = gpu.state(cuda, gpu.EnergyMeter(cuda))
    assert found["clocks.sm"] == "1980"
    assert found.get("throttled") == told
    assert all("--id=GPU-1-2" in command for command in asked)


def test_a_missing_meter_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py" in str(gpu.EnergyMeter(torch.device("cuda")).reason)
    on_cpu = gpu.EnergyMeter(CPU)
    assert on_cpu.joules() is None
    assert on_cpu.reason
