"""One file over HTTP: goes on where it broke off, and is never a mix of two versions of the file.

The standard library's client is used as it stands: it hands out the bytes that were sent (others undo a
`Content-Encoding: x-gzip`, which some servers put on .tgz files, and the checksum no longer fits).
"""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from datasets.interface import OnProgress

CHUNK = 1 << 18
"""Bytes."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as dropped."""
PAUSES = (1, 2, 4, 8, 16)
"""Seconds between tries, as long as they bring nothing new."""
WORTH_ANOTHER_TRY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP states that pass."""


class FetchError(Exception):
    """Something can't be fetched or unpacked. The message is one line that says what to do."""


class MirrorError(Exception):
    """This address doesn't serve the file. The message is one line with the address and the reason."""


class _Dropped(Exception):  # noqa: N818 - it is no fault of anyone's
    """The connection broke off; another try may go on from there."""


@dataclass(frozen=True)
class Partial:
    """What has arrived from one address, beside it the version of the file that it belongs to."""

    data: Path
    version: Path

    @classmethod
    def of(cls, folder: Path, name: str, url: str) -> Partial:
        """One per address, so that files of two mirrors can't be mixed either."""
        stem = f"{name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        return cls(folder / stem, folder / f"{stem}.version")

    @property
    def length(self) -> int:
        """Bytes that can be gone on from: none where the version isn't known."""
        return self.data.stat().st_size if self.data.exists() and self.validator else 0

    @property
    def validator(self) -> str:
        """The server's mark of the version: a strong ETag or a date; empty if it gave none."""
        return self.version.read_text(encoding="utf-8") if self.version.exists() else ""

    def begin(self, validator: str) -> None:
        """Starts anew. In this order: a kill in between never leaves old bytes under a new mark."""
        self.data.unlink(missing_ok=True)
        self.version.write_text(validator, encoding="utf-8")
        self.data.touch()

    def discard(self) -> None:
        """Removes both files."""
        self.data.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def download(url: str, part: Partial, size: int | None, on_progress: OnProgress) -> None:
    """Completes `part` from `url`; `size` is the file's in bytes, if known.

    Dropped connections are taken up again until several tries in a row brought nothing. Raises `MirrorError` if this
    address doesn't serve the file, `FetchError` if the disk has no room for it, `OSError` if it can't be written.
    """
    tries, furthest = 0, part.length
    while True:
        try:
            return _receive(url, part, size, on_progress)
        except _Dropped as drop:
            if part.length > furthest:
                tries, furthest = 0, part.length
            if tries == len(PAUSES):
                raise MirrorError(f"{url}: {drop} ({tries + 1} tries)") from drop
            time.sleep(PAUSES[tries])
            tries += 1


def _receive(url: str, part: Partial, size: int | None, on_progress: OnProgress) -> None:
    """One connection: from where `part` ends to the end of the file."""
    have = part.length
    response = _connect(url, part)
    if response is None:
        return
    with response:
        total = _total(response)
        if size is not None and total not in (None, size):
            raise MirrorError(f"{url}: the file there has {total} bytes, {size} were expected")
        total = size if total is None else total
        if response.status == 206:
            _check_continuation(response, part)
        else:
            have = 0
            part.begin(_validator(response))
        if total is not None:
            _require_space(part.data.parent, 2 * total - have)
        with part.data.open("ab") as file:
            while (total is None or have < total) and (chunk := _read(response)):
                if have == 0:
                    _refuse_page(url, response, chunk, part)
                file.write(chunk)
                have += len(chunk)
                on_progress(have, total)
    if total is not None and have < total:
        raise _Dropped(f"the connection broke off after {have} of {total} bytes")


def _connect(url: str, part: Partial) -> HTTPResponse | None:
    """The server's answer, or None if `part` is the whole file already."""
    request = Request(url, headers={"User-Agent": "fgbench", "Accept-Encoding": "identity"})
    if part.length:
        request.add_header("Range", f"bytes={part.length}-")
        request.add_header("If-Range", part.validator)  # another version is sent from its beginning
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if error.code == 416:
                if error.headers.get("Content-Range", "").endswith(f"/{part.length}"):
                    return None
                part.discard()
                raise _Dropped("the server can't go on from what is there") from error
            said = f"HTTP {error.code} {error.reason}"
        if error.code in WORTH_ANOTHER_TRY:
            raise _Dropped(said) from error
        raise MirrorError(f"{url}: {said}") from error
    except (OSError, HTTPException) as error:
        raise _Dropped(f"no connection ({getattr(error, 'reason', error) or type(error).__name__})") from error
    return response


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Dropped(f"the connection broke off ({error or type(error).__name__})") from error


def _total(response: HTTPResponse) -> int | None:
    """Bytes of the whole file, if the server says."""
    if response.status == 206:
        return int(found[1]) if (found := re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))) else None
    length = response.headers.get("Content-Length")
    return int(length) if length else None


def _validator(response: HTTPResponse) -> str:
    tag = response.headers.get("ETag", "")
    # A weak tag says that two files mean the same, not that they have the same bytes.
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_continuation(response: HTTPResponse, part: Partial) -> None:
    """Not every server heeds If-Range: what is sent must begin where ours ends, and be of the same version."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {part.length}-")
    if not begins or _validator(response) not in ("", part.validator):
        part.discard()
        raise _Dropped("the file has changed on the server")


def _require_space(folder: Path, needed: int) -> None:
    """Room for what is still to come and for the content: photos take as much as their archive."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder}: the archive and its content need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "make room or name another folder with --data-root"
        )


def _refuse_page(url: str, response: HTTPResponse, beginning: bytes, part: Partial) -> None:
    """Sites that have moved, or want a form filled in, answer with a page and state 200."""
    opening = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    if response.headers.get_content_type() == "text/html" or opening.startswith((b"<!doctype html", b"<html")):
        part.discard()
        title = re.search(r"<title[^>]*>(.*?)</title>", beginning.decode(errors="replace"), re.S | re.I)
        words = " ".join(html.unescape(title[1]).split()) if title else "without a title"
        raise MirrorError(f"{url}: a web page came in place of the file ({words})")
