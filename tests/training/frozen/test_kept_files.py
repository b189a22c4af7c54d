"""The list of kept features, and which of them may go."""

from __future__ import annotations

import fcntl
import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.training.frozen.feature_cache import Kept
from benchmarks.training.frozen.kept_files import kept_files, remove, superfluous
from tests.training.frozen.test_feature_cache import KEPT, cache_of

YEAR = timedelta(days=365)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of each kind one file, and some that are not ours."""
    for name in ("old", "new"):
        assert cache_of(tmp_path, name).write(KEPT) is None
    os.utime(cache_of(tmp_path, "old").path, (5, 5))
    save_file({"features": torch.zeros(2, 2)}, tmp_path / "birds-resnet18-0123456789abcdef.safetensors")
    (tmp_path / "birds-resnet18-fedcba9876543210.safetensors").write_bytes(b"{")
    (tmp_path / ".birds-resnet18-fedcba9876543210.safetensors.k3v9x_a1.safetensors").write_bytes(bytes(10))
    (tmp_path / "resnet18.safetensors").write_bytes(bytes(10))
    return tmp_path


def states(folder: Path) -> list[str]:
    return sorted(file.state for file in kept_files(folder))


def test_every_file_of_ours_is_listed_the_longest_unused_first(folder: Path) -> None:
    found = kept_files(folder)
    assert states(folder) == ["features", "features", "outdated", "outdated", "unfinished"]
    assert found[0].path == cache_of(folder, "old").path
    assert found[0].last_used.timestamp() == 5
    assert found[0].bytes == found[0].path.stat().st_size


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert kept_files(tmp_path / "none") == []


def test_the_unused_the_outdated_and_the_unfinished_go(folder: Path) -> None:
    for file in superfluous(kept_files(folder), YEAR):
        assert remove(file)
    assert {*folder.iterdir()} == {cache_of(folder, "new").path, folder / "resnet18.safetensors"}
    for file in superfluous(kept_files(folder), timedelta(0)):
        assert remove(file)
    assert states(folder) == []


def test_what_is_being_written_stays(folder: Path) -> None:
    (part,) = [file for file in kept_files(folder) if file.state == "unfinished"]
    with part.path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert not remove(part)
    assert remove(part)


def test_features_that_are_removed_while_a_run_has_them_stay_what_they_are(folder: Path) -> None:
    cache = cache_of(folder, "large")
    features = torch.randn(3, 100_000)
    assert cache.write(Kept(features, 1.0, "a device")) is None
    kept = cache.read()
    assert kept is not None
    for file in kept_files(folder):
        remove(file)
    assert torch.equal(kept.features, features)
