"""What the driver tells of a GPU while it works: energy, clocks, temperature, throttling (NVML); and a CPU's load."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any

import psutil
import torch

from benchmarks import hardware

THROTTLING = {
    0x0004: "power cap",
    0x0008: "hardware slowdown",
    0x0020: "temperature (software)",
    0x0040: "temperature (hardware)",
    0x0080: "power brake",
}
"""Bits of `nvmlDeviceGetCurrentClocksEventReasons` that mean that the GPU runs below the clocks it could have."""
CHANGING = ("clocks.sm", "clocks.mem", hardware.THROTTLED, "temperature.gpu")
"""What nvidia-smi tells in place of NVML."""


class EnergyMeter:
    """NVML of one GPU, where the package `nvidia-ml-py` and the driver are there; else `reason` says what is not."""

    def __init__(self, device: torch.device) -> None:
        self.nvml: Any = None
        self.handle: Any = None
        self.reason: str | None = None
        if device.type != "cuda":
            self.reason = "only NVIDIA GPUs are metered (NVML)"
            return
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            self.reason = "the package nvidia-ml-py is not installed"
            return
        try:
            nvml.nvmlInit()
            self.handle = nvml.nvmlDeviceGetHandleByUUID(hardware.gpu_uuid(device))
            nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)
        except nvml.NVMLError as error:
            self.reason = f"NVML refuses: {error}"
            return
        self.nvml = nvml

    def joules(self) -> float | None:
        """Since the driver was loaded."""
        spent = self._told("nvmlDeviceGetTotalEnergyConsumption")
        return None if spent is None else spent / 1000

    def state(self) -> dict[str, Any]:
        """Clocks in MHz, degrees Celsius, watts, and why the clocks are held down, in words; what this driver or GPU
        does not tell is left out."""
        nvml = self.nvml
        if nvml is None:
            return {}
        watts = self._told("nvmlDeviceGetPowerUsage")
        # The second is its name up to driver 530.
        reasons = self._told("nvmlDeviceGetCurrentClocksEventReasons")
        reasons = self._told("nvmlDeviceGetCurrentClocksThrottleReasons") if reasons is None else reasons
        found = {
            "sm_mhz": self._told("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
            "memory_mhz": self._told("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
            "celsius": self._told("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
            "watts": None if watts is None else watts / 1000,
            "throttled": None if reasons is None else throttling(reasons),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _told(self, question: str, *more: int) -> Any:
        """The driver's answer, or None where it has none: a virtual or divided GPU does not answer everything."""
        ask = getattr(self.nvml, question, None)
        if ask is None:
            return None
        try:
            return ask(self.handle, *more)
        except self.nvml.NVMLError:
            return None


def throttling(bits: int) -> list[str]:
    """NVML's bits in words; empty where the GPU runs as fast as it can, or has nothing to do."""
    return [word for bit, word in THROTTLING.items() if bits & bit]


def state(device: torch.device, meter: EnergyMeter) -> dict[str, Any]:
    """What a rate depends on and changes by itself: clocks, heat, throttling; the load that others put on the CPU."""
    frequency = psutil.cpu_freq()
    found: dict[str, Any] = {
        "cpu_mhz": round(frequency.current) if frequency else None,
        "load": round(os.getloadavg()[0], 2),
    }
    if device.type == "cuda":
        told = hardware.hardware(device) if meter.nvml is None else {}
        found |= meter.state() or {key: told[key] for key in CHANGING if key in told}
        with contextlib.suppress(KeyError, ValueError):  # not told, or `[N/A]`
            found["throttled"] = throttling(int(told[hardware.THROTTLED], 16))
    return found
