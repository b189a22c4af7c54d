"""The Hugging Face Hub: which of its files has the weights of a timm tag, whether it is here, and how it comes here.

No other module talks to the hub. Files lie in huggingface_hub's own cache, where timm and other programs find them too,
and that library's settings count: `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `HF_TOKEN`, proxies. Only
`upstream` and `fetch` use the network. Only safetensors is taken, never a pickle.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch
from huggingface_hub import (
    HfFileMetadata,
    constants,
    file_download,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import logging, tqdm

from methods.errors import HubError, SilentHubError
from methods.tags import split_tag

FILE = "model.safetensors"
"""What timm's repositories call their weights."""

LONGEST = 200
"""Characters shown of what a server says."""
COMMIT, SHA256 = "[0-9a-f]{40}", "[0-9a-f]{64}"

OnProgress = Callable[[int, int | None], None]
"""Called with the bytes that are here and all bytes of the file, if known."""


@dataclass(frozen=True)
class Repository:
    """Where on the hub the weights of a tag are."""

    id: str
    file: str = FILE
    revision: str | None = None
    """That timm asks for; None: the newest."""


@dataclass(frozen=True)
class Upstream:
    """What the hub has of a tag at present."""

    revision: str
    """The commit of the repository."""
    sha256: str
    """Of the file."""
    bytes: int | None


def is_tag(name: str) -> bool:
    """Whether timm has weights called `name`: `resnet50.tv_in1k`, network and tag."""
    return "." in name and _cfg(name) is not None


def tags_of(network: str) -> list[str]:
    """Names of all weights that timm has of a network."""
    return list(timm.list_models(f"{network}.*", pretrained=True))


def default_tag(name: str) -> str | None:
    """The weights that timm itself takes: those of the name's tag, or those of a network without one. None if it has
    none."""
    cfg = _cfg(name)
    return f"{split_tag(name)[0]}.{cfg.tag}" if cfg is not None and cfg.tag else None


def repository(tag: str) -> Repository | None:
    """The place of the weights `tag`; None for a name that timm does not know, and where they are not on the hub as
    safetensors: a few of timm's have nothing but an address of their own (`address`)."""
    if not is_tag(tag):
        return None
    cfg = _cfg(tag)
    file = cfg.hf_hub_filename or FILE
    if not cfg.hf_hub_id or not file.endswith(".safetensors"):
        return None
    name, _, revision = cfg.hf_hub_id.partition("@")
    return Repository(name, file, revision or None)


def address(tag: str) -> str | None:
    """Where else timm knows the weights `tag` to be."""
    cfg = _cfg(tag)
    return (cfg.url or None) if cfg is not None else None


def page(tag: str) -> str:
    """Address of the page about the weights `tag` on the hub."""
    return f"{constants.ENDPOINT}/{_known(tag).id}"


def folder() -> Path:
    """The cache, into which `fetch` writes."""
    return Path(constants.HF_HUB_CACHE)


def licence(tag: str) -> str | None:
    """What timm says are the terms of use of the weights `tag`, as a name such as `bsd-3-clause`."""
    cfg = _cfg(tag)
    return getattr(cfg, "license", None) or None


def cached(tag: str) -> Path | None:
    """The file of these weights in the cache, or None. Uses no network."""
    place = repository(tag)
    if place is None:
        return None
    try:
        found = try_to_load_from_cache(place.id, place.file, revision=place.revision)
    except UnicodeDecodeError:  # the name of the newest revision is damaged
        return None
    return Path(found) if isinstance(found, str) else None


def everything_cached() -> dict[str, Path]:
    """All of timm's weights that are in the cache. Uses no network."""
    files = {tag: cached(tag) for tag in timm.list_models(pretrained=True)}
    return {tag: file for tag, file in files.items() if file}


def revision(file: Path) -> str | None:
    """The commit that a file of the cache belongs to; None for any other file."""
    commit = file.parent.name
    return commit if file.parent.parent.name == "snapshots" and re.fullmatch(COMMIT, commit) else None


def stated_sha256(file: Path) -> str | None:
    """What the hub said was the SHA-256 of a file of the cache when it came: the name of the blob that it links to."""
    name = file.readlink().name if file.is_symlink() else ""
    return name if re.fullmatch(SHA256, name) else None


def size(tag: str) -> int | None:
    """Bytes of the weights `tag`: of the file that is here, or else of the network's parameters in single precision,
    which is about as much. None where neither is known. Uses no network."""
    here = cached(tag)
    return here.stat().st_size if here else _bytes_of_network(tag)


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
    place, told = _known(tag), _asked(tag)
    _require_space(tag, told.size)
    bar = _bar(on_progress, told.size)
    with _in_one_line(tag), _answered(told):
        file = Path(hf_hub_download(place.id, place.file, revision=place.revision, tqdm_class=bar))
    _check_bytes(tag, file, stated_sha256(file) or told.etag)
    return file


@cache
def _cfg(name: str) -> Any:
    """timm's `pretrained_cfg`, or None for a name that it does not know."""
    if not timm.is_model(name):
        return None
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:  # a network, but the tag is none of its weights
        return None


def _known(tag: str) -> Repository:
    place = repository(tag)
    if place is None and (elsewhere := address(tag)):
        raise HubError(
            f"{tag}: the hub does not have it; download {elsewhere} and put it into the folder of --weights under the "
            f"name {tag}{Path(elsewhere).suffix}"
        )
    if place is None:
        raise HubError(f"{tag}: timm knows no such weights on the hub; weights list names what the recipes need")
    return place


@cache
def _bytes_of_network(tag: str) -> int | None:
    try:
        with torch.device("meta"):
            state = timm.create_model(tag).state_dict()
    except Exception:  # some networks need values to be built
        return None
    return sum(value.numel() * value.element_size() for value in state.values())


def _asked(tag: str) -> HfFileMetadata:
    """What the hub states of the file: a commit, a SHA-256 (`etag`), size and address. Raises `HubError`."""
    place = _known(tag)
    with _in_one_line(tag):
        told = get_hf_file_metadata(hf_hub_url(place.id, place.file, revision=place.revision))
    # Both become names of files in the cache.
    if not re.fullmatch(COMMIT, told.commit_hash or "") or not re.fullmatch(SHA256, told.etag or ""):
        raise HubError(f"{tag}: {constants.ENDPOINT} states no commit or no SHA-256 of {place.file}; take another hub")
    return told


def _answered(told: HfFileMetadata) -> AbstractContextManager[object]:
    """Within, huggingface_hub takes `told` for the hub's answer: asked again, a hub could state another, unchecked."""
    return mock.patch.object(file_download, "get_hf_file_metadata", return_value=told)


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
    place = _known(tag)
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


def about(count: int | None) -> str:
    """Bytes for people: `about 102 MB`; empty if they are not known."""
    return f"about {count / 1e6:.0f} MB" if count else ""
