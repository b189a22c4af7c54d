"""The cache: stores are listed with their state; nothing that isn't ours or is in use is removed."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from datasets.loading import store
from datasets.loading.cache import CachedStore, remove, stores, superfluous
from datasets.loading.store import Store, open_store
from tests.helpers.fakes.fake_dataset import Noise

DAY = timedelta(days=1)


def age(store: Store, days: float) -> None:
    """Sets the time of last use."""
    then = time.time() - days * DAY.total_seconds()
    for path in (*store.folder.iterdir(), store.folder):
        os.utime(path, (then, then))


def leave_unfinished(store: Store) -> None:
    """The state after a build that was killed before the final rename."""
    store.folder.rename(store.folder.with_name(store.folder.name + ".unfinished"))


def states(cache: Path) -> dict[str, str]:
    """Size in pixels -> state."""
    return {store.folder.name.split("-")[1]: store.state for store in stores(cache)}


def test_stores_are_listed_with_state_size_and_last_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(open_store(Noise(), 8, "squash", tmp_path), 3)
    leave_unfinished(open_store(Noise(), 9, "short_side", tmp_path))
    monkeypatch.setattr(store, "FORMAT", store.FORMAT - 1)
    age(open_store(Noise(), 10, "squash", tmp_path), 5)
    assert states(tmp_path) == {"10": "outdated", "8": "whole", "9": "unfinished"}
    oldest, middle, newest = stores(tmp_path)
    assert (oldest.folder.name[:9], middle.folder.name[:7], newest.folder.name[:7]) == (
        "noise-10-",
        "noise-8",
        "noise-9",
    )
    assert middle.bytes == sum(path.stat().st_size for path in middle.folder.iterdir())
    assert middle.bytes > 6 * 3 * 8 * 8
    assert abs(datetime.now(UTC) - 3 * DAY - middle.last_used) < timedelta(minutes=5)


def test_opening_a_store_counts_as_use(tmp_path: Path) -> None:
    age(open_store(Noise(), 8, "squash", tmp_path), 30)
    assert superfluous(stores(tmp_path), unused=7 * DAY) == stores(tmp_path)
    open_store(Noise(), 8, "squash", tmp_path)
    assert superfluous(stores(tmp_path), unused=7 * DAY) == []


def test_outdated_and_long_unused_stores_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(open_store(Noise(), 8, "squash", tmp_path), 30)
    open_store(Noise(), 9, "squash", tmp_path)
    leave_unfinished(open_store(Noise(), 10, "squash", tmp_path))
    damaged = open_store(Noise(), 11, "squash", tmp_path)
    (damaged.folder / "store.json").write_text("[1]")
    monkeypatch.setattr(store, "FORMAT", store.FORMAT - 1)
    open_store(Noise(), 12, "squash", tmp_path)
    removed = remove(superfluous(stores(tmp_path), unused=7 * DAY))
    assert {store.folder.name.split("-")[1] for store in removed} == {"8", "11", "12"}
    assert states(tmp_path) == {"9": "whole", "10": "unfinished"}


def test_other_folders_are_neither_listed_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "holiday-2024").mkdir()
    (tmp_path / "noise-8-squash").mkdir()
    (tmp_path / ("noise-8-squash-" + "0" * 16)).write_text("a file")
    assert stores(tmp_path) == []
    assert stores(tmp_path / "missing") == []


@pytest.mark.parametrize("whole", [True, False])
def test_a_store_that_is_being_built_is_kept(tmp_path: Path, whole: bool) -> None:
    store = open_store(Noise(), 8, "squash", tmp_path)
    if not whole:
        leave_unfinished(store)
    with FileLock(store.folder.with_name(store.folder.name + ".lock")):
        assert remove(stores(tmp_path)) == []
    assert len(stores(tmp_path)) == 1
    assert len(remove(stores(tmp_path))) == 1
    assert stores(tmp_path) == []


def test_a_build_that_finished_since_it_was_listed_is_kept(tmp_path: Path) -> None:
    store = open_store(Noise(), 8, "squash", tmp_path)
    leave_unfinished(store)
    listed = stores(tmp_path)
    open_store(Noise(), 8, "squash", tmp_path)
    assert remove(listed) == []
    assert states(tmp_path) == {"8": "whole"}


def test_an_open_store_keeps_its_pixels_when_it_is_removed(tmp_path: Path) -> None:
    store = open_store(Noise(), 8, "squash", tmp_path)
    rows = np.arange(6)
    before = store.images(rows)[0].clone()
    removed: list[CachedStore] = remove(stores(tmp_path))
    assert [entry.folder for entry in removed] == [store.folder]
    assert torch.equal(store.images(rows)[0], before)
    assert json.dumps(states(tmp_path)) == "{}"
