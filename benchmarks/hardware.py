"""What a number was measured on: hardware and its state, versions, the commit of the code, and a process's memory."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pynvml

from benchmarks.gpu import gpu
from results.values.text import counted

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "pillow", "scipy")

THROTTLING = {
    0x0004: "power cap",
    0x0008: "hardware slowdown",
    0x0020: "temperature (software)",
    0x0040: "temperature (hardware)",
    0x0080: "power brake",
}
"""Bits of `nvmlDeviceGetCurrentClocksEventReasons` that mean that the GPU runs below the clocks it could have."""


def device_name(device: torch.device, threads: int | None = None) -> str:
    """Name of the GPU; or of the processor, the vector instructions that torch uses and the number of threads, by
    default torch's present one.

    All of them affect a rate; instructions and threads also affect how sums are rounded.
    """
    import torch

    if device.type == "cuda":
        return gpu(device).name
    used = counted(threads or torch.get_num_threads(), "thread")
    return f"{_processor()} ({torch.backends.cpu.get_cpu_capability()}), {used}"


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def hardware(device: torch.device) -> dict[str, Any]:
    """The machine and the device in use, with their clocks at this moment."""
    import torch

    found: dict[str, Any] = {
        "device": device.type,
        "name": device_name(device),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),  # a virtual machine may hide instructions
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "system": platform.platform(),
        "cpu_mhz": _cpu_mhz(),
    }
    if device.type == "cuda":
        sensors = GpuSensors(device)
        found |= {
            "device_memory": gpu(device).memory,
            "cuda": torch.version.cuda,
            "driver_version": sensors.driver_version,
            **sensors.state(),
        }
    return {name: value for name, value in found.items() if value is not None}


def state(device: torch.device, sensors: GpuSensors) -> dict[str, Any]:
    """What affects a rate and changes by itself: clocks, temperature and throttling; the load of other processes."""
    others = sensors.other_processes()
    shared = {} if others is None else {"other_processes": others}
    return {"cpu_mhz": _cpu_mhz(), "load": round(os.getloadavg()[0], 2), **sensors.state(), **shared}


def overloaded() -> bool:
    """Whether there has been more work than cores in the last minute."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def _cpu_mhz() -> int | None:
    frequency = psutil.cpu_freq()
    return round(frequency.current) if frequency else None


class GpuSensors:
    """The NVIDIA driver's sensors of one GPU (NVML): energy, clocks, temperature, throttling, who uses it.

    Without a GPU or its driver, everything is None or empty. `reason` says why energy is not measured.
    """

    def __init__(self, device: torch.device) -> None:
        self.handle: Any = None
        self.driver_version: str | None = None
        self.reason: str | None = None
        if device.type != "cuda":
            self.reason = "only NVIDIA GPUs are metered (NVML)"
            return
        try:
            pynvml.nvmlInit()
            self.driver_version = pynvml.nvmlSystemGetDriverVersion()
            self.handle = pynvml.nvmlDeviceGetHandleByUUID(gpu(device).uuid)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)
        except pynvml.NVMLError as error:
            self.reason = f"NVML refuses: {error}"

    def joules(self) -> float | None:
        """Energy since the driver was loaded, of the whole card; None if it is not measured."""
        millijoules = self._read(pynvml.nvmlDeviceGetTotalEnergyConsumption)
        return None if millijoules is None else millijoules / 1000

    def state(self) -> dict[str, Any]:
        """Clocks in MHz, degrees Celsius, watts, and the reasons of throttling in words; without what is not known."""
        watts = self._read(pynvml.nvmlDeviceGetPowerUsage)
        # The second is the name up to driver 530.
        reasons = self._read(pynvml.nvmlDeviceGetCurrentClocksEventReasons)
        reasons = self._read(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons) if reasons is None else reasons
        found = {
            "sm_mhz": self._read(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
            "memory_mhz": self._read(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_MEM),
            "celsius": self._read(pynvml.nvmlDeviceGetTemperature, pynvml.NVML_TEMPERATURE_GPU),
            "watts": None if watts is None else watts / 1000,
            "throttled": None if reasons is None else [word for bit, word in THROTTLING.items() if reasons & bit],
        }
        return {name: value for name, value in found.items() if value is not None}

    def other_processes(self) -> int | None:
        """How many processes but this one compute on the GPU; None if the driver does not say.

        This process must have used CUDA: then it is one of those that the driver lists. Its number is not looked for,
        since a container has numbers of its own.
        """
        running = self._read(pynvml.nvmlDeviceGetComputeRunningProcesses)
        return len(running) - 1 if running else None

    def _read(self, function: Any, *arguments: int) -> Any:
        """A value from the driver, or None: virtual and partitioned GPUs do not have all sensors."""
        if self.handle is None:
            return None
        try:
            return function(self.handle, *arguments)
        except pynvml.NVMLError:
            return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether it has no changed or untracked files; None outside of git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip(), not git("status", "--porcelain").strip()
    except (OSError, subprocess.SubprocessError):
        return None, None


def resident_bytes() -> int:
    """Current resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def reset_peak_resident() -> int:
    """Restarts `peak_resident_bytes`, if the system can; returns the current resident memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident_bytes()


def status_bytes(field: str) -> int | None:
    """A field of this process's `/proc/self/status` in bytes; None if this is not Linux."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def peak_resident_bytes() -> int:
    """Peak resident memory of this process since the last reset; since its start if this is not Linux."""
    if (peak := status_bytes("VmHWM")) is not None:
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


VMSTAT = Path("/proc/vmstat")
"""Linux's counters; in a container, those of its host."""


def memory_kills() -> int:
    """How many processes the system has killed for lack of memory, its own or a control group's; 0 if unknown."""
    with contextlib.suppress(OSError):
        counters = dict(line.split() for line in VMSTAT.read_text(encoding="ascii").splitlines())
        return int(counters.get("oom_kill", 0))
    return 0
