"""The verb `profile` as a user meets it: what it plans, and what it says of two measurements."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.execution import locks
from results.settings import ProfileRun
from results.store import ResultStore
from tests.cli.test_command_line import ROOT
from tests.cli.test_command_line import fgbench as in_own_process
from tests.helpers.fakes.fake_results import profiled

Command = Callable[..., tuple[int, str]]


def test_every_combination_is_planned(fgbench: Command, refused: Command) -> None:
    words = ["profile", "--methods", "plain,sef", "--backbone", "test_resnet", "--dry-run", "--batch-size"]
    assert "takes numbers" in refused(*words, "8,sweep")[1]
    words += ["8,16", "--compile", "both", "--precision", "fp32,bf16", "--repeats", "2"]
    code, said = fgbench(*words, "--dataset", "none", "--device", "cpu")
    assert code == 0
    assert f"{2 * 2 * 2 * 2 * 2} Runs" in said


def test_images_are_drawn_of_no_more_classes_than_are_asked_for(fgbench: Command, tmp_path: Path) -> None:
    words = ["profile", "--methods", "plain", "--backbone", "test_resnet", "--image-size", "32", "--batch-size", "2"]
    code, said = fgbench(*words, "--classes", "10", "--device", "cpu", "--results", tmp_path)
    assert code == 0, said
    (record,) = ResultStore(tmp_path).records()
    assert isinstance(record.run, ProfileRun)
    assert record.run.input is not None
    assert (record.run.classes, record.run.input.dataset_options["classes"]) == (10, 10)
    assert all(record.speed[mode].images_per_s > 0 for mode in ("inference", "train"))


def test_what_became_slower_is_named_and_ends_in_exit_code_1(tmp_path: Path, fgbench: Command) -> None:
    for name, rate in (("before", 1000), ("after", 500)):
        store = ResultStore(tmp_path / name)
        store.prepare()
        store.write(profiled("plain", rate))
    code, said = fgbench("profile", "--compare", tmp_path / "before", tmp_path / "after")
    assert code == 1
    assert "slower" in said
    assert "2 of 2 cells" in said
    assert fgbench("profile", "--compare", tmp_path / "before", tmp_path / "before")[0] == 0


def test_nothing_to_measure_or_compare_is_answered_in_one_line(tmp_path: Path, refused: Command) -> None:
    for words, said in [
        ([], "--methods and --backbone"),
        (["--compare", tmp_path, tmp_path], "in common"),
        (["--compare", tmp_path, tmp_path / "nowhere"], "no such folder of results"),
    ]:
        code, answer = refused("profile", *words)
        assert code == 2
        assert said in answer


def test_an_interrupted_profile_keeps_its_cells_and_goes_on_with_the_next(tmp_path: Path) -> None:
    words = ["profile", "--methods", "plain", "--backbone", "test_resnet", "--image-size", "64", "--brief"]
    words += ["--dataset", "none", "--device", "cpu", "--results", str(tmp_path), "--batch-size"]
    found = in_own_process(*words, "2")
    assert found.returncode == 0, found.stderr
    (done,) = ResultStore(tmp_path).records()
    # The second cell can't end: it waits for the device.
    with (
        locks.device_lock("cpu", lambda: None),
        subprocess.Popen(
            [sys.executable, str(ROOT / "run_all.py"), *words, "2,4"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        ) as run,
    ):
        assert run.stdout is not None
        assert any("waiting for another measurement" in line for line in run.stdout)
        children = psutil.Process(run.pid).children(recursive=True)
        assert children
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
        assert run.wait() == 130
    assert "the same command resumes" in rest
    assert not psutil.wait_procs(children, timeout=60)[1]
    assert ResultStore(tmp_path).records() == [done]
    again = in_own_process(*words, "2,4")
    assert again.returncode == 0, again.stderr
    assert len(ResultStore(tmp_path).records()) == 2
    assert done == ResultStore(tmp_path).read(done.id)  # not measured again
