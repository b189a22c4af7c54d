"""Turns a finished Run of `plain` into a weight file that comes with the project.

`python run_all.py run pretrain`, then `python -m benchmarks.shipped_weights.ship RUN NAME` writes
`methods/weights/NAME.safetensors`: the backbone's parameters in half precision under timm's names, with their origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.training.networks.trained_run import find_run
from methods.weight_files import SHIPPED_WEIGHTS
from results.files import write_whole
from results.settings import Run
from results.store import WEIGHTS, ResultStore, run_folder

PREFIX = "backbone.net."


def ship(run_id: str, name: str, results: Path = Path("results")) -> None:
    """Writes the weight file. Fails if the Run has no weights."""
    store = ResultStore(results)
    record = find_run(store, run_id, "train")
    assert isinstance(record.run, Run)
    weights = load_file(run_folder(store, record.id) / WEIGHTS)
    backbone = {key.removeprefix(PREFIX): value for key, value in weights.items() if key.startswith(PREFIX)}
    origin = {"run": record.id, "hash": record.hash, "commit": record.commit or "", "dataset": record.run.dataset}
    write_backbone(name, backbone, origin)


def write_backbone(name: str, state: Mapping[str, Tensor], origin: dict[str, str]) -> None:
    """Writes `methods/weights/NAME.safetensors` in half precision, with its origin."""
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    write_whole(SHIPPED_WEIGHTS / f"{name}.safetensors", lambda path: save_file(halves, path, metadata=origin))


if __name__ == "__main__":
    typer.run(ship)
