"""Weights of the Hugging Face Hub: fetched when asked, checked, found by their tags, and refused in one line."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from safetensors.torch import load

from methods import hub, hub_download
from methods.backbones import TimmBackbones
from methods.errors import HubError, MissingWeights
from methods.weight_files import find_weights
from tests.helpers.fakes.fake_hub import CHUNK, REVISION, TAG, FakeHub, weights_of
from tests.helpers.fakes.file_server import Answer

WEIGHTS = weights_of()


def test_fetched_weights_are_found_by_tag_and_by_file_name_and_fill_the_network(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    with pytest.raises(MissingWeights):
        find_weights("test_resnet", TAG, tmp_path)
    assert fake.pages.requests == []  # looking for them asks nobody
    seen: list[tuple[int, int | None]] = []
    file = hub_download.fetch(TAG, lambda done, total: seen.append((done, total)))
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
    assert hub_download.fetch(TAG).read_bytes() == WEIGHTS
    assert fake.cdn.ranges == [None, f"bytes={2 * CHUNK}-"]


def test_wrong_bytes_are_refused_and_leave_nothing(fake: FakeHub) -> None:
    wrong = WEIGHTS[:-1] + b"x"
    fake.offer(TAG, WEIGHTS, Answer(wrong), Answer(WEIGHTS))
    with pytest.raises(HubError, match=r"SHA-256.*weights fetch"):
        hub_download.fetch(TAG)
    assert hub.cached(TAG) is None
    assert hub_download.fetch(TAG).read_bytes() == WEIGHTS


def test_a_damaged_file_of_the_cache_is_removed_and_fetched_anew(fake: FakeHub) -> None:
    fake.offer(TAG, WEIGHTS)
    file = hub_download.fetch(TAG)
    file.resolve().write_bytes(WEIGHTS[:-1] + b"x")
    with pytest.raises(HubError, match="damaged"):
        hub_download.fetch(TAG)
    assert hub_download.fetch(TAG).read_bytes() == WEIGHTS


def test_what_is_here_is_kept_until_another_is_asked_for(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    before = hub_download.fetch(TAG)
    newer, commit = WEIGHTS[:-1] + b"x", "2" * 40
    fake.offer(TAG, newer, revision=commit)
    fake.pages.requests.clear()
    assert hub_download.fetch(TAG) == before
    assert fake.pages.requests == [], "the network is not asked"
    assert hub_download.upstream(TAG).revision == commit
    after = hub_download.fetch(TAG, renew=True)
    assert (after.read_bytes(), hub.revision(after), hub.revision(before)) == (newer, commit, REVISION)
    found = find_weights("test_resnet", TAG, tmp_path)
    assert found is not None
    assert found.path == after


def test_a_token_is_sent_to_the_hub_alone(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.offer(TAG, WEIGHTS, token="secret")
    with pytest.raises(HubError, match=r"HTTP 401.*HF_TOKEN"):
        hub_download.fetch(TAG)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert hub_download.fetch(TAG).read_bytes() == WEIGHTS
    assert "Authorization" not in fake.cdn.headers[-1]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"accept its terms.*HF_TOKEN"),
        (403, "HF_TOKEN"),
        (404, r"HTTP 404.*\.safetensors \(about 2 MB\)"),
        (410, "410"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(fake: FakeHub, status: int, words: str) -> None:
    fake.refuse(TAG, status)
    with pytest.raises(HubError, match=words) as refused:
        hub_download.fetch(TAG)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{TAG}: ")


def test_without_network_the_line_names_file_folder_and_size(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = r"put test_resnet\.r160_in1k\.safetensors \(about 2 MB\) into the folder of --weights"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=f"HF_HUB_OFFLINE.*{by_hand}"):
        hub_download.fetch(TAG)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    closed = "http://127.0.0.1:9/{repo_id}/{revision}/{filename}"  # a port that nobody listens on
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", closed)
    with pytest.raises(HubError, match=f"can't be fetched.*{by_hand}"):
        hub_download.fetch(TAG)


def test_a_full_disk_is_told_before_anything_is_downloaded(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.offer(TAG, WEIGHTS)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(HubError, match=r"needs 2 MB in .*hub, 1 MB are free.*HF_HOME"):
        hub_download.fetch(TAG)
    assert fake.cdn.requests == []


def test_a_cache_that_cannot_be_written_is_told(fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.offer(TAG, WEIGHTS)
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(HubError, match=r"can't be stored in .*file/hub \(Not a directory\).*HF_HOME"):
        hub_download.fetch(TAG)


def test_weights_without_safetensors_on_the_hub_are_named_with_their_address(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"download https://.*gcvit_base.*\.pth.*gcvit_base\.in1k\.pth"):
        hub_download.fetch("gcvit_base.in1k")
    with pytest.raises(MissingWeights, match=r"download https://.*gcvit_base\.in1k\.pth"):
        find_weights("gcvit_base", "gcvit_base.in1k", tmp_path)


def test_missing_weights_are_named_with_size_command_and_what_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "resnet18.pth").touch()
    with pytest.raises(MissingWeights) as lacking:
        find_weights("resnet18", "resnet18.tv_in1k", tmp_path)
    said = str(lacking.value)
    assert lacking.value.tag == "resnet18.tv_in1k"
    assert "weights fetch resnet18.tv_in1k gets it (about 47 MB)" in said
    assert f"put resnet18.tv_in1k.safetensors into {tmp_path}" in said
    assert "--set pretrained=resnet18.pth takes another" in said


def test_a_file_of_the_folder_goes_before_the_cache(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    hub_download.fetch(TAG)
    mine = tmp_path / f"{TAG}.safetensors"
    mine.write_bytes(WEIGHTS)
    found = find_weights("test_resnet", TAG, tmp_path)
    assert found is not None
    assert (found.path, found.origin) == (mine, {})


@pytest.mark.parametrize("stated", [{"X-Repo-Commit": "../../../here"}, {"X-Linked-Etag": '"../../../here"'}])
def test_what_a_hub_states_is_no_path(fake: FakeHub, tmp_path: Path, stated: dict[str, str]) -> None:
    fake.offer(TAG, WEIGHTS)
    for (answer,) in fake.pages.answers.values():
        answer.headers |= stated
    with pytest.raises(HubError, match="no commit or no SHA-256"):
        hub_download.fetch(TAG)
    assert list(tmp_path.rglob("*here*")) == []


@pytest.mark.parametrize("stated", [{"X-Repo-Commit": "../../../here"}, {"X-Linked-Etag": f'"{4 * "../"}here"'}])
def test_a_hub_that_states_a_path_once_it_was_trusted_is_not_asked_again(
    fake: FakeHub, tmp_path: Path, stated: dict[str, str]
) -> None:
    fake.offer(TAG, WEIGHTS)
    for answers in fake.pages.answers.values():
        answers.append(replace(answers[0], headers=answers[0].headers | stated))
    assert hub_download.fetch(TAG).read_bytes() == WEIGHTS
    assert len(fake.pages.requests) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


def test_a_file_beyond_the_cache_is_never_removed(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    file, mine = hub_download.fetch(TAG), tmp_path / ("0" * 64)
    mine.write_bytes(WEIGHTS)
    file.unlink()
    file.symlink_to(mine)
    with pytest.raises(HubError, match="damaged"):
        hub_download.fetch(TAG)
    assert (mine.exists(), file.is_symlink()) == (True, False)


def test_a_cache_whose_newest_revision_is_unreadable_has_no_weights_until_they_are_fetched_anew(fake: FakeHub) -> None:
    fake.offer(TAG, WEIGHTS)
    (hub_download.fetch(TAG).parents[2] / "refs" / "main").write_bytes(b"\xff")
    assert hub.cached(TAG) is None
    assert hub_download.fetch(TAG) == hub.cached(TAG)
