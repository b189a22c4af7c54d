"""The Hugging Face Hub: which of its files has the weights of a timm tag, and whether it is here. Uses no network.

Files lie in huggingface_hub's own cache, where timm and other programs find them too, and that library's settings
count: `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`. Only safetensors is taken, never a pickle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache

from methods.errors import HubError
from methods.tags import split_tag

FILE = "model.safetensors"
"""What timm's repositories call their weights."""
COMMIT, SHA256 = "[0-9a-f]{40}", "[0-9a-f]{64}"


@dataclass(frozen=True)
class Repository:
    """Where on the hub the weights of a tag are."""

    id: str
    file: str = FILE
    revision: str | None = None
    """That timm asks for; None: the newest."""


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


def known_repository(tag: str) -> Repository:
    """As `repository`. Raises `HubError` where there is none."""
    place = repository(tag)
    if place is None and (elsewhere := address(tag)):
        raise HubError(
            f"{tag}: the hub does not have it; download {elsewhere} and put it into the folder of --weights under the "
            f"name {tag}{Path(elsewhere).suffix}"
        )
    if place is None:
        raise HubError(f"{tag}: timm knows no such weights on the hub; weights list names what the recipes need")
    return place


def page(tag: str) -> str:
    """Address of the page about the weights `tag` on the hub."""
    return f"{constants.ENDPOINT}/{known_repository(tag).id}"


def folder() -> Path:
    """The cache, into which `fetch` writes."""
    return Path(constants.HF_HUB_CACHE)


def licence(tag: str) -> str | None:
    """What timm says are the terms of use of the weights `tag`, as a name such as `bsd-3-clause`."""
    cfg = _cfg(tag)
    return getattr(cfg, "license", None) or None


def cached(tag: str) -> Path | None:
    """The file of these weights in the cache, or None."""
    place = repository(tag)
    if place is None:
        return None
    try:
        found = try_to_load_from_cache(place.id, place.file, revision=place.revision)
    except (OSError, UnicodeDecodeError):  # the name of the newest revision can't be read
        return None
    return Path(found) if isinstance(found, str) else None


def everything_cached() -> dict[str, Path]:
    """All of timm's weights that are in the cache."""
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
    which is about as much. None where neither is known."""
    here = cached(tag)
    return here.stat().st_size if here else _bytes_of_network(tag)


@cache
def _cfg(name: str) -> Any:
    """timm's `pretrained_cfg`, or None for a name that it does not know."""
    if not timm.is_model(name):
        return None
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:  # a network, but the tag is none of its weights
        return None


@cache
def _bytes_of_network(tag: str) -> int | None:
    try:
        with torch.device("meta"):
            state = timm.create_model(tag).state_dict()
    except Exception:  # some networks need values to be built
        return None
    return sum(value.numel() * value.element_size() for value in state.values())


def about(count: int | None) -> str:
    """Bytes for people: `about 102 MB`; empty if they are not known."""
    return f"about {count / 1e6:.0f} MB" if count else ""
