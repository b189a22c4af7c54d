"""A plan that torchrun carries out: the first process writes, all train, and what all meet alike fails alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import torchrun
from benchmarks.planning.expand import expand
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from results.store import ResultStore

ROOT = Path(__file__).parents[3]
RECIPE = {"image_size": 32, "stored_size": 32, "batch_size": 4, "epochs": 2}
TRAINING = {
    "methods": ["plain"],
    "datasets": [
        {"name": "synthetic", "options": {"classes": 2, "train_per_class": 4, "test_per_class": 2, "size": 32}}
    ],
    "backbones": [{"name": "test_resnet", "pretrained": "none"}],
    "seeds": 1,
    "set": {"recipe": RECIPE},
}
FAILING = TRAINING | {"set": {"recipe": RECIPE, "options": {"tap": 64}}}


def test_two_processes_train_each_run_once_and_go_on_after_one_that_can_not_work(
    tmp_path: Path, here: Environment
) -> None:
    suite = {"about": "x", "train": [FAILING, TRAINING | {"seeds": 2}]}
    file, results = tmp_path / "suite.yaml", tmp_path / "results"
    file.write_text(json.dumps(suite), encoding="utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["run", str(file), "--device", "cpu", "--results", str(results)]
    done = subprocess.run(
        [*torchrun, str(ROOT / "run_all.py"), *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    failing, first, second = expand(Suite.model_validate(suite), here, Changes())
    store = ResultStore(results)
    records = [store.read(run.id) for run in (failing, first, second)]
    assert [record and record.status for record in records] == ["failed", "done", "done"], done.stderr
    assert [record.training["processes"] for record in records[1:] if record] == [2, 2]
    assert done.stdout.count("top-1 ") >= 2
    assert done.stdout.count(f"[2/3] {first.label}: top-1") == 1  # only one of the two speaks
    assert "1 of 3 Runs failed" in done.stdout


def test_a_process_alone_has_nobody_to_tell(here: Environment) -> None:
    assert (torchrun.world_size(), torchrun.is_follower()) == (1, False)
    torchrun.broadcast_next(None, here)


def test_measurements_are_not_for_a_team(monkeypatch: pytest.MonkeyPatch, here: Environment) -> None:
    cost = {"methods": ["plain"], "backbones": ["test_resnet"], "image_sizes": [32]}
    training, measurement = expand(Suite.model_validate({"about": "x", "train": [TRAINING], "profile": [cost]}), here)
    torchrun.refuse_measurements([training, measurement])
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    torchrun.refuse_measurements([training])
    with pytest.raises(UserError, match="--only job=train"):
        torchrun.refuse_measurements([training, measurement])


def test_ranks_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "3")
    monkeypatch.setitem(os.environ, "RANK", "2")
    assert (torchrun.world_size(), torchrun.is_follower()) == (3, True)
    monkeypatch.delitem(os.environ, "WORLD_SIZE")  # a rank left over from elsewhere: this process is alone
    assert (torchrun.world_size(), torchrun.is_follower()) == (1, False)
