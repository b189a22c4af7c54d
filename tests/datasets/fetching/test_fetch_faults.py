"""Fetching to full disks, by killed processes, and by two at once."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasets.fetching.download import FetchError
from datasets.fetching.fetch import fetch
from tests.helpers.fakes.fake_archives import GOOD, PHOTOS, Get, mini, tar, whole
from tests.helpers.fakes.file_server import Answer, FileServer

FORK = multiprocessing.get_context("fork")
"""Real processes without the cost of imports."""


def test_too_little_space_is_reported_before_the_download(
    tmp_path: Path, server: FileServer, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * len(GOOD) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"need 0.0 GB, 0.0 GB are free; make room"):
        get(mini(server.serve("/mini", Answer(GOOD))))
    assert not (tmp_path / "data" / "mini").exists()


@pytest.fixture
def largest_file() -> Iterator[Callable[[int | None], None]]:
    """Limits the size of files, like a full disk; None for no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def test_a_download_resumes_after_the_disk_was_full(
    tmp_path: Path, server: FileServer, get: Get, largest_file: Callable[[int | None], None]
) -> None:
    reader = mini(server.serve("/mini", Answer(GOOD)))
    largest_file(100_000)
    with pytest.raises(FetchError, match=r"File too large; fix that, and the same command resumes") as caught:
        get(reader)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / "mini").exists()
    largest_file(None)
    get(reader)
    assert server.ranges == [None, "bytes=100000-"]
    assert whole(tmp_path / "data")


def test_a_disk_that_fills_up_while_unpacking_leaves_the_root_as_it_was(
    tmp_path: Path, server: FileServer, get: Get, largest_file: Callable[[int | None], None]
) -> None:
    compressed = tar({**PHOTOS, "mini/zeros.bin": bytes(3_000_000)})
    reader = mini(server.serve("/mini", Answer(compressed)), archive=compressed)
    largest_file(2_000_000)
    with pytest.raises(FetchError, match="File too large"):
        get(reader)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".downloads"]
    largest_file(None)
    get(reader)
    assert (tmp_path / "data" / "mini" / "zeros.bin").stat().st_size == 3_000_000
    assert len(server.requests) == 1


def start(url: str, root: Path) -> tuple[BaseProcess, Connection]:
    """A process that fetches, and the notes it shows."""
    notes, sender = FORK.Pipe(duplex=False)
    display = SimpleNamespace(note=sender.send, bytes=lambda what, done, total: None)
    process = FORK.Process(target=fetch, args=("mini", mini(url), root, None, display))
    process.start()
    return process, notes


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_killed_download_is_resumed(tmp_path: Path, server: FileServer, get: Get) -> None:
    url = server.serve("/mini", Answer(GOOD, sends=200_000, stalls=True), Answer(GOOD))
    downloads = tmp_path / "data" / ".downloads"
    process, _ = start(url, tmp_path / "data")
    wait_until(lambda: any(part.stat().st_size > 100_000 for part in downloads.glob("*.part")))
    process.kill()
    process.join()
    assert not (tmp_path / "data" / "mini").exists()
    get(mini(url))
    assert whole(tmp_path / "data")
    first, second = server.ranges
    assert first is None
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 100_000


def test_two_processes_that_fetch_at_once_download_once(tmp_path: Path, server: FileServer) -> None:
    url = server.serve("/mini", Answer(GOOD, sends=100_000, stalls=True))
    first, _ = start(url, tmp_path / "data")
    wait_until(lambda: len(server.requests) == 1)
    second, notes = start(url, tmp_path / "data")
    assert notes.poll(60)
    assert "waiting for it" in notes.recv()
    assert len(server.requests) == 1
    server.serve("/mini", Answer(GOOD))
    server.ended.set()
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert len(server.requests) == 2, "one by the first process, and its second try"
    assert whole(tmp_path / "data")
