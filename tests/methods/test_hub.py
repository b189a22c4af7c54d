"""Weights of the Hugging Face Hub: fetched when asked, checked, found by their tags, and refused in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load

from methods import hub
from methods.backbones import TimmBackbones
from methods.errors import HubError, MissingWeights
from methods.weight_files import find_weights
from tests.helpers.fake_hub import CHUNK, REVISION, TAG, FakeHub, fake_hub, weights_of
from tests.helpers.file_server import Answer

WEIGHTS = weights_of()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub(tmp_path / "home", monkeypatch) as served:
        yield served


def test_fetched_weights_are_found_by_tag_and_by_file_name_and_fill_the_network(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    with pytest.raises(MissingWeights):
        find_weights("test_resnet", TAG, tmp_path)
    assert fake.pages.requests == []  # looking for them asks nobody
    seen: list[tuple[int, int | None]] = []
    file = hub.fetch(TAG, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(WEIGHTS), len(WEIGHTS))
    for choice in (TAG, f"{TAG}.safetensors", "auto"):
        found = find_weights("test_resnet", choice, tmp_path)
        assert found is not None
        assert (found.path, found.name, found.sha256) == (
            file,
            f"{TAG}.safetensors",
            hashlib.sha256(WEIGHTS).hexdigest(),
        )
    assert found.origin == {"repository": f"timm/{TAG}", "revision": REVISION}
    features = TimmBackbones("test_resnet", 64, TAG, tmp_path).features([16])
    assert features.net.conv1[0].weight.equal(load(WEIGHTS)["conv1.0.weight"])


def test_dropped_connections_are_resumed(fake: FakeHub) -> None:
    fake.offer(TAG, WEIGHTS, Answer(WEIGHTS, sends=2 * CHUNK + 1), Answer(WEIGHTS))
    assert hub.fetch(TAG).read_bytes() == WEIGHTS
    assert fake.cdn.ranges == [None, f"bytes={2 * CHUNK}-"]


def test_wrong_bytes_are_refused_and_leave_nothing(fake: FakeHub) -> None:
    wrong = WEIGHTS[:-1] + b"x"
    fake.offer(TAG, WEIGHTS, Answer(wrong), Answer(WEIGHTS))
    with pytest.raises(HubError, match=r"SHA-256.*weights fetch"):
        hub.fetch(TAG)
    assert hub.cached(TAG) is None
    assert hub.fetch(TAG).read_bytes() == WEIGHTS
