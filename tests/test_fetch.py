"""Fetching a dataset from servers that fail in every way they do: right files in the end, or one clear line."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from PIL import Image

from datasets import DatasetError, download
from datasets.archives import Archive
from datasets.download import FetchError
from datasets.fetch import fetch
from datasets.folder import Folder
from tests.file_server import Answer, FileServer, file_server

ROOT = Path(__file__).parents[1]


def noise(size: int, seed: int = 0) -> bytes:
    """A PNG that takes about 3 * size² bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


PHOTOS = {
    f"mini/{split}/{label}/{number}.png": noise(150, seed=number)
    for split in ("train", "test")
    for label in ("auk", "coot")
    for number in (1, 2)
}
GOOD = tar(PHOTOS)
OTHER = tar({name: noise(150, seed=7) for name in PHOTOS})
WRONG = bytes(len(GOOD))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Notes:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[str, int, int | None]] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def bytes(self, what: str, done: int, total: int | None) -> None:
        self.steps.append((what, done, total))


def mini(*urls: str, archive: bytes | None = GOOD, **facts: object) -> type[Folder]:
    """A reader of people's folders that is fetched from `urls`; its checksum is that of `archive`."""
    stated = Archive(
        "mini.tar.gz",
        urls,
        **({"sha256": sha256(archive) if archive else None, "gives": ("mini",)} | facts),  # type: ignore[arg-type]
    )
    return type("Mini", (Folder,), {"folder": "mini", "archives": (stated,), "by_hand": "ask the authors"})


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        yield files


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES", (0, 0, 0))


@pytest.fixture
def get(tmp_path: Path) -> Callable[..., Notes]:
    """Fetches a reader into tmp_path/data."""

    def fetch_now(reader: type[Folder], put_into: Path | None = None) -> Notes:
        notes = Notes()
        fetch("mini", reader, tmp_path / "data", put_into, notes)
        return notes

    return fetch_now


