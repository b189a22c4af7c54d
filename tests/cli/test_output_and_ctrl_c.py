"""What can't be printed fails nothing, and Ctrl-C is answered at once, wherever a command is: as a shell sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from results.store import ResultStore

RUN_ALL = str(Path(__file__).parents[2] / "run_all.py")
SUITE = """\
about: for tests
train:
  - methods: [plain]
    datasets: [{name: synthetic, options: {classes: 3, train_per_class: 8, test_per_class: 4, size: 32}}]
    backbones: [{name: test_resnet, pretrained: none}]
    seeds: 1
    set: {recipe: {image_size: 32, stored_size: 32, batch_size: 5, epochs: EPOCHS}}
"""


def plan(folder: Path, epochs: int) -> list[str]:
    """Words of a command that carries out a small plan."""
    suite = folder / "small.yaml"
    suite.write_text(SUITE.replace("EPOCHS", str(epochs)), encoding="utf-8")
    return ["run", str(suite), "--device", "cpu", "--results", str(folder / "results")]


def shell(words: list[str], ending: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command whose standard streams are as `ending` says, which may also be a pipe."""
    line = " ".join([sys.executable, RUN_ALL, *words, ending])
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        check=False,
    )


@pytest.mark.parametrize("ending", [">/dev/full", ">&- 2>&- <&-", "| head -c 1"])
def test_a_run_does_not_depend_on_its_output(ending: str, tmp_path: Path) -> None:
    done = shell(plan(tmp_path, epochs=2), ending)
    (record,) = ResultStore(tmp_path / "results").records()
    assert record.status == "done"
    assert "Traceback" not in done.stderr
    if ending == ">/dev/full":
        assert done.stderr == "error: some of the output could not be written (No space left on device)\n"
    assert (done.returncode != 0) == ("full" in ending)


def test_letters_that_a_terminal_does_not_have_are_written_as_escapes(tmp_path: Path) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = shell(plan(tmp_path, epochs=1), "", **ascii_only)
    (record,) = ResultStore(tmp_path / "results").records()
    assert (record.status, done.returncode, done.stderr) == ("done", 0, "")
    assert r"\xb7 epoch 1/1" in done.stdout


def test_an_answer_that_nobody_reads_to_the_end_is_no_error() -> None:
    done = shell(["list", "methods"], "| true")
    assert (done.returncode, done.stderr) == (0, "")


def server_loads(command: psutil.Process) -> bool:
    return any("multiprocessing.forkserver" in word for child in command.children() for word in child.cmdline())


def trains(results: Path) -> bool:
    return any(results.glob("*/progress.json"))


MOMENTS = ("libraries load", "the worker server loads", "a Run trains")


@pytest.mark.parametrize(
    ("moment", "sign"), [*((moment, signal.SIGINT) for moment in MOMENTS), (MOMENTS[-1], signal.SIGTERM)]
)
def test_ctrl_c_and_sigterm_are_answered_at_once_at_any_moment(
    moment: str, sign: signal.Signals, tmp_path: Path
) -> None:
    reached: dict[str, Callable[[psutil.Process], bool]] = {
        "libraries load": lambda command: command.cpu_times().user > 0.4,
        "the worker server loads": server_loads,
        "a Run trains": lambda _: trains(tmp_path / "results"),
    }
    with subprocess.Popen(
        [sys.executable, RUN_ALL, *plan(tmp_path, epochs=20_000)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as run:
        assert run.stdout is not None
        command, until = psutil.Process(run.pid), time.monotonic() + 120
        while not reached[moment](command) and time.monotonic() < until:
            time.sleep(0.02)
        others = command.children(recursive=True)
        pressed = time.monotonic()
        # As a terminal does, which all processes hear; as `kill` does, which the command alone hears.
        (os.killpg if sign == signal.SIGINT else os.kill)(run.pid, sign)
        said = run.stdout.read()
        seconds = time.monotonic() - pressed
    assert run.returncode == 128 + sign
    assert "Traceback" not in said
    assert "interrupted" in said
    assert seconds < 4, "two on a machine that does nothing else"
    assert not psutil.wait_procs(others, timeout=10)[1]
