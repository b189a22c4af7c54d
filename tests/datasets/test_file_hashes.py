"""Hashes of files: remembered while a file stays as it is, and a replaced file is always noticed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from datasets import file_hashes
from datasets.file_hashes import difference, hash_content, hash_files

LONG_AGO = 1_000_000_000


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three files."""
    found = {name: tmp_path / "files" / name for name in ("a", "b", "c d")}
    (tmp_path / "files").mkdir()
    for name, path in found.items():
        path.write_text(f"content of {name}", encoding="utf-8")
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files had lain there for long."""
    monkeypatch.setattr(file_hashes, "SETTLED_NS", -(10**18))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_each_file_has_the_hash_of_its_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    for _ in range(2):
        assert hash_files(files, tmp_path / "cache") == {name: sha256(path) for name, path in files.items()}
    assert hash_files({}, tmp_path / "cache") == {}


@pytest.mark.usefixtures("settled")
def test_a_file_that_has_not_changed_is_not_read_again(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hash_files(files, tmp_path)
    files["b"].write_text("other", encoding="utf-8")
    read: list[str] = []
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *rest, **more: read.append(path.name) or opened(path, *rest, **more))
    second = hash_files(files, tmp_path)
    assert [name for name in read if name in files] == ["b"]
    assert second == first | {"b": sha256(files["b"])}


@pytest.mark.usefixtures("settled")
def test_a_replaced_file_of_the_same_size_and_time_is_noticed(files: dict[str, Path], tmp_path: Path) -> None:
    os.utime(files["a"], (LONG_AGO, LONG_AGO))
    first = hash_files(files, tmp_path)
    other = tmp_path / "other"
    other.write_text("CONTENT of a", encoding="utf-8")
    os.utime(other, (LONG_AGO, LONG_AGO))
    other.replace(files["a"])
    assert hash_files(files, tmp_path)["a"] == sha256(files["a"]) != first["a"]


def test_a_file_that_was_written_just_now_is_not_remembered(files: dict[str, Path], tmp_path: Path) -> None:
    hash_files(files, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.json")), "it could change again within the tick of the clock"


@pytest.mark.usefixtures("settled")
def test_a_damaged_memory_is_made_anew(files: dict[str, Path], tmp_path: Path) -> None:
    first = hash_files(files, tmp_path / "cache")
    (memory,) = (tmp_path / "cache").rglob("*.json")
    for text in ("{", "3", '{"a": 3}', "[" * 9999):
        memory.write_text(text, encoding="utf-8")
        assert hash_files(files, tmp_path / "cache") == first


def test_without_a_cache_everything_is_read(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("", encoding="utf-8")
    hashes = hash_files(files, tmp_path / "occupied")
    assert hashes == {name: sha256(path) for name, path in files.items()}
    assert hash_content(hashes, tmp_path / "occupied") == hash_content(hashes, tmp_path)


def test_a_content_does_not_depend_on_the_order_and_its_differences_are_told(
    files: dict[str, Path], tmp_path: Path
) -> None:
    hashes = hash_files(files, tmp_path)
    content = hash_content(hashes, tmp_path)
    assert hash_content(dict(reversed(hashes.items())), tmp_path) == content
    assert difference(content, hashes, tmp_path) == []
    now = {"a": hashes["a"], "b": "0" * 64, "e": hashes["c d"]}
    assert hash_content(now, tmp_path) != content
    assert difference(content, now, tmp_path) == ["b", "c d", "e"]
    assert difference("0" * 64, now, tmp_path) is None, "a content that was never seen here"
