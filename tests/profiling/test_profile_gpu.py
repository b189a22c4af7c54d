"""What a profile reads from the GPU's driver: energy, clocks, throttling."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace

import pynvml
import pytest
import torch

from benchmarks.hardware import GpuSensors, hardware, state
from benchmarks.profiling.timing import BLOCK_SECONDS, BLOCKS, block_rates
from tests.helpers.fakes.fake_steps import CPU, NAP, stop_clocks

CUDA = torch.device("cuda")
STATE = {"sm_mhz": 1000, "memory_mhz": 1001, "celsius": 60, "watts": 100.0, "throttled": ["power cap"]}


def refuse(*_: object) -> int:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


@pytest.fixture
def sensors(monkeypatch: pytest.MonkeyPatch) -> GpuSensors:
    """Those of one GPU that uses 100 W and is throttled by its power cap."""
    millijoules = count(500, 500)
    clocks = {pynvml.NVML_CLOCK_SM: 1000, pynvml.NVML_CLOCK_MEM: 1001}
    driver: dict[str, Callable[..., object]] = {
        "nvmlInit": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetTotalEnergyConsumption": lambda _: next(millijoules),
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _: 0x4 | 0x1,
        "nvmlDeviceGetClockInfo": lambda _, kind: clocks[kind],
        "nvmlDeviceGetTemperature": lambda *_: 60,
        "nvmlDeviceGetPowerUsage": lambda _: 100_000,
        "nvmlDeviceGetComputeRunningProcesses": lambda _: ["this one", "another", "a third"],
    }
    for name, answer in driver.items():
        monkeypatch.setattr(pynvml, name, answer)
    properties = SimpleNamespace(uuid="1-2", total_memory=1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1, 1))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    return GpuSensors(CUDA)


def test_energy_is_that_of_the_measured_blocks_per_image(sensors: GpuSensors, monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = stop_clocks(monkeypatch)
    blocks = block_rates(lambda: sleep(NAP), 2, CPU, sensors)
    steps = round(BLOCK_SECONDS["cpu"] / NAP)
    assert blocks.joules_per_image == pytest.approx(0.5 / (BLOCKS * steps * 2))


def test_a_record_has_driver_clocks_and_throttling_of_the_gpu_in_use(sensors: GpuSensors) -> None:
    assert sensors.handle == "GPU-1-2"
    assert sensors.state() == STATE
    assert STATE.items() <= state(CUDA, sensors).items()
    assert (STATE | {"driver_version": "580.1", "name": "NVIDIA H200"}).items() <= hardware(CUDA).items()


def test_other_processes_on_the_gpu_are_counted_where_the_driver_names_them(
    sensors: GpuSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state(CUDA, sensors)["other_processes"] == 2
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: ["this one"])
    assert state(CUDA, sensors)["other_processes"] == 0
    for hidden in (lambda _: [], refuse):  # a container may see none, not even its own
        monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", hidden)
        assert "other_processes" not in state(CUDA, sensors)


def test_what_a_driver_or_gpu_does_not_measure_is_left_out(
    sensors: GpuSensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older driver has another name for throttling; a virtual GPU has no power meter."""
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", lambda _: 0x40)
    for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption"):
        monkeypatch.setattr(pynvml, name, refuse)
    without_power = {name: value for name, value in STATE.items() if name != "watts"}
    assert sensors.state() == without_power | {"throttled": ["temperature (hardware)"]}
    assert sensors.joules() is None
    again = GpuSensors(CUDA)
    assert "Not Supported" in str(again.reason)
    assert again.state()["celsius"] == 60


def test_without_a_driver_or_on_a_cpu_the_reason_is_given(sensors: GpuSensors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    for missing, reason in ((GpuSensors(CUDA), "NVML refuses"), (GpuSensors(CPU), "only NVIDIA GPUs")):
        assert reason in str(missing.reason)
        assert missing.joules() is None
        assert missing.state() == {}
