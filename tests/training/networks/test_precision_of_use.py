"""Predictions and attention of a trained Run are computed in the precision in which it was evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from benchmarks.attention.run import measure_attention
from benchmarks.environment import Environment
from benchmarks.execution import execute
from benchmarks.training.networks.trained_run import predict
from methods.sef.model import SEF
from results.store import ResultStore
from tests.helpers.small_training import small_run


def noting(own: Callable[..., Any], seen: set[tuple[bool, str]]) -> Callable[..., Any]:
    """A method's function that also adds its precision to `seen`."""

    def noted(self: SEF, images: Tensor) -> Any:
        seen.add((torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()))
        return own(self, images)

    return noted


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_run_predicts_and_attends_in_its_own_precision(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = ResultStore(tmp_path), small_run("sef", epochs=1, precision=precision)
    execute.execute([run], store, Environment(), Console(quiet=True))
    met: dict[str, set[tuple[bool, str]]] = {name: set() for name in ("forward", "attention", "explain")}
    for name, seen in met.items():
        monkeypatch.setattr(SEF, name, noting(getattr(SEF, name), seen))
    file = tmp_path / "bird.png"
    Image.new("RGB", (40, 40)).save(file)
    predict(store, run.id, [file], "cpu")
    measure_attention(store, run.id, Environment(), images=1)
    expected = {(precision == "bf16", "high" if precision == "tf32" else "highest")}
    assert met == dict.fromkeys(met, expected)
    assert torch.get_float32_matmul_precision() == "highest"
