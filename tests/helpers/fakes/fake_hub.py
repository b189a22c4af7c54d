"""A Hugging Face Hub on this machine: a server with its interface, and another that has the bytes, as its CDN."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save

from methods import hub
from tests.helpers.fakes.file_server import Answer, FileServer, file_server

REVISION = "1" * 40
TAG = "test_resnet.r160_in1k"
"""timm's smallest ResNet."""
CHUNK = 1 << 16
"""Bytes from which a dropped download is resumed; huggingface_hub's own are ten million."""


@dataclass
class FakeHub:
    """What `offer` was told of is there; everything else is answered 404."""

    pages: FileServer
    cdn: FileServer

    def offer(self, tag: str, content: bytes, *answers: Answer, revision: str = REVISION, token: str = "") -> None:
        """Has the weights `tag` with `content`; `answers` are what the CDN gives, by default the content."""
        place = hub.repository(tag)
        assert place is not None
        self.offer_file(place.id, place.file, content, *answers, revision=revision, token=token)

    def offer_file(
        self, repository: str, file: str, content: bytes, *answers: Answer, revision: str = REVISION, token: str = ""
    ) -> None:
        """The same of any file."""
        sha256 = hashlib.sha256(content).hexdigest()
        stated = {"X-Repo-Commit": revision, "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
        there = self.cdn.serve(f"/{sha256}", *(answers or [Answer(content)]))
        answer = Answer(status=302, location=there, headers=stated, needs_token=token, says_length=False)
        for asked in ("main", revision):
            self.pages.serve(f"/{repository}/resolve/{asked}/{file}", answer)

    def refuse(self, tag: str, status: int) -> None:
        """Answers what is asked about `tag` with an error."""
        place = hub.repository(tag)
        assert place is not None
        self.pages.serve(f"/{place.id}/resolve/main/{place.file}", Answer(status=status))


@contextmanager
def fake_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that is the only one this process and its children know, with its cache in `folder`."""
    with file_server() as pages, file_server() as cdn:
        cache = folder / "hub"
        for name, value in {"HF_ENDPOINT": pages.url, "HF_HOME": folder, "HF_HUB_CACHE": cache}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", pages.url)
        template = pages.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
        yield FakeHub(pages, cdn)


def weights_of(tag: str = TAG) -> bytes:
    """A weight file of the tag's network, its values random but the same at each call."""
    torch.manual_seed(0)
    return save(timm.create_model(tag).state_dict())
