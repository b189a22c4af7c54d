"""With --benchmark-only all speed benchmarks are found, those of the methods included."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.test_command_line import ROOT


def test_benchmark_only_collects_every_speed_benchmark() -> None:
    words = ["benchmarks/speed", "methods", "--benchmark-only", "--collect-only", "-p", "no:cacheprovider"]
    # pytest-xdist's variables would make this process a worker, in which benchmarks are disabled.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    speeds = [*(ROOT / "benchmarks/speed").glob("test_*_speed.py"), *(ROOT / "methods").glob("*/test_*_speed.py")]
    assert not [file.name for file in speeds if file.name not in found.stdout]
