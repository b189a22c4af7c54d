"""What `status` says of a results folder, from outside and at any time; and the heartbeats it is made of."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from benchmarks.execution import heartbeat, status
from benchmarks.execution.cluster_jobs import Submitted
from benchmarks.execution.display import PlanDisplay, format_heartbeat, format_time_left
from benchmarks.execution.heartbeat import Heartbeat, HeartbeatWriter
from results.store import CHECKPOINT, ResultStore
from tests.helpers.fakes import fake_results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path)


def pulse(
    store: ResultStore, run: str, words: list[Heartbeat | str] | None = None, work: float = 100.0
) -> HeartbeatWriter:
    heard = [] if words is None else words
    return HeartbeatWriter(store.folder(run), run, f"label of {run}", work, heard.append)


def states(store: ResultStore) -> dict[str, str]:
    return {row["run"]: row["state"] for row in status.rows(store)}


def test_every_state_a_run_may_be_in(store: ResultStore) -> None:
    done, failed = fake_results.trained("plain", id="done"), fake_results.failed("plain", id="failed")
    fake_results.fill(store, [done, failed])
    (store.folder("cut") / CHECKPOINT).write_bytes(b"")
    (store.folder("broken") / "record.json").write_text("{", encoding="utf-8")
    (store.root / "report").mkdir()
    with pulse(store, "on"):
        assert states(store) == {
            "on": "running",
            "cut": "interrupted",
            "failed": "failed",
            "broken": "unreadable",
            "done": "done",
        }
        assert next(iter(states(store))) == "on"
    why = {row["run"]: row.get("why") for row in status.rows(store)}
    assert why["failed"] == failed.error
    assert "broken" in why["broken"]
    assert why["done"] == "predates the check of images and class names"


def test_what_does_not_fit_is_told_below_the_table(store: ResultStore, fgbench: Callable[..., tuple[int, str]]) -> None:
    fake_results.fill(store, [fake_results.trained("plain", id="done")], 4)
    shutil.copytree(store.root / "done", store.root / "copy")
    shutil.copytree(store.root / "done", store.root / "lost")
    (store.root / "lost" / "record.json").unlink()
    code, output = fgbench("status", "--results", store.root)
    assert code == 0
    assert "2 unreadable, 1 done" in output
    assert f"{store.root / 'copy'}: holds the record of another Run, done" in output
    assert f"{store.root / 'lost' / 'record.json'}: is missing" in output
    assert output[: output.index("2 unreadable")].count("see below") == 2


def test_no_results_yet_is_no_error(store: ResultStore) -> None:
    assert status.rows(ResultStore(store.root / "nowhere")) == []
    assert status.summary([]) == "no Run yet"


def test_a_run_whose_process_is_gone_is_interrupted_where_it_was(store: ResultStore) -> None:
    beating = pulse(store, "cut")
    with contextlib.suppress(KeyboardInterrupt), beating:
        beating.epoch({"epoch": 3, "loss": 0.5, "test_top1": 0.25, "images_per_s": 10.0}, 8)
        raise KeyboardInterrupt
    left = heartbeat.read(store.root / "cut")
    assert left is not None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    text = left.model_copy(update={"pid": ended.pid}).model_dump_json()
    (store.root / "cut" / heartbeat.FILE).write_text(text, encoding="utf-8")
    (row,) = status.rows(store)
    assert (row["state"], row["epoch"], row["epochs"], row["top1"]) == ("interrupted", 3, 8, 0.25)


def test_another_hosts_run_is_believed_to_live_for_as_long_as_it_is_heard_of() -> None:
    now = datetime.now(UTC)
    beat = Heartbeat(run="r", label="r", host="elsewhere", pid=1, started=now, updated=now, work=1.0)
    assert beat.alive
    assert not beat.model_copy(update={"updated": now - 2 * heartbeat.STALE_AFTER}).alive


NOW = datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": -1},
        {"pid": 2**70},
        {"started": "2026-01-01T00:00:00"},
        {"started": "9999-12-31T23:59:59-12:00"},
        {"started": "0001-01-01T00:00:00+14:00"},
        {"work": 1e308, "done_here": 1e-300},
    ],
    ids=str,
)
def test_a_heartbeat_that_makes_no_sense_is_a_line_of_status(
    changes: dict[str, object], store: ResultStore, fgbench: Callable[..., tuple[int, str]]
) -> None:
    beat = {"run": "r", "label": "r", "host": heartbeat.socket.gethostname(), "pid": 1, "work": 1.0}
    text = json.dumps(beat | {"started": NOW, "updated": NOW} | changes)
    (store.folder("hostile") / heartbeat.FILE).write_text(text, encoding="utf-8")
    fake_results.fill(store, [fake_results.trained("plain", id="done")])
    code, said = fgbench("status", "--results", store.root)
    assert code == 0
    assert "1 done" in said
    assert "hostile" in said


def test_a_pipe_in_the_place_of_a_heartbeat_is_not_waited_for(store: ResultStore) -> None:
    os.mkfifo(store.folder("hostile") / heartbeat.FILE)
    assert status.rows(store) == []


def test_a_job_of_a_process_that_cannot_be_is_gone(store: ResultStore) -> None:
    (store.root / "jobs").mkdir()
    for job in ("-1", "x", "9" * 40):
        Submitted.model_construct(job=job, cluster="local", runs=("r",)).write(store.root)  # as no command writes it
    assert len(list((store.root / "jobs").iterdir())) == 3
    assert status.rows(store) == []


def test_a_process_id_that_was_given_away_again_is_not_taken_for_the_runs() -> None:
    long_ago = datetime.now(UTC) - timedelta(days=365)
    here = heartbeat.socket.gethostname()
    beat = Heartbeat(run="r", label="r", host=here, pid=os.getpid(), started=long_ago, updated=long_ago, work=1.0)
    assert not beat.alive


def test_runs_of_a_live_job_wait_and_those_of_a_dead_one_do_not(store: ResultStore) -> None:
    (store.root / "jobs").mkdir()
    fake_results.fill(store, [fake_results.trained("plain", id="done")])
    with subprocess.Popen(["sleep", "60"]) as alive:
        Submitted(job=str(alive.pid), cluster="local", runs=("done", "next")).write(store.root)
        rows = {row["run"]: row for row in status.rows(store)}
        alive.kill()
    assert rows["done"]["state"] == "done"
    assert (rows["next"]["state"], rows["next"]["by"]) == ("waiting", f"job {alive.pid}")
    assert states(store) == {"done": "done"}


def test_a_heartbeat_tells_rate_work_and_time_left(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SEND_SECONDS", 0.0)
    words: list[Heartbeat | str] = []
    with pulse(store, "on", words) as beating:
        time.sleep(0.05)
        beating.trained(20)
        beating.note("decoded")
        beating.evaluated(30)
        beating.epoch({"epoch": 1, "loss": 2.0, "images_per_s": 7.0}, 2)
    first, note, second, third = words
    assert note == "decoded"
    assert isinstance(first, Heartbeat)
    assert isinstance(second, Heartbeat)
    assert isinstance(third, Heartbeat)
    assert first.done == 20
    assert 0 < (first.images_per_s or 0) <= 20 / 0.05
    assert first.seconds_left == pytest.approx((first.updated - first.started).total_seconds() * 4)
    assert second.done == pytest.approx(30)
    assert (third.done, third.done_here, third.epoch, third.loss) == (50, pytest.approx(30), 1, 2.0)
    assert not (store.root / "on" / heartbeat.FILE).exists()


def test_a_fit_without_a_loss_shows_none(store: ResultStore) -> None:
    words: list[Heartbeat | str] = []
    with pulse(store, "on", words) as beating:
        beating.epoch({"epoch": 1, "loss": math.nan, "test_top1": 0.5, "images_per_s": 7.0}, 1)
    (beat,) = words
    assert isinstance(beat, Heartbeat)
    assert format_heartbeat(beat) == ["epoch 1/1", "test 50.0 %", "7 images/s"]


def test_the_display_says_each_epoch_in_a_plain_line_where_there_is_no_terminal(tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    with said.open("w", encoding="utf-8") as file, PlanDisplay(Console(file=file, width=200), 2, 200.0) as display:
        now = datetime.now(UTC)
        beat = Heartbeat(run="r", label="r", host="h", pid=1, started=now, updated=now, work=100.0, epochs=2)
        run = display.run_begins(1, "plain")
        run.on_message(beat.model_copy(update={"done": 10.0, "done_here": 10.0}))
        run.on_message(
            beat.model_copy(update={"done": 50.0, "done_here": 50.0, "epoch": 1, "loss": 1.5, "memory": 2**31})
        )
        run.on_message("a word")
        run.ends("top-1 50 %", 100.0)
        display.run_skipped()
    first, second, third = said.read_text(encoding="utf-8").splitlines()
    assert first.startswith("[1/2] plain · epoch 1/2 · loss 1.500 · 2.0 GiB · ")
    assert first.endswith(" left")
    assert second == "[1/2] plain: a word"
    assert third == "[1/2] plain: top-1 50 %"


def test_a_terminal_sees_runs_and_plan_without_lines_in_between(tmp_path: Path) -> None:
    screen = tmp_path / "screen.txt"
    with screen.open("w", encoding="utf-8") as file:
        console = Console(file=file, width=80, force_terminal=True)
        with PlanDisplay(console, 3, 200.0) as display:
            now = datetime.now(UTC)
            runs = [display.run_begins(number, name) for number, name in ((1, "plain"), (2, "sef"))]
            for run in runs:
                run.on_message(
                    Heartbeat(run="r", label="r", host="h", pid=1, started=now, updated=now, work=9, epoch=1, epochs=3)
                )
            bars = [one for one in display.get_renderables() if isinstance(one, Text)]
            runs[0].ends("top-1 50 %", 9.0)
            left = [one for one in display.get_renderables() if isinstance(one, Text)]
    assert [bar.plain for bar in bars] == ["[1/3] plain · epoch 1/3", "[2/3] sef · epoch 1/3", "plan 0/3"]
    assert [bar.plain for bar in left] == ["[2/3] sef · epoch 1/3", "plan 1/3"]


def test_long_times_are_told_in_hours_and_days() -> None:
    assert [format_time_left(seconds) for seconds in (None, 61, 3600 * 5 + 427, 3600 * 11, 86400 * 2 + 3600)] == [
        "time left unknown",
        "1:01 left",
        "5 h 7 min left",
        "11 h 0 min left",
        "2 d 1 h left",
    ]


def test_status_sees_a_run_of_another_terminal_and_that_it_was_killed(tmp_path: Path) -> None:
    options = ("classes=3", "train_per_class=6", "test_per_class=3", "size=32")
    changes = [*(f"dataset_options.{option}" for option in options), "image_size=32", "stored_size=32", "epochs=20000"]
    words = ["run", "quick", "--results", str(tmp_path), "--device", "cpu", "--only", "method=plain", "--seeds", "1"]
    words += ["--only", "job=train", *(word for change in changes for word in ("--set", change))]
    with subprocess.Popen([sys.executable, str(ROOT / "run_all.py"), *words], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        next(line for line in run.stdout if "epoch 3/20000" in line)
        until = time.monotonic() + 60
        while (row := status.rows(ResultStore(tmp_path))[0])["epoch"] < 3 and time.monotonic() < until:
            time.sleep(0.1)  # until the heartbeat is written the next time
        run.send_signal(signal.SIGKILL)
    assert row["state"] == "running"
    assert row["epoch"] >= 3
    assert row["seconds_left"] > 0
    until = time.monotonic() + 60
    while states(ResultStore(tmp_path))[row["run"]] == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert states(ResultStore(tmp_path)) == {row["run"]: "interrupted"}


def test_an_accuracy_of_an_earlier_epoch_is_said_to_be_one(tmp_path: Path) -> None:
    lines: list[object] = []
    with HeartbeatWriter(tmp_path, "run", "label", 100.0, lines.append) as beating:
        beating.epoch({"epoch": 1, "loss": 0.5, "test_top1": 0.25, "images_per_s": 10.0}, 3)
        assert "test 25.0 %" in format_heartbeat(beating.heartbeat)
        beating.epoch({"epoch": 2, "loss": 0.4, "images_per_s": 10.0}, 3)
        assert "test 25.0 % (epoch 1)" in format_heartbeat(beating.heartbeat)


def test_the_phase_and_its_epochs_are_told_in_progress_and_status(store: ResultStore) -> None:
    with contextlib.suppress(KeyboardInterrupt), pulse(store, "phases") as beating:
        beating.phase("classifier", 0, 2)
        assert format_heartbeat(beating.heartbeat)[0] == "classifier 0/2"
        beating.epoch({"epoch": 2, "loss": 0.5}, 5)
        assert format_heartbeat(beating.heartbeat)[:2] == ["classifier 2/2", "epoch 2/5"]
        beating.phase("all", 2, 3)
        beating.epoch({"epoch": 3, "loss": 0.5}, 5)
        assert format_heartbeat(beating.heartbeat)[:2] == ["all 1/3", "epoch 3/5"]
        raise KeyboardInterrupt
    (row,) = status.short_rows(status.rows(store))
    assert (row["phase"], row["epoch"]) == ("all 1/3", "3/5")


def test_the_description_of_a_bar_may_be_as_wide_as_the_terminal(tmp_path: Path) -> None:
    label = "bilinear_cnn:haomood_faster_classifier_only · cub_200_2011 · tf_efficientnet_lite0 · seed 0"
    screen = tmp_path / "screen.txt"
    with (
        screen.open("w", encoding="utf-8") as file,
        PlanDisplay(Console(file=file, width=80, force_terminal=True), 2, 200.0) as display,
    ):
        display.run_begins(1, label)
        display.refresh()
    assert set(label.split()) <= set(screen.read_text(encoding="utf-8").split())


def test_why_a_run_failed_stands_in_a_line_of_its_own(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    reason = f"UserError: {tmp_path}/weights/{'a' * 60}.safetensors: is empty; fetch it again"
    fake_results.fill(store, [fake_results.failed("plain", error=reason), fake_results.trained("sef")])
    found = status.rows(store)
    (failed,) = [row for row in found if row["state"] == "failed"]
    assert status.faults(found) == [f"{failed['run']}: {reason}"]
    assert [row["who and why"] for row in status.short_rows(found) if row["state"] == "failed"] == ["see below"]
