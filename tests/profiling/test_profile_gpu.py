"""What a profile learns from the GPU's driver: energy, clocks, throttling."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import hardware
from benchmarks.profiling import gpu
from benchmarks.profiling.timing import BLOCK_SECONDS, BLOCKS, block_rates
from tests.helpers.fake_steps import CPU, NAP, stop_clocks


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


def test_energy_is_that_of_the_kept_blocks_per_image(meter: gpu.EnergyMeter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert meter.handle == "GPU-1-2"
    sleep = stop_clocks(monkeypatch)
    blocks = block_rates(lambda: sleep(NAP), 2, CPU, meter)
    steps = round(BLOCK_SECONDS["cpu"] / NAP)
    assert blocks.joules_per_image == pytest.approx(0.5 / (BLOCKS * steps * 2))


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
        if any(hardware.THROTTLED in word for word in command):  # an older one
            raise subprocess.CalledProcessError(2, command)
        return SimpleNamespace(stdout=f"525.1, 1980, 2619, {bits}, 60\n")

    monkeypatch.setitem(sys.modules, "pynvml", None)
    properties = SimpleNamespace(uuid="1-2", total_memory=1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(subprocess, "run", answer)
    cuda = torch.device("cuda")
    assert hardware.hardware(cuda)["driver_version"] == "525.1"
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
