"""Fetching to full disks, by killed processes, and by two at once."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from datasets.fetching.download import FetchError
from tests.helpers.fake_archives import GOOD, PHOTOS, Get, mini, sha256, tar, whole
from tests.helpers.file_server import Answer, FileServer

ROOT = Path(__file__).parents[3]


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


CHILD = """
    import sys
    from pathlib import Path
    from types import SimpleNamespace
    from datasets.release import Archive
    from datasets.fetching.fetch import fetch
    url, root, checksum = sys.argv[1:]
    reader = SimpleNamespace(archives=[Archive("mini.tar.gz", (url,), sha256=checksum, gives=("mini",))])
    tells = SimpleNamespace(note=lambda text: print(text, flush=True), bytes=lambda what, done, total: None)
    print("ready", flush=True)
    input()
    fetch("mini", reader, Path(root), None, tells)
"""


def child(url: str, root: Path) -> subprocess.Popen[str]:
    """A process that has done its imports and starts fetching on `go`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", dedent(CHILD), url, str(root), sha256(GOOD)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=ROOT)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_killed_download_is_resumed(tmp_path: Path, server: FileServer, get: Get) -> None:
    url = server.serve("/mini", Answer(GOOD, sends=200_000, stalls=True), Answer(GOOD))
    downloads = tmp_path / "data" / ".downloads"
    with child(url, tmp_path / "data") as process:
        go(process)
        wait_until(lambda: any(part.stat().st_size > 100_000 for part in downloads.glob("*.part")))
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "data" / "mini").exists()
    get(mini(url))
    assert whole(tmp_path / "data")
    (_, first, _), (_, second, _) = server.requests
    assert first is None
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 100_000


def test_two_processes_that_fetch_at_once_download_once(tmp_path: Path, server: FileServer, get: Get) -> None:
    url = server.serve("/mini", Answer(GOOD, sends=100_000, stalls=True))
    # Both finish their imports before one starts: it retries when the server has been silent for half a minute.
    with child(url, tmp_path / "data") as first, child(url, tmp_path / "data") as second:
        go(first)
        wait_until(lambda: len(server.requests) == 1)
        go(second)
        assert "waiting for it" in second.stdout.readline()
        assert len(server.requests) == 1
        server.serve("/mini", Answer(GOOD))
        server.ended.set()
        assert second.wait(60) == first.wait(60) == 0
    assert len(server.requests) == 2, "one by the first process, and its second try"
    assert whole(tmp_path / "data")
