"""Downloads one file over HTTP, resuming interrupted downloads without ever mixing two versions of the file.

pooch does not resume, and urllib3's `Retry` repeats a request from its beginning. `requests` also decodes the
`Content-Encoding: x-gzip` that some servers set for .tgz files, after which the checksum doesn't match. The standard
library's client returns the bytes as sent.
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
"""Seconds without data after which a connection counts as dropped."""
PAUSES = (1, 2, 4, 8, 16)
"""Seconds between attempts that bring no new data."""
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP status codes that are worth another attempt."""


class FetchError(Exception):
    """Something can't be downloaded or unpacked. The message is one line that says what to do."""


class MirrorError(Exception):
    """A URL doesn't serve the file. The message is one line with the URL and the reason."""


class _Dropped(Exception):  # noqa: N818 - not an error
    """The connection was lost; another attempt may resume."""


@dataclass(frozen=True)
class Partial:
    """A partial download from one URL, with a file that records the version it belongs to."""

    data: Path
    version: Path

    @classmethod
    def of(cls, folder: Path, name: str, url: str) -> Partial:
        """One per URL, so that files of two mirrors can't be mixed either."""
        stem = f"{name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        return cls(folder / stem, folder / f"{stem}.version")

    @property
    def length(self) -> int:
        """Bytes to resume after: 0 if the version is unknown."""
        return self.data.stat().st_size if self.data.exists() and self.validator else 0

    @property
    def validator(self) -> str:
        """The version as given by the server: a strong ETag or a date; empty if it gave neither."""
        return self.version.read_text(encoding="utf-8") if self.version.exists() else ""

    def begin(self, validator: str) -> None:
        """Starts over. The order ensures that a kill never leaves old bytes with a new version."""
        self.data.unlink(missing_ok=True)
        self.version.write_text(validator, encoding="utf-8")
        self.data.touch()

    def discard(self) -> None:
        """Removes both files."""
        self.data.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def download(url: str, part: Partial, size: int | None, on_progress: OnProgress) -> None:
    """Completes `part` from `url`; `size` is the size of the file in bytes, if known.

    Resumes dropped connections until several attempts in a row bring nothing. Raises `MirrorError` if the URL doesn't
    serve the file, `FetchError` if the disk has no room for it, `OSError` if it can't be written.
    """
    attempts, furthest = 0, part.length
    while True:
        try:
            return _receive(url, part, size, on_progress)
        except _Dropped as drop:
            if part.length > furthest:
                attempts, furthest = 0, part.length
            if attempts == len(PAUSES):
                raise MirrorError(f"{url}: {drop} ({attempts + 1} attempts)") from drop
            time.sleep(PAUSES[attempts])
            attempts += 1


def _receive(url: str, part: Partial, size: int | None, on_progress: OnProgress) -> None:
    """Downloads the rest of the file over one connection."""
    have = part.length
    response = _connect(url, part)
    if response is None:
        return
    with response:
        total = _total(url, response)
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
                if total is None:
                    _refuse_endless(url, have, part)
                file.write(chunk)
                have += len(chunk)
                on_progress(have, total)
    if total is not None and have < total:
        raise _Dropped(f"the connection was lost after {have} of {total} bytes")


def _connect(url: str, part: Partial) -> HTTPResponse | None:
    """The server's response, or None if `part` is already complete."""
    request = Request(url, headers={"User-Agent": "fgbench", "Accept-Encoding": "identity"})
    if part.length:
        request.add_header("Range", f"bytes={part.length}-")
        request.add_header("If-Range", part.validator)  # a changed file is sent from its beginning
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if error.code == 416:
                if error.headers.get("Content-Range", "").endswith(f"/{part.length}"):
                    return None
                part.discard()
                raise _Dropped("the server can't resume the download") from error
            status = f"HTTP {error.code} {error.reason}"
        if error.code in TRANSIENT:
            raise _Dropped(status) from error
        raise MirrorError(f"{url}: {status}") from error
    except ValueError as error:  # raised for a redirect to something that is no address
        raise MirrorError(f"{url}: redirected to a wrong address ({error})") from error
    except (OSError, HTTPException) as error:
        raise _Dropped(f"no connection ({getattr(error, 'reason', error) or type(error).__name__})") from error
    return response


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Dropped(f"the connection was lost ({error or type(error).__name__})") from error


def _total(url: str, response: HTTPResponse) -> int | None:
    """Size of the whole file in bytes, if the server gives it."""
    if response.status == 206:
        stated = response.headers.get("Content-Range", "").rpartition("/")[2].replace("*", "")
    else:
        stated = response.headers.get("Content-Length", "")
    if stated and not re.fullmatch(r"[0-9]{1,18}", stated):
        raise MirrorError(f"{url}: the server gives {stated[:20]!r} as the file's size")
    return int(stated) if stated else None


def _validator(response: HTTPResponse) -> str:
    tag = response.headers.get("ETag", "")
    # Files with the same weak tag are equivalent, but may differ in their bytes.
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_continuation(response: HTTPResponse, part: Partial) -> None:
    """Not every server respects If-Range: checks that the data continues ours and has the same version."""
    begins = response.headers.get("Content-Range", "").startswith(f"bytes {part.length}-")
    if not begins or _validator(response) not in ("", part.validator):
        part.discard()
        raise _Dropped("the file has changed on the server")


def _require_space(folder: Path, needed: int) -> None:
    """Room for the rest of the archive and for its content: photos don't shrink when archived."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise FetchError(
            f"{folder}: the archive and its content need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "make room or name another folder with --data"
        )


def _refuse_endless(url: str, have: int, part: Partial) -> None:
    """Without a stated size, the file may grow until the rest of the disk could just hold its content."""
    if have > shutil.disk_usage(part.data.parent).free:
        part.discard()
        raise MirrorError(f"{url}: no size was stated, and after {have / 1e9:.1f} GB the disk has no room for more")


def _refuse_page(url: str, response: HTTPResponse, beginning: bytes, part: Partial) -> None:
    """Sites that have moved or require a form respond with a web page and status 200."""
    opening = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    if response.headers.get_content_type() == "text/html" or opening.startswith((b"<!doctype html", b"<html")):
        part.discard()
        title = re.search(r"<title[^>]*>(.*?)</title>", beginning.decode(errors="replace"), re.S | re.I)
        words = " ".join(html.unescape(title[1]).split()) if title else "without a title"
        raise MirrorError(f"{url}: a web page was sent instead of the file ({words})")
