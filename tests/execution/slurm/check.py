"""A plan on a real Slurm, one job requeued halfway, one preempted: all is done, with the weights of Runs at home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parents[3]
SECONDS = 600
SUITE = """
about: two Runs that last long enough to be interrupted
train:
  - methods: [plain]
    datasets: [{name: synthetic, options: {classes: 3, train_per_class: 8, test_per_class: 4, size: 32}}]
    backbones: [{name: test_resnet, pretrained: none}]
    seeds: 2
    set: {recipe: {image_size: 32, stored_size: 32, batch_size: 6, epochs: 120}}
"""


def fgbench(*words: str) -> str:
    command = [sys.executable, str(ROOT / "run_all.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(results: Path) -> list[dict[str, Any]]:
    return json.loads(fgbench("status", "--json", "--results", str(results)))


def wait_for(what: str, true: Callable[[], Any]) -> Any:
    until = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < until, f"{what}: not after {SECONDS} s"
        time.sleep(0.1)
    return found


def main(room: Path) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", "FGBENCH_CACHE": str(room / "cache")}
    suite, home, away = room / "suite.yaml", room / "home", room / "away"
    suite.write_text(SUITE, encoding="utf-8")
    words = ["run", str(suite), "--device", "cpu"]
    every = ["--checkpoint-seconds", "0"]  # after each batch, so that a fast machine has one before a Run is over
    options = ["partition=p", "time=30", "cpus=1", "sbatch.comment=check"]
    fgbench(
        *words,
        *every,
        *["--results", str(away), "--cluster", "slurm"],
        *[word for option in options for word in ("--cluster-option", option)],
    )
    jobs = [json.loads(path.read_text(encoding="utf-8")) for path in (away / "jobs").glob("*.json")]
    assert sorted(len(job["runs"]) for job in jobs) == [1, 1]
    assert {row["state"] for row in status(away)} <= {"waiting", "running"}

    uninterrupted = list(jobs)  # they run in the order, and as many at once, as Slurm likes

    def at_work() -> dict[str, Any] | None:
        return next((job for job in uninterrupted if (away / job["runs"][0] / "checkpoint.pt").is_file()), None)

    for interrupt in (["scontrol", "requeue"], ["scancel", "--signal=USR2"]):
        job = wait_for("a checkpoint to go on from", at_work)
        subprocess.run([*interrupt, job["job"]], check=True)
        uninterrupted.remove(job)
    wait_for("both records", lambda: len(list(away.glob("*/record.json"))) == 2)
    wait_for("an empty queue", lambda: not subprocess.check_output(["squeue", "--noheader"]))
    assert [row["state"] for row in status(away)] == ["done", "done"]
    resumed = [json.loads(path.read_text(encoding="utf-8"))["resumed"] for path in away.glob("*/record.json")]
    assert resumed == [1, 1], "a Run began again, or was never interrupted"

    fgbench(*words, "--results", str(home))
    for folder in [path.parent for path in home.glob("*/record.json")]:
        here, there = (load_file(root / folder.name / "weights.safetensors") for root in (home, away))
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here), folder.name
    print("slurm: 2 Runs submitted, one requeued and one preempted; both done, with the weights of Runs at home")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