def whole(root: Path) -> bool:
    """Whether the dataset is there with every byte, and nothing besides."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
    return found == PHOTOS and all(path.name in ("mini", ".downloads") for path in root.iterdir())


def test_a_dataset_is_downloaded_checked_and_unpacked(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    reader = mini(server.serve("/mini", Answer(GOOD)), size=len(GOOD))
    notes = get(reader)
    assert whole(tmp_path / "data")
    assert notes.steps[-1][0] == "unpacking mini.tar.gz"
    assert ("mini.tar.gz", len(GOOD), len(GOOD)) in notes.steps
    assert sorted(path.name for path in (tmp_path / "data" / ".downloads").iterdir()) == ["mini.lock", "mini.tar.gz"]
    get(reader)
    assert len(server.requests) == 1, "what is there is not fetched again"


def test_an_unpacked_dataset_that_was_deleted_is_unpacked_again_without_a_download(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    reader = mini(server.serve("/mini", Answer(GOOD)))
    get(reader)
    shutil.rmtree(tmp_path / "data" / "mini")
    get(reader)
    assert whole(tmp_path / "data")
    assert len(server.requests) == 1


def test_a_plain_file_is_put_where_it_belongs(tmp_path: Path, server: FileServer) -> None:
    labels = Archive("labels.mat", (server.serve("/labels", Answer(b"1 2 3")),), into="mini/devkit", md5=None)
    reader = type("Labels", (Folder,), {"folder": "mini", "archives": (labels,)})
    fetch("mini", reader, tmp_path, None, Notes())
    assert (tmp_path / "mini" / "devkit" / "labels.mat").read_bytes() == b"1 2 3"
    fetch("mini", reader, tmp_path, None, Notes())
    assert len(server.requests) == 1


# Connections that break


def test_dropped_connections_are_taken_up_where_they_broke(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    # More drops than tries in a row are allowed: each brings something new.
    drops = [Answer(GOOD, sends=20_000)] * 6
    get(mini(server.serve("/mini", *drops, Answer(GOOD))))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, *(f"bytes={20_000 * number}-" for number in range(1, 7))]


def test_a_length_that_is_not_said_is_known_from_the_archive(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    cut = Answer(GOOD, sends=50_000, says_length=False)
    get(mini(server.serve("/mini", cut, Answer(GOOD)), size=len(GOOD)))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, "bytes=50000-"]


def test_a_server_that_ignores_ranges_sends_everything_again(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    get(mini(server.serve("/mini", Answer(GOOD, sends=50_000), Answer(GOOD, knows_ranges=False))))
    assert whole(tmp_path / "data")
    assert [status for _, _, status in server.requests] == [200, 200]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_two_versions_of_a_file_are_never_mixed(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes], heeds_if_range: bool
) -> None:
    old = Answer(OTHER, tag='"old"', sends=50_000)
    new = Answer(GOOD, tag='"new"', heeds_if_range=heeds_if_range)
    get(mini(server.serve("/mini", old, new), archive=None))  # no checksum would notice
    assert whole(tmp_path / "data")
    assert [status for _, _, status in server.requests] == ([200, 200] if heeds_if_range else [200, 206, 200])


@pytest.mark.parametrize("tag", ["", 'W/"weak"'])
def test_a_file_whose_version_is_not_known_is_fetched_from_its_beginning(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes], tag: str
) -> None:
    get(mini(server.serve("/mini", Answer(OTHER, tag=tag, sends=50_000), Answer(GOOD, tag=tag)), archive=None))
    assert whole(tmp_path / "data")
    assert server.ranges == [None, None]


def test_a_server_that_brings_nothing_is_given_up_after_some_tries(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    # Without ranges every try begins anew and ends no further: no progress, though bytes arrive.
    url = server.serve("/mini", Answer(GOOD, sends=1000, knows_ranges=False))
    with pytest.raises(FetchError, match=r"/mini: the connection broke off after 1000 of \d+ bytes \(4 tries\)"):
        get(mini(url))
    assert len(server.requests) == 4, "one that brought something new, and one after each of three pauses"
    assert not (tmp_path / "data" / "mini").exists()


def test_a_passing_fault_of_the_server_is_waited_for(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    get(mini(server.serve("/mini", Answer(status=503), Answer(status=429), Answer(GOOD))))
    assert whole(tmp_path / "data")


def test_a_file_that_was_complete_when_the_process_ended_is_not_fetched_again(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    url = server.serve("/mini", Answer(GOOD))
    downloads = tmp_path / "data" / ".downloads"
    downloads.mkdir(parents=True)
    part = download.Partial.of(downloads, "mini.tar.gz", url)
    part.begin('"one"')
    part.data.write_bytes(GOOD)
    get(mini(url))
    assert whole(tmp_path / "data")
    assert [status for _, _, status in server.requests] == [416]


# Wrong files


def test_a_wrong_file_is_named_removed_and_the_next_mirror_tried(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    bad, good = server.serve("/bad", Answer(WRONG)), server.serve("/good", Answer(GOOD))
    notes = get(mini(bad, good))
    assert whole(tmp_path / "data")
    assert f"{bad}: has SHA-256 {sha256(WRONG)}, {sha256(GOOD)} was expected; what came was removed" in notes.lines
    assert [path.name for path in (tmp_path / "data" / ".downloads").glob("*.part*")] == []


def test_md5_serves_where_there_is_no_sha256(server: FileServer, get: Callable[..., Notes]) -> None:
    expected = hashlib.md5(GOOD).hexdigest()
    url = server.serve("/mini", Answer(WRONG))
    with pytest.raises(FetchError, match=f"MD5 {hashlib.md5(WRONG).hexdigest()}, {expected} was expected"):
        get(mini(url, archive=None, md5=expected))
    server.serve("/mini", Answer(GOOD))
    get(mini(url, archive=None, md5=expected))


def test_without_a_checksum_the_one_found_is_told(server: FileServer, get: Callable[..., Notes]) -> None:
    notes = get(mini(server.serve("/mini", Answer(GOOD)), archive=None))
    assert f"mini.tar.gz: no checksum is published; its SHA-256 is {sha256(GOOD)}" in notes.lines


def test_a_file_of_another_size_is_refused_before_it_is_downloaded(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    url = server.serve("/mini", Answer(GOOD + b"more"))
    with pytest.raises(FetchError, match=rf"the file there has {len(GOOD) + 4} bytes, {len(GOOD)} were expected"):
        get(mini(url, size=len(GOOD)))
    assert list((tmp_path / "data" / ".downloads").glob("*.part")) == []


@pytest.mark.parametrize(
    "page",
    [
        Answer(b"<p>hello</p><title>\nWe have\n moved &amp; gone</title>", kind="text/html; charset=utf-8"),
        Answer(b"\n<!DOCTYPE html><title>We have moved &amp; gone</title>"),
    ],
)
def test_a_web_page_in_place_of_an_archive_is_refused_with_its_title(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes], page: Answer
) -> None:
    with pytest.raises(FetchError, match=r"/mini: a web page came in place of the file \(We have moved & gone\)"):
        get(mini(server.serve("/mini", page), archive=None))
    assert not (tmp_path / "data" / "mini").exists()


def test_a_mirror_that_is_gone_is_passed_over_and_redirects_are_followed(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    server.serve("/there", Answer(GOOD, sends=50_000), Answer(GOOD))
    moved = server.serve("/moved", Answer(status=302, location="/there"))
    notes = get(mini(server.url + "/gone", moved))
    assert whole(tmp_path / "data")
    assert f"{server.url}/gone: HTTP 404 Not Found" in notes.lines
    assert server.requests[-1] == ("/there", "bytes=50000-", 206), "a redirect keeps the range"


def test_every_mirrors_fault_is_in_the_one_line(server: FileServer, get: Callable[..., Notes]) -> None:
    nobody = "http://127.0.0.1:9/mini"
    with pytest.raises(
        FetchError, match=r"mini.tar.gz can't be fetched: .*gone: HTTP 404.* \| .*no connection"
    ) as caught:
        get(mini(server.url + "/gone", nobody))
    assert "\n" not in str(caught.value)


# Files that somebody put there


@pytest.mark.parametrize("place", ["data", "data/.downloads", "usb"])
def test_an_archive_that_lies_there_is_used(tmp_path: Path, get: Callable[..., Notes], place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "mini.tar.gz").write_bytes(GOOD)
    notes = get(mini(), tmp_path / "usb" if place == "usb" else None)
    assert f"{tmp_path / place / 'mini.tar.gz'} is used" in notes.lines
    assert (tmp_path / place / "mini.tar.gz").exists(), "it is left where it was"
    assert (tmp_path / "data" / "mini" / "train" / "auk" / "1.png").exists()


def test_a_wrong_archive_that_lies_there_is_named_and_left_alone(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "mini.tar.gz").write_bytes(WRONG)
    notes = get(mini(server.serve("/mini", Answer(GOOD))), tmp_path / "usb")
    assert any("usb/mini.tar.gz is not used: has SHA-256" in line for line in notes.lines)
    assert (tmp_path / "usb" / "mini.tar.gz").read_bytes() == WRONG
    assert whole(tmp_path / "data")


def test_what_cannot_be_fetched_says_what_to_do_by_hand_before_anything_is_downloaded(
    tmp_path: Path, server: FileServer
) -> None:
    open_to_all = Archive("open.tar", (server.serve("/open", Answer(GOOD)),), gives=("open",))
    reader = type("Half", (Folder,), {"archives": (open_to_all, *mini().archives), "by_hand": "ask the authors"})
    with pytest.raises(DatasetError, match=r"ask the authors \(looked for mini.tar.gz in .*\.downloads, "):
        fetch("half", reader, tmp_path, None, Notes())
    assert server.requests == []


def test_a_reader_without_archives_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mine has nothing to fetch; it needs no files"):
        fetch("mine", Folder, tmp_path, None, Notes())


# Full disks and kills


def test_too_little_space_is_said_before_the_download(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * len(GOOD) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match=r"need 0.0 GB, 0.0 GB are free; make room"):
        get(mini(server.serve("/mini", Answer(GOOD))))
    assert not (tmp_path / "data" / "mini").exists()


@pytest.fixture
def largest_file() -> Iterator[Callable[[int | None], None]]:
    """Makes the system refuse to write files beyond so many bytes, as a full disk does; None for no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def test_a_disk_that_fills_up_while_downloading_leaves_a_part_that_is_gone_on_from(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes], largest_file: Callable[[int | None], None]
) -> None:
    reader = mini(server.serve("/mini", Answer(GOOD)))
    largest_file(100_000)
    with pytest.raises(FetchError, match=r"File too large; mend that, and the same command goes on") as caught:
        get(reader)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / "mini").exists()
    largest_file(None)
    get(reader)
    assert server.ranges == [None, "bytes=100000-"]
    assert whole(tmp_path / "data")


