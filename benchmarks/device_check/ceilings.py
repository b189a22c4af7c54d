"""The fastest products of matrices and copies of the device: what no step can exceed."""

from __future__ import annotations

import torch

from benchmarks.device_check.finding import Finding
from benchmarks.profiling.roofline import flops_per_s, measure_limits
from benchmarks.training.device import numerics
from results.settings import Precision

KINDS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def measure_ceilings(device: str) -> Finding:
    """FLOP/s of products in each precision, bytes/s of copies (read and written), seconds of an operation's launch."""
    on_device = torch.device(device)
    precisions: tuple[Precision, ...] = ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32", "bf16")
    with numerics("fp32"):
        limits = measure_limits(on_device, "fp32")
    numbers = {"copy_bytes_per_s": limits.bytes_per_s, "launch_s": limits.launch_s}
    numbers["fp32_flops_per_s"] = limits.flops_per_s
    for precision in precisions[1:]:
        with numerics(precision):
            numbers[f"{precision}_flops_per_s"] = flops_per_s(on_device, KINDS[precision])
    products = ", ".join(f"{one} {numbers[f'{one}_flops_per_s'] / 1e12:.3g}" for one in precisions)
    finding = f"TFLOP/s: {products}; copies {limits.bytes_per_s / 1e9:.3g} GB/s; launch {1e6 * limits.launch_s:.1f} µs"
    return Finding("ok", finding, numbers)
