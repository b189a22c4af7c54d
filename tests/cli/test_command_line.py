"""The command line as a user meets it: in its own process, with its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def fgbench(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # COLUMNS is set by pytest's workers and breaks lines.
    bare = {key: value for key, value in os.environ.items() if not key.startswith("FGBENCH_") and key != "COLUMNS"}
    kept = {"FGBENCH_CACHE": os.environ["FGBENCH_CACHE"]}
    return subprocess.run(
        [sys.executable, str(ROOT / "run_all.py"), *words],
        capture_output=True,
        text=True,
        env=bare | kept | environment,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["reproduce", "bilinear_cn"], "did you mean 'bilinear_cnn'"),
        (["compare", "--methods", "plane", "--dataset", "synthetic", "--backbone", "test_resnet"], "'plain'"),
        (
            ["compare", "--methods", "plain", "--dataset", "synthetic", "--backbone", "test_vit,test_resne"],
            "test_resnet",
        ),
        (["compare", "--methods", "plain", "--dataset", "synthetic", "--backbone", ","], "names none"),
        (["run", "quick", "--dry-run", "--set", "epoch=3"], "did you mean 'epochs'"),
        (["run", "quick", "--dry-run", "--only", "methd=plain"], "did you mean 'method'"),
        (["predict", "no-such-run", "bird.jpg"], "there is no Run"),
        (["data", "verify", "synthetik"], "synthetic"),
        (["list", "backbones"], "there is no list of 'backbones'; there are: methods, suites, datasets"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_one_and_exit_code_2(
    words: list[str], said: str, refused: Callable[..., tuple[int, str]]
) -> None:
    code, answer = refused(*words)
    assert code == 2
    assert said in answer


def test_a_mistake_in_a_process_of_its_own_is_one_line_and_exit_code_2() -> None:
    assert fgbench("comparre").returncode == 2
    done = fgbench("list", "backbones")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    done = fgbench("run", "quick", "--dry-run", "--results", str(tmp_path / "results"))
    assert done.returncode == 0
    assert "bilinear_cnn" in done.stdout
    assert "to do" in done.stdout
    for told in ("total: 35 Runs, 0 done, 35 to do", "time: about ", "memory: about "):
        assert told in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("columns", "width"), [({}, 120), ({"COLUMNS": "90"}, 90)], ids=str)
def test_a_pipe_has_room_unless_columns_says_otherwise(columns: dict[str, str], width: int) -> None:
    bare = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    command = [sys.executable, "-c", "from benchmarks.cli.views.terminal import console; print(console.width)"]
    said = subprocess.run(command, capture_output=True, text=True, env=bare | columns, cwd=ROOT, check=True)
    assert int(said.stdout) == width


def test_lists_are_json_for_programs() -> None:
    done = fgbench("list", "methods", "--json")
    assert {"plain", "bilinear_cnn"} <= {row["name"] for row in json.loads(done.stdout)}
    assert "quick" in {row["name"] for row in json.loads(fgbench("list", "suites", "--json").stdout)}


def test_the_whole_road_in_small(tmp_path: Path) -> None:
    results = tmp_path / "results"
    words = ["run", "quick", "--results", str(results), "--device", "cpu", "--only", "method=plain", "--seeds", "1"]
    small = ["dataset_options.classes=3", "dataset_options.train_per_class=6", "dataset_options.test_per_class=3"]
    changes = [word for change in [*small, "epochs=1", "batch_size=6"] for word in ("--set", change)]
    done = fgbench(*words, *changes)
    assert done.returncode == 0, done.stderr
    assert "left" in done.stdout
    assert "plain" in done.stdout
    page = results / "report" / "report.md"
    assert str(page) in done.stdout
    assert "plain" in page.read_text(encoding="utf-8")
    again = fgbench("report", "--results", str(results))
    assert again.returncode == 0
    assert "plain" in again.stdout


def test_a_failed_run_gives_exit_code_1_after_the_others_have_finished(tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        """
about: one Run that can't work, and one that can
train:
  - &one
    methods: [plain]
    datasets: [{name: synthetic, options: {classes: 2, train_per_class: 4, test_per_class: 2, size: 32}}]
    backbones: [{name: test_resnet, pretrained: none}]
    seeds: 1
    set: {recipe: {image_size: 32, stored_size: 32, epochs: 1, batch_size: 4}, options: {tap: 64}}
  - <<: *one
    set: {recipe: {image_size: 32, stored_size: 32, epochs: 1, batch_size: 4}}
""",
        encoding="utf-8",
    )
    done = fgbench("run", str(suite), "--results", str(tmp_path / "results"), "--device", "cpu")
    assert done.returncode == 1
    assert "no map of stride 64" in done.stdout
    assert "1 of 2 Runs failed" in done.stdout


def test_results_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    done = fgbench("run", "quick", "--results", str(blocked), "--device", "cpu")
    assert done.returncode == 1
    assert "--results" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_ctrl_c_ends_a_plan_and_says_that_the_same_command_goes_on(tmp_path: Path) -> None:
    options = "classes=3", "train_per_class=6", "test_per_class=3", "size=32"
    changes = [*(f"dataset_options.{option}" for option in options), "image_size=32", "stored_size=32", "epochs=20000"]
    words = ["run", "quick", "--results", str(tmp_path), "--device", "cpu", "--only", "method=plain"]
    words += ["--only", "job=train"]
    words += ["--seeds", "1", *(word for change in changes for word in ("--set", change))]
    command = [sys.executable, str(ROOT / "run_all.py"), *words]
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}

    def hear_interrupts() -> None:  # a test run in the background is deaf to them, and would pass that on
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=unbuffered,
        preexec_fn=hear_interrupts,  # noqa: PLW1509
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "epoch 3/20000" in line:
                run.send_signal(signal.SIGINT)
                break
        rest = run.stdout.read()
        assert run.wait() == 130
    assert "resumes from the last checkpoint" in rest
    again = fgbench(*words, "--dry-run")
    assert "to do" in again.stdout


def test_cuda_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = fgbench("run", "quick", "--device", "cuda", "--results", str(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "--device cpu" in done.stderr
