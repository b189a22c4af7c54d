"""A failed Run that is begun again, through commands: its old reason is not its state any more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.execution import heartbeat
from results.store import ResultStore
from tests.helpers.small_training import IMAGES, RECIPE, RESNET, raise_once

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def run(store: ResultStore, tmp_path: Path, fgbench: Command) -> Callable[[], int]:
    """Runs a small suite; returns the exit code."""
    entry = {"methods": ["plain"], "datasets": [{"name": "synthetic", "options": IMAGES}], "backbones": [RESNET]}
    entry |= {"seeds": 1, "set": {"recipe": {**RECIPE, "epochs": 1}}}
    suite = tmp_path / "small.yaml"
    suite.write_text(json.dumps({"about": "for tests", "train": [entry]}), encoding="utf-8")
    return lambda: fgbench("run", suite, "--in-process", "--results", store.root)[0]


@pytest.fixture
def state(store: ResultStore, capsys: pytest.CaptureFixture[str], fgbench: Command) -> Callable[[], dict[str, Any]]:
    """What `status` says of the only Run."""

    def ask() -> dict[str, Any]:
        _, output = fgbench("status", "--json", "--results", store.root)
        (row,) = json.loads(output)
        return row

    return ask


def end_its_process(folder: Path) -> None:
    """As if the command of the last heartbeat had been another process, which is gone."""
    beat = heartbeat.read(folder)
    assert beat is not None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    text = beat.model_copy(update={"pid": ended.pid}).model_dump_json()
    (folder / heartbeat.FILE).write_text(text, encoding="utf-8")


def test_an_old_reason_does_not_outlive_a_new_start(
    store: ResultStore,
    run: Callable[[], int],
    state: Callable[[], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raise_once(monkeypatch, "finish", ValueError("it went wrong"))
    assert run() == 1
    assert (state()["state"], state()["why"]) == ("failed", "ValueError: it went wrong")
    folder = store.root / state()["run"]

    raise_once(monkeypatch, "finish", KeyboardInterrupt())
    assert run() == 130
    assert state()["state"] == "running"
    end_its_process(folder)
    assert (state()["state"], state()["why"]) == ("interrupted", "the same command resumes it")
    assert store.records() == []
    kept = json.loads((folder / "record.previous.json").read_text(encoding="utf-8"))
    assert "it went wrong" in kept["traceback"]

    assert run() == 0
    assert (state()["state"], state()["why"]) == ("done", None)
    assert not (folder / "record.previous.json").exists()
