"""Fetching a dataset: download, check and unpack, or use archives supplied by the user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datasets import DatasetError
from datasets.fetching.fetch import fetch
from datasets.readers.folder import Folder
from datasets.release import Archive
from tests.helpers.fakes.fake_archives import GOOD, WRONG, Get, RecordingDisplay, mini, whole
from tests.helpers.fakes.file_server import Answer, FileServer


def test_a_dataset_is_downloaded_checked_and_unpacked(tmp_path: Path, server: FileServer, get: Get) -> None:
    reader = mini(server.serve("/mini", Answer(GOOD)), size=len(GOOD))
    notes = get(reader)
    assert whole(tmp_path / "data")
    assert notes.steps[-1][0] == "unpacking mini.tar.gz"
    assert ("mini.tar.gz", len(GOOD), len(GOOD)) in notes.steps
    assert sorted(path.name for path in (tmp_path / "data" / ".downloads").iterdir()) == ["mini.lock", "mini.tar.gz"]
    get(reader)
    assert len(server.requests) == 1, "what is there is not fetched again"


def test_an_unpacked_dataset_that_was_deleted_is_unpacked_again_without_a_download(
    tmp_path: Path, server: FileServer, get: Get
) -> None:
    reader = mini(server.serve("/mini", Answer(GOOD)))
    get(reader)
    shutil.rmtree(tmp_path / "data" / "mini")
    get(reader)
    assert whole(tmp_path / "data")
    assert len(server.requests) == 1


def test_a_plain_file_is_put_where_it_belongs(tmp_path: Path, server: FileServer) -> None:
    labels = Archive("labels.mat", (server.serve("/labels", Answer(b"1 2 3")),), gives=("mini/devkit/labels.mat",))
    reader = type("Labels", (Folder,), {"folder": "mini", "archives": (labels,)})
    fetch("mini", reader, tmp_path, None, RecordingDisplay())
    assert (tmp_path / "mini" / "devkit" / "labels.mat").read_bytes() == b"1 2 3"
    fetch("mini", reader, tmp_path, None, RecordingDisplay())
    assert len(server.requests) == 1


# Supplied archives


@pytest.mark.parametrize("place", ["data", "data/.downloads", "usb"])
def test_a_supplied_archive_is_used(tmp_path: Path, get: Get, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "mini.tar.gz").write_bytes(GOOD)
    notes = get(mini(), tmp_path / "usb" if place == "usb" else None)
    assert f"{tmp_path / place / 'mini.tar.gz'} is used" in notes.lines
    assert (tmp_path / place / "mini.tar.gz").exists(), "it is left where it was"
    assert (tmp_path / "data" / "mini" / "train" / "auk" / "1.png").exists()


def test_a_wrong_supplied_archive_is_named_and_not_changed(tmp_path: Path, server: FileServer, get: Get) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "mini.tar.gz").write_bytes(WRONG)
    notes = get(mini(server.serve("/mini", Answer(GOOD))), tmp_path / "usb")
    assert any("usb/mini.tar.gz is not used: has SHA-256" in line for line in notes.lines)
    assert (tmp_path / "usb" / "mini.tar.gz").read_bytes() == WRONG
    assert whole(tmp_path / "data")


def test_instructions_for_manual_archives_come_before_any_download(tmp_path: Path, server: FileServer) -> None:
    open_to_all = Archive("open.tar", (server.serve("/open", Answer(GOOD)),), gives=("open",))
    reader = type("Half", (Folder,), {"archives": (open_to_all, *mini().archives), "by_hand": "ask the authors"})
    with pytest.raises(DatasetError, match=r"ask the authors \(looked for mini.tar.gz in .*\.downloads, "):
        fetch("half", reader, tmp_path, None, RecordingDisplay())
    assert server.requests == []


def test_a_reader_without_archives_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mine has nothing to fetch; it needs no files"):
        fetch("mine", Folder, tmp_path, None, RecordingDisplay())
