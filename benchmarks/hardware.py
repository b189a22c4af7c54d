"""What a number was measured on: hardware, versions, and the commit of the code."""

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
from typing import Any

import psutil
import torch

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pandas", "pillow", "scipy", "scikit-learn")

THROTTLED = "clocks_event_reasons.active"
"""nvidia-smi's name of the bits that say why a GPU's clocks are held down."""


def device_name(device: torch.device) -> str:
    """Name of the GPU, or of the processor with its vector instructions as torch uses them and the number of threads:
    what a rate depends on. On the instructions depends how sums are rounded too."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_processor()} ({_capability()}), {threads} thread{'s' * (threads != 1)}"


def _capability() -> str:
    """`AVX2`, `AVX512` …; the same processor may be without what is newer in a virtual machine."""
    return torch.backends.cpu.get_cpu_capability()


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def hardware(device: torch.device) -> dict[str, Any]:
    """The machine and the device in use, clocks as they are at this moment."""
    frequency = psutil.cpu_freq()
    found: dict[str, Any] = {
        "device": device.type,
        "name": device_name(device),
        "processor": _processor(),
        "capability": _capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": psutil.virtual_memory().total,
        "system": platform.platform(),
        "cpu_mhz": round(frequency.current) if frequency else None,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"device_memory": properties.total_memory, "cuda": torch.version.cuda, **_gpu_state(device)}
    return found


def gpu_uuid(device: torch.device) -> str:
    """The driver's name of a GPU: torch's number is another where CUDA_VISIBLE_DEVICES leaves some out."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"


def _gpu_state(device: torch.device) -> dict[str, Any]:
    """Driver, clocks in MHz and throttling of the GPU, from nvidia-smi where it is there."""
    for throttled in (THROTTLED, "clocks_throttle_reasons.active"):  # the second up to driver 530
        fields = ("driver_version", "clocks.sm", "clocks.mem", throttled, "temperature.gpu")
        command = ["nvidia-smi", f"--id={gpu_uuid(device)}", f"--query-gpu={','.join(fields)}"]
        command.append("--format=csv,noheader,nounits")
        try:
            output = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            continue
        names = [THROTTLED if field == throttled else field for field in fields]
        return dict(zip(names, [value.strip() for value in output.partition("\n")[0].split(",")], strict=False))
    return {}


def versions() -> dict[str, str]:
    """Python and the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit, and whether its tracked and untracked files are as committed; None outside of git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip(), not git("status", "--porcelain").strip()
    except (OSError, subprocess.SubprocessError):
        return None, None


def resident_bytes() -> int:
    """Resident memory of this process at this moment."""
    return int(psutil.Process().memory_info().rss)


def reset_peak_resident() -> int:
    """Begins a new count of `peak_resident_bytes`, where the system can; returns the resident bytes of this moment."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident_bytes()


def peak_resident_bytes() -> int:
    """Largest resident memory of this process since the last reset; where Linux doesn't tell, since its start."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


VMSTAT = Path("/proc/vmstat")
"""Linux's counters; in a container, those of its host."""


def memory_kills() -> int:
    """How many processes the system has killed for want of memory, its own or a control group's; 0 where it doesn't
    tell."""
    with contextlib.suppress(OSError):
        counters = dict(line.split() for line in VMSTAT.read_text(encoding="ascii").splitlines())
        return int(counters.get("oom_kill", 0))
    return 0
