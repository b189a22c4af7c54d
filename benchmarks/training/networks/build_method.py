"""Builds the method and backbone of a Run on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import methods
from benchmarks.errors import UserError
from benchmarks.training.networks.identity import check_weights
from methods.backbones import TimmBackbones
from methods.interface import Method
from results.settings import ProfileRun, Run


def build_method(
    case: Run | ProfileRun,
    classes: int,
    weights_root: Path | None,
    device: torch.device,
    *,
    checkpointing: bool = False,
) -> tuple[Method, list[dict[str, Any]]]:
    """The method with its initial weights, and which weight files were loaded.

    `checkpointing`: whether its backbones compute their activations again in the backward pass.
    Random weights come from torch's global generator: seed it first. Raises `BackboneError`, and `UserError` for
    a method that is not here, for options that it refuses, and for weights that are not those of the Run.
    """
    try:
        kind = methods.load(case.method)
    except ValueError as error:
        raise UserError(f"{case.label}: {error}; use the version of fgbench that has it") from error
    backbones = TimmBackbones(
        case.backbone,
        case.image_size,
        case.pretrained if isinstance(case, Run) else "none",
        weights_root,
        case.backbone_options,
        allow_unfilled=case.allow_unfilled if isinstance(case, Run) else False,
        scaling=(case.scaling.mean, case.scaling.std) if isinstance(case, Run) else None,
        checkpointing=checkpointing,
    )
    try:
        method = kind(backbones, classes, **case.options)
    except (TypeError, ValueError) as error:
        raise UserError(f"{case.label}: the method refuses its options: {error}") from error
    loaded = [
        {"backbone": name, "file": one.file.name, "sha256": one.file.sha256, "unfilled": one.unfilled}
        | ({"taken": one.taken} if one.taken else {})
        | one.file.origin
        for name, one in backbones.loaded.items()
    ]
    if isinstance(case, Run):
        check_weights(case, loaded)
    # Convolutions are up to twice as fast in channels_last; where it does not help, it costs nothing.
    return method.to(device).to(memory_format=torch.channels_last), loaded


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """bfloat16 autocast, or nothing for float32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def state_on_cpu(method: Method) -> Mapping[str, torch.Tensor]:
    """Weights and buffers for storing: contiguous and on the host."""
    return {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
