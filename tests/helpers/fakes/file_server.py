"""A web server for tests that behaves as badly as it is told."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """How one request is answered."""

    body: bytes = b""
    tag: str = '"one"'
    """ETag; empty for none."""
    sends: int | None = None
    """Bytes of the answer that are sent before the connection is cut; None for all."""
    stalls: bool = False
    """Whether the connection stays open in place of being cut."""
    knows_ranges: bool = True
    heeds_if_range: bool = True
    status: int = 200
    kind: str = "application/octet-stream"
    location: str = ""
    says_length: bool = True
    length: str = ""
    """What is stated as the size of the whole file; empty for the true one."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further ones."""
    needs_token: str = ""
    """Requests without it are answered 401."""


@dataclass
class FileServer:
    """`answers` of a path are given one after another, the last one for ever."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, str | None, int]] = field(default_factory=list)
    """Path, Range header and state of each."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """All headers of each request."""
    ended: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, *answers: Answer) -> str:
        """The address of `path`."""
        self.answers[path] = list(answers)
        return self.url + path

    @property
    def ranges(self) -> list[str | None]:
        """The Range headers."""
        return [asked for _, asked, _ in self.requests]


class _Handler(BaseHTTPRequestHandler):
    files: FileServer

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer()

    def _answer(self, with_content: bool = True) -> None:
        answers = self.files.answers.get(self.path, [Answer(status=404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        start, status = self._start(answer), answer.status
        if start and start >= len(answer.body):
            status = 416
        elif start:
            status = 206
        if answer.needs_token and self.headers["Authorization"] != f"Bearer {answer.needs_token}":
            status = 401
        self.files.headers.append(dict(self.headers))
        self.files.requests.append((self.path, self.headers["Range"], status))
        self._send_head(answer, status, start)
        content = b"" if not with_content or status == 416 else answer.body[start:]
        self.wfile.write(content if answer.sends is None else content[: answer.sends])
        self.wfile.flush()
        if answer.stalls:
            self.files.ended.wait(60)

    def _start(self, answer: Answer) -> int:
        asked, version = self.headers["Range"], self.headers["If-Range"]
        if not asked or not answer.knows_ranges or answer.status != 200:
            return 0
        if answer.heeds_if_range and version not in (None, answer.tag):
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _send_head(self, answer: Answer, status: int, start: int) -> None:
        total = len(answer.body)
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        if answer.tag:
            self.send_header("ETag", answer.tag)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.location and status != 401:
            self.send_header("Location", answer.location)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{answer.length or total}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{total}")
        elif answer.says_length:
            self.send_header("Content-Length", str(total - start) if status == 206 else answer.length or str(total))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    """Closing waits for the answers, so that none is told of in another test's output."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server on a free port of this machine."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        files = FileServer(f"http://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = type("Handler", (_Handler,), {"files": files})
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield files
        finally:
            files.ended.set()
            server.shutdown()
            thread.join()
