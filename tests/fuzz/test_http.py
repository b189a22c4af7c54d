"""Answers of a web server: the file, or one line with the address and the reason."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from datasets.fetching import download
from methods import hub_download
from tests.helpers.fakes.fake_hub import REVISION, TAG, FakeHub
from tests.helpers.fuzzing import NASTY, Fuzz, damaged, damaged_text

BODY = bytes(range(256)) * 8
HEADS = (
    f'HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nETag: "one"\r\nContent-Type: application/x-tar\r\n\r\n',
    f"HTTP/1.0 200 OK\r\nLast-Modified: Mon, 02 Feb 2026 10:00:00 GMT\r\nContent-Length: {len(BODY)}\r\n\r\n",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-2047/2048\r\nContent-Length: 2043\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 Not \x1b[31mHere\r\nContent-Length: 3\r\n\r\n",
    "HTTP/1.1 503 Busy\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n",
)
BODIES = (BODY, b"800\r\n" + BODY + b"\r\n0\r\n\r\n", b"<!doctype html><title>\x1b[2JSign in</title>", b"", BODY[:100])


@contextmanager
def served(answers: list[bytes]) -> Iterator[str]:
    """The address of a server that sends the last of `answers`, whatever it is asked, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        connection.sendall(answers[-1])
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/photos.tar"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_an_answer_is_the_file_or_refused(fuzz: Fuzz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES", (0, 0))
    answers = [b""]
    with served(answers) as url:
        for draw in fuzz.draws("HTTP answer", 150):
            head, body = draw.choice(HEADS), draw.choice(BODIES)
            if draw.randrange(2):
                head = damaged_text(head, draw)
            else:
                name = draw.choice(("Content-Length", "Content-Range", "Location", "ETag", "Transfer-Encoding", "x"))
                head = head.replace("\r\n", f"\r\n{name}: {draw.choice(NASTY)}\r\n", 1)
            answer = head.encode("utf-8", "surrogatepass") + body
            answers[:] = [damaged(answer, draw) if draw.randrange(4) == 0 else answer]
            part = download.Partial.of(tmp_path, "photos.tar", url)
            part.discard()
            if draw.randrange(3) == 0:
                part.begin('"one"')
                part.data.write_bytes(BODY[:5])
            size = draw.choice((None, len(BODY)))
            fuzz.attempt(lambda part=part, size=size: download.download(url, part, size, lambda done, total: None))
            assert {path.name for path in tmp_path.iterdir()} <= {part.data.name, part.version.name}


HUB_HEAD = (
    f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nX-Repo-Commit: {REVISION}\r\n"
    f'X-Linked-Etag: "{hashlib.sha256(BODY).hexdigest()}"\r\nX-Linked-Size: {len(BODY)}\r\n\r\n'
)
HUB_NAMES = ("Content-Length", "X-Repo-Commit", "X-Linked-Etag", "X-Linked-Size", "ETag", "Location", "X-Xet-Hash", "x")


def test_an_answer_of_a_hub_is_the_file_or_refused(
    fuzz: Fuzz, fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    answers = [b""]
    with served(answers) as url:
        template = url + "/{repo_id}/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        for draw in fuzz.draws("hub answer", 60):
            folder = tmp_path / str(fuzz.number)
            monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
            head = HUB_HEAD.replace(
                "200 OK", draw.choice(("200 OK", "200 OK", "206 Partial Content", "302 Found", "503 Busy"))
            )
            if draw.randrange(2):
                head = damaged_text(head, draw)
            else:
                head = head.replace("\r\n", f"\r\n{draw.choice(HUB_NAMES)}: {draw.choice(NASTY)}\r\n", 1)
            body = draw.choice((BODY, BODY, damaged(BODY, draw), b"<!doctype html>"))
            answers[:] = [head.encode("utf-8", "surrogatepass") + body]
            file = fuzz.attempt(lambda: hub_download.fetch(TAG))
            assert file is None or hashlib.sha256(file.read_bytes()).hexdigest() in head, fuzz.where
            assert {path.name for path in tmp_path.iterdir()} <= {"home", *map(str, range(fuzz.number + 1))}
            assert {path.name for path in folder.glob("*")} <= {"hub"}, fuzz.where
