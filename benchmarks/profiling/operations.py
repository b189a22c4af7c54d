"""What torch.profiler sees of a few steps: the costliest operations, and a trace for Perfetto or chrome://tracing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from results.files import write_whole
from results.speed import Operation

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # else the profiler logs its start and stop to stderr

STEPS = 3
COSTLIEST = 10

AUTOGRAD, HOUSEKEEPING = "autograd's own work", "allocation and views"
COMPILED, ENTERING = "compiled code", "entering compiled code"
WORDS = {
    "mkldnn_convolution": "convolution",
    "cudnn_convolution": "convolution",
    "_slow_conv2d_forward": "convolution",
    "mkldnn_convolution_backward": "convolution, backward",
    "convolution_backward": "convolution, backward",
    "_slow_conv2d_backward": "convolution, backward",
    "mm": "product of matrices",
    "addmm": "product of matrices",
    "bmm": "product of matrices, batched",
    "baddbmm": "product of matrices, batched",
    "native_batch_norm": "batch norm",
    "cudnn_batch_norm": "batch norm",
    "native_batch_norm_backward": "batch norm, backward",
    "cudnn_batch_norm_backward": "batch norm, backward",
    "native_layer_norm": "layer norm",
    "native_layer_norm_backward": "layer norm, backward",
    "threshold_backward": "ReLU, backward",
    "clamp_min": "ReLU",
    "gelu": "GELU",
    "max_pool2d_with_indices": "maximum pooling",
    "max_pool2d_with_indices_backward": "maximum pooling, backward",
    "copy_": "copy, or change of type or layout",
    "_fused_sgd_": "optimizer (SGD, fused)",
    "_fused_adamw_": "optimizer (AdamW, fused)",
    "_foreach_add_": "optimizer or sum over many tensors",
    "_foreach_mul_": "scaling of many tensors",
    "_foreach_add": "sum over many tensors",
}
"""Torch's name of an operation that computes -> its name in words; other names explain themselves."""
CALLERS = (
    dict.fromkeys(
        ("conv2d", "convolution", "_convolution", "thnn_conv2d", "_nnpack_spatial_convolution"), "convolution"
    )
    | dict.fromkeys(("linear", "matmul"), "product of matrices")
    | dict.fromkeys(("batch_norm", "_batch_norm_impl_index"), "batch norm")
    | {"_batch_norm_impl_index_backward": "batch norm, backward", "layer_norm": "layer norm", "relu": "ReLU"}
    | {"max_pool2d": "maximum pooling"}
    | dict.fromkeys(("to", "_to_copy", "clone", "contiguous"), WORDS["copy_"])
    | dict.fromkeys(("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "resize"), HOUSEKEEPING)
    | dict.fromkeys(("as_strided", "view", "_unsafe_view", "reshape", "flatten", "detach", "alias"), HOUSEKEEPING)
    | dict.fromkeys(("t", "transpose", "permute", "expand", "select", "slice", "squeeze", "unsqueeze"), HOUSEKEEPING)
)
"""Operations that only call or prepare another one: their time counts for it, their calls do not."""


def profiled(step: Callable[[], object], device: torch.device) -> profile:
    """The profiler after `STEPS` steps."""
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    step()
    if cuda:
        torch.cuda.synchronize(device)  # or the profiler would see the end of that step as well
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step()
        if cuda:
            torch.cuda.synchronize(device)
    return profiler


def write_trace(profiler: profile, file: Path) -> None:
    """Writes the whole trace, once: torch can't write it again. Raises `results.errors.ResultsError` if it can't."""
    write_whole(file, lambda path: profiler.export_chrome_trace(str(path)))


def costliest(profiler: profile, device: torch.device) -> list[Operation]:
    """The operations in which a step spends most time."""
    cuda = device.type == "cuda"
    microseconds: dict[str, float] = {}
    calls: dict[str, int] = {}
    outer: dict[str, int] = {}
    for row in profiler.key_averages():
        spent = own_microseconds(row, cuda)
        if spent > 0:
            name = in_words(row.key)
            microseconds[name] = microseconds.get(name, 0.0) + spent
            # `conv2d` calls `convolution`, `_convolution` and the one that computes: one call, not four
            calls[name] = calls.get(name, 0) + (row.count if _short(row.key) in WORDS else 0)
            outer[name] = max(outer.get(name, 0), row.count)
    total = sum(microseconds.values())
    names = sorted(microseconds, key=microseconds.__getitem__, reverse=True)[:COSTLIEST]
    return [
        Operation(
            name=name,
            milliseconds=microseconds[name] / 1000 / STEPS,
            share=microseconds[name] / total,
            calls=(calls[name] or outer[name]) / STEPS,
        )
        for name in names
    ]


def own_microseconds(row: Any, cuda: bool) -> float:
    """The row's own time, without the operations that it calls; 0 for spans, and for kernels, which count for what
    launched them. Only the span of a compiled graph counts: on a CPU, the loops in it have no row of their own."""
    if row.device_type != DeviceType.CPU or ("#" in row.key and GRAPH not in row.key):
        return 0.0
    return float(row.self_device_time_total if cuda else row.self_cpu_time_total)


GRAPH = "CompiledFxGraph"


def in_words(key: str) -> str:
    """`aten::mkldnn_convolution` -> `convolution`."""
    if GRAPH in key or key.startswith(("Torch-Compiled Region", "CompiledFunction")):
        return COMPILED
    if key.startswith(("TorchDynamo", "Pregraph", "AOTDispatcher")):
        return ENTERING
    if key.startswith(("autograd::", "torch::autograd::")) or re.fullmatch(r"\w+Backward\d*", key):
        return AUTOGRAD
    name = _short(key)
    return WORDS.get(name) or CALLERS.get(name) or name.removesuffix("_").replace("_", " ").strip()


def _short(key: str) -> str:
    """`aten::add_` -> `add`: operations in place are not told apart."""
    name = key.rpartition("::")[2]
    return name if name in WORDS else name.removesuffix("_")
