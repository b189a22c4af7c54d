"""`check-device` on a CPU: exit codes, what is printed, what is stored, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.device_check import plan
from benchmarks.device_check.plan import PlannedCheck
from benchmarks.execution import locks
from results.device_check import read_check, stored_checks
from tests.helpers.fakes import planted_checks
from tests.helpers.fakes.planted_checks import planned

ROOT = Path(__file__).parents[3]
Fgbench = Callable[..., tuple[int, str]]


def planting(monkeypatch: pytest.MonkeyPatch, *checks: PlannedCheck) -> None:
    """These are all checks that there are; no other measurement on this machine is waited for."""
    monkeypatch.setattr(plan, "planned_checks", lambda device, small: list(checks))
    monkeypatch.setattr(locks, "device_lock", lambda device, on_wait: nullcontext())


def test_sound_and_slow_devices_pass_and_the_record_is_stored(
    fgbench: Fgbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = planned(planted_checks.hang, method="sef", not_here="needs a GPU")
    planting(monkeypatch, planned(planted_checks.sound, 1.0, method="plain"), late)
    code, said = fgbench("check-device", "--device", "cpu", "--results", tmp_path)
    assert code == 0
    assert "[1/2] values · plain: ok" in said
    assert "[2/2]" not in said
    assert "needs a GPU" in said
    assert "1 ok, 1 not run" in said
    (record,), faults = stored_checks([tmp_path])
    assert (record.device, record.small, faults) == ("cpu", True, {})


@pytest.mark.parametrize("work", [planted_checks.amiss, planted_checks.crash, planted_checks.raise_an_error])
def test_what_is_wrong_or_broke_off_ends_with_1(
    work: object, fgbench: Fgbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planting(monkeypatch, planned(work), planned(planted_checks.sound, 1.0, method="sef"))
    code, said = fgbench("check-device", "--device", "cpu", "--results", tmp_path)
    assert code == 1
    assert "WRONG" in said or "FAILED" in said
    assert "1 ok" in said


def test_json_is_the_record_and_can_be_published(
    fgbench: Fgbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planting(monkeypatch, planned(planted_checks.sound, 1.0))
    code, said = fgbench("check-device", "--device", "cpu", "--json", "--results", tmp_path)
    assert code == 0
    (record,), _ = stored_checks([tmp_path])
    assert json.loads(said)["sha256"] == record.sha256
    code, said = fgbench("publish", record.file_name, "--results", tmp_path)
    assert code == 0
    assert read_check(Path(said.strip())).sha256 == record.sha256


def test_a_name_that_is_no_check_and_minutes_out_of_bounds_are_refused(refused: Fgbench, tmp_path: Path) -> None:
    code, said = refused("check-device", "--only", "valuse", "--device", "cpu", "--results", tmp_path)
    assert (code, "values" in said) == (2, True)
    code, said = refused("check-device", "--minutes", "0", "--results", tmp_path)
    assert (code, "--minutes" in said) == (2, True)


def test_real_checks_of_one_method_from_the_command_line(tmp_path: Path) -> None:
    words = ["check-device", "--device", "cpu", "--only", "values,plain", "--results", str(tmp_path)]
    done = subprocess.run([sys.executable, "run_all.py", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,), _ = stored_checks([tmp_path])
    (check,) = record.checks
    assert (check.group, check.method, check.status) == ("values", "plain", "ok")
    assert {"fp32_logits", "bf16_gradient"} <= check.numbers.keys()


def test_ctrl_c_ends_it_and_keeps_what_is_known(tmp_path: Path) -> None:
    words = ["check-device", "--device", "cpu", "--only", "values,determinism", "--results", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "run_all.py", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("[1/"):
                break
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 130
    (record,), _ = stored_checks([tmp_path])
    assert record.file_name in said
    assert record.checks[0].status == "ok"
    assert record.checks[-1].finding == "interrupted"
