"""The benchmarks of operators are out of the way of tests, and there when they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cli.test_command_line import ROOT


def test_benchmarks_alone_can_be_asked_for_although_tests_leave_them_out() -> None:
    words = ["benchmarks/speed/test_sef_speed.py", "--benchmark-only", "--collect-only", "-p", "no:cacheprovider"]
    # A user's pytest is no worker of ours, in which benchmarks are left out for good.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "test_sef_speed.py" in found.stdout
