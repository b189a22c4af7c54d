"""How weights come from the Hugging Face Hub. No other module talks to it.

huggingface_hub's settings count: those of its cache, and `HF_HUB_OFFLINE`, `HF_TOKEN`, proxies.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfFileMetadata,
    constants,
    file_download,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
)
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import logging, tqdm

from methods.errors import HubError, SilentHubError
from methods.hub import COMMIT, SHA256, Repository, about, cached, folder, known_repository, size, stated_sha256

LONGEST = 200
"""Characters shown of what a server says."""
OnProgress = Callable[[int, int | None], None]
"""Called with the bytes that are here and all bytes of the file, if known."""


@dataclass(frozen=True)
class Upstream:
    """What the hub has of a tag at present."""

    revision: str
    """The commit of the repository."""
    sha256: str
    """Of the file."""
    bytes: int | None


def upstream(tag: str) -> Upstream:
    """Asks the hub what it has. Raises `HubError` if it does not say."""
    told = _asked(tag)
    assert told.commit_hash
    assert told.etag
    return Upstream(told.commit_hash, told.etag, told.size)


def fetch(tag: str, on_progress: OnProgress = lambda done, total: None, renew: bool = False) -> Path:
    """The file of the weights `tag`, downloaded unless it is here; with `renew`, also if the hub has another by now.

    Dropped connections are resumed. The bytes are compared with the SHA-256 that the hub states, and a file that
    differs is removed. Raises `HubError`.
    """
    if (here := cached(tag)) and not renew:
        _check_bytes(tag, here, stated_sha256(here))
        return here
    place, told = known_repository(tag), _asked(tag)
    _require_space(tag, told.size)
    bar = _bar(on_progress, told.size)
    _forget_unreadable_revision(place)
    with _in_one_line(tag), _answered(told):
        file = Path(hf_hub_download(place.id, place.file, revision=place.revision, tqdm_class=bar))
    _check_bytes(tag, file, stated_sha256(file) or told.etag)
    return file


def _asked(tag: str) -> HfFileMetadata:
    """What the hub states of the file: a commit, a SHA-256 (`etag`), size and address. Raises `HubError`."""
    place = known_repository(tag)
    with _in_one_line(tag):
        told = get_hf_file_metadata(hf_hub_url(place.id, place.file, revision=place.revision))
    # Both become names of files in the cache.
    if not re.fullmatch(COMMIT, told.commit_hash or "") or not re.fullmatch(SHA256, told.etag or ""):
        raise HubError(f"{tag}: {constants.ENDPOINT} states no commit or no SHA-256 of {place.file}; take another hub")
    return told


@contextmanager
def _answered(told: HfFileMetadata) -> Iterator[None]:
    """Within, huggingface_hub takes `told` for the hub's answer: asked again, a hub could state another, unchecked."""
    ask = file_download.get_hf_file_metadata
    file_download.get_hf_file_metadata = lambda *words, **options: told
    try:
        yield
    finally:
        file_download.get_hf_file_metadata = ask


def _forget_unreadable_revision(place: Repository) -> None:
    """Removes the cache's note of the newest revision if it can't be read: huggingface_hub, which reads the note before
    it writes a new one, would fail each time."""
    note = folder() / file_download.repo_folder_name(repo_id=place.id, repo_type="model") / "refs"
    note /= place.revision or constants.DEFAULT_REVISION
    try:
        note.read_text()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError):
        with suppress(OSError):  # then huggingface_hub says what is wrong
            note.unlink()


def _require_space(tag: str, needed: int | None) -> None:
    present = next(one for one in (folder(), *folder().parents) if one.exists())
    if needed is not None and needed > (free := shutil.disk_usage(present).free):
        raise HubError(
            f"{tag}: needs {needed / 1e6:.0f} MB in {folder()}, {free / 1e6:.0f} MB are free; make room, or name "
            "another folder with HF_HOME"
        )


def _check_bytes(tag: str, file: Path, stated: str | None) -> None:
    """Removes a file with other bytes than the hub stated, so that the next command fetches it anew."""
    if stated is None:
        return
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != stated:
        blob = file.resolve()
        file.unlink()
        if blob.is_relative_to(folder().resolve()):  # a user's link may lead elsewhere
            blob.unlink(missing_ok=True)
        raise HubError(
            f"{tag}: the file is damaged (SHA-256 {found[:12]}…, where the hub states {stated[:12]}…) and was removed; "
            f"weights fetch {tag} downloads it again"
        )


def _bar(on_progress: OnProgress, size: int | None) -> type:
    """A class in the place of the hub's progress bars, which shows nothing and calls `on_progress`."""

    class Bar(tqdm):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            on_progress(int(self.n), size)

        def update_transfer(self, n: float) -> None:
            """Of Xet, which counts what the network brought beside what is in the file."""

        def set_transfer_postfix_str(self, *words: Any, **options: Any) -> None:
            """Of Xet."""

    return Bar


@contextmanager
def _in_one_line(tag: str) -> Iterator[None]:
    """Turns what huggingface_hub raises into a `HubError`, and keeps its log from the terminal."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except Exception as error:  # those of its HTTP client have no common type (httpx or its successor)
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        answered = isinstance(cause, HfHubHTTPError) and cause.response.status_code < 500
        raise (HubError if answered else SilentHubError)(f"{tag}: {_why(tag, cause)}") from error
    finally:
        logging.set_verbosity(verbosity)


def _why(tag: str, error: BaseException) -> str:
    """Why the hub did not give the file, and what to do."""
    place = known_repository(tag)
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE forbids the network; unset it, or {_by_hand(tag)}"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return (
                f"the hub refuses {place.id} (HTTP {status}): it is gated, private or gone; accept its terms on "
                f"{constants.ENDPOINT}/{place.id} and give your token (HF_TOKEN, or hf auth login)"
            )
        if status == 404:
            return f"{constants.ENDPOINT} has no {place.file} of {place.id} (HTTP 404); {_by_hand(tag)}"
        return f"{constants.ENDPOINT} answers with HTTP {status}; try again later, or {_by_hand(tag)}"
    if isinstance(error, OSError) and error.errno:
        return f"can't be stored in {constants.HF_HUB_CACHE} ({error.strerror}); name another folder with HF_HOME"
    reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
    return f"can't be fetched from {constants.ENDPOINT} ({reason}); run the command again, or {_by_hand(tag)}"


def _by_hand(tag: str) -> str:
    megabytes = f" ({about(size(tag))})" if size(tag) else ""
    return f"put {tag}.safetensors{megabytes} into the folder of --weights"