def test_a_disk_that_fills_up_while_unpacking_leaves_the_root_as_it_was(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes], largest_file: Callable[[int | None], None]
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
    from datasets.archives import Archive
    from datasets.fetch import fetch
    url, root, checksum = sys.argv[1:]
    reader = SimpleNamespace(archives=[Archive("mini.tar.gz", (url,), sha256=checksum, gives=("mini",))])
    tells = SimpleNamespace(note=lambda text: print(text, flush=True), bytes=lambda what, done, total: None)
    print("go", flush=True)
    fetch("mini", reader, Path(root), None, tells)
"""


def child(url: str, root: Path) -> subprocess.Popen[str]:
    """A process of its own that fetches; it is past its imports."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", dedent(CHILD), url, str(root), sha256(GOOD)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    return process


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_killed_download_is_gone_on_from(tmp_path: Path, server: FileServer, get: Callable[..., Notes]) -> None:
    url = server.serve("/mini", Answer(GOOD, sends=200_000, stalls=True), Answer(GOOD))
    downloads = tmp_path / "data" / ".downloads"
    with child(url, tmp_path / "data") as process:
        wait_until(lambda: any(part.stat().st_size > 100_000 for part in downloads.glob("*.part")))
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "data" / "mini").exists()
    get(mini(url))
    assert whole(tmp_path / "data")
    (_, first, _), (_, second, _) = server.requests
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 100_000


def test_two_processes_that_fetch_at_once_download_once(
    tmp_path: Path, server: FileServer, get: Callable[..., Notes]
) -> None:
    url = server.serve("/mini", Answer(GOOD, sends=100_000, stalls=True))
    with child(url, tmp_path / "data") as first:
        wait_until(lambda: len(server.requests) == 1)
        with child(url, tmp_path / "data") as second:
            assert second.stdout is not None
            assert "waiting for it" in second.stdout.readline()
            assert len(server.requests) == 1
            server.serve("/mini", Answer(GOOD))
            server.ended.set()
            assert second.wait(60) == first.wait(60) == 0
    assert len(server.requests) == 2, "one by the first process, and its second try"
    assert whole(tmp_path / "data")
