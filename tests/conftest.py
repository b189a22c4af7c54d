"""What several tests share: a results folder, a small CUB and a server that has it, commands in this process."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import run_all
from benchmarks.cli.views import terminal
from benchmarks.cli.views.displays import FetchDisplay
from benchmarks.console import PlainConsole
from benchmarks.environment import opened_once
from results.store import ResultStore
from tests.helpers.fakes.fake_hub import TAG, FakeHub, fake_hub, weights_of
from tests.helpers.fakes.file_server import Answer, FileServer, file_server
from tests.helpers.small_folders import serve_cub, small_cub


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path / "results")
    store.prepare()
    return store


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        yield files


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    return small_cub(tmp_path / "made")


@pytest.fixture
def root(cub: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root; what is to be fetched into it, the server has."""
    serve_cub(cub, server, monkeypatch)
    return tmp_path / "data"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The Hugging Face Hub, which has nothing yet, and an empty cache."""
    with fake_hub(tmp_path / "home", monkeypatch) as served:
        yield served


@pytest.fixture
def weights(fake: FakeHub) -> FakeHub:
    """The hub with the weights of a tiny network."""
    fake.offer(TAG, weights_of(TAG))
    return fake


@pytest.fixture
def interrupted_download(root: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download of CUB to `root` stalls the first time, and Ctrl-C ends it; the second time it gets the rest."""
    body = server.answers["/cub"][0].body
    server.serve("/cub", Answer(body, sends=3000, stalls=True), Answer(body))
    hear = FetchDisplay.bytes

    def interrupted(self: FetchDisplay, what: str, done: int, total: int | None) -> None:
        hear(self, what, done, total)
        if len(server.requests) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(FetchDisplay, "bytes", interrupted)


@pytest.fixture
def fgbench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """A command in this process, which sees the datasets as a new one does: exit code, and what was printed."""

    def run(*words: object) -> tuple[int, str]:
        opened_once.cache_clear()
        stream = io.StringIO()
        console = PlainConsole(file=stream, width=120)
        monkeypatch.setattr(terminal, "console", console)
        monkeypatch.setattr(terminal, "HAS_WIDTH", False)  # as in a file: pytest's workers set COLUMNS
        done = CliRunner().invoke(run_all.app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, stream.getvalue() + done.stdout

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Exit code and the one line of a command that can't be done."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_all.py", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            run_all.main()
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1
        assert isinstance(ended.value.code, int)
        return ended.value.code, said

    return run
