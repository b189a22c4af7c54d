"""Files are whole or not there, nothing is written through a link, and what killed writers left is swept."""

from __future__ import annotations

import fcntl
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from results.errors import ResultsError
from results.files import make_folder, sweep, write_whole


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim.txt"
    path.write_text("precious", encoding="utf-8")
    return path


def test_a_file_is_written_in_the_place_of_a_link_and_not_through_it(tmp_path: Path, victim: Path) -> None:
    link = tmp_path / "record.json"
    link.symlink_to(victim)
    write_whole(link, lambda file: file.write_text("new", encoding="utf-8"))
    assert link.read_text(encoding="utf-8") == "new"
    assert not link.is_symlink()
    assert victim.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("target", ["elsewhere", "nowhere", "results/run"])
def test_a_folder_that_is_a_link_is_refused(target: str, tmp_path: Path) -> None:
    root = tmp_path / "results"
    root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (root / "run").symlink_to(tmp_path / target)
    for name in ("run", "run/gallery"):
        with pytest.raises(ResultsError, match=r"run\S*: (is a link|can't be made)"):
            make_folder(root, name, "--results")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_results_folder_may_be_a_link_that_the_user_made(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    assert make_folder(tmp_path / "results", "run/gallery", "--results").is_dir()


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultsError):
        make_folder(tmp_path / "results", "../elsewhere", "--results")


def test_unfinished_files_are_swept_but_not_those_of_a_living_writer_nor_others(tmp_path: Path, victim: Path) -> None:
    below = tmp_path / "run"
    below.mkdir()
    left = below / ".weights.safetensors.abcd_123.safetensors"
    living = below / ".history.csv.abcd1234.csv"
    others = [below / ".lock", below / ".progress.json", below / "record.json", below / ".notes.txt.old"]
    for path in (left, living, *others):
        path.write_text("x", encoding="utf-8")
    link = below / ".record.json.abcd1234.json"
    link.symlink_to(victim)
    with living.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert not left.exists()
        assert living.exists()
    sweep(tmp_path)
    assert not living.exists()
    assert all(path.exists() for path in (*others, victim))


def test_a_sweep_during_a_write_does_no_harm(tmp_path: Path) -> None:
    def write(file: Path) -> None:
        file.write_text("whole", encoding="utf-8")
        sweep(tmp_path)

    write_whole(tmp_path / "record.json", write)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_file_that_is_swept_before_it_is_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, swept = tempfile.mkstemp, list[str]()

    def swept_at_first(**named: Any) -> tuple[int, str]:
        handle, name = begin(**named)
        if not swept:
            sweep(tmp_path)
            swept.append(name)
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", swept_at_first)
    write_whole(tmp_path / "record.json", lambda file: file.write_text("whole", encoding="utf-8"))
    assert swept
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_file_that_its_writer_put_in_the_place_of_the_first_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors writes under a name of its own, and renames."""
    flush = os.fsync

    def swept_at_last(handle: int) -> None:
        sweep(tmp_path)
        flush(handle)

    monkeypatch.setattr(os, "fsync", swept_at_last)
    write_whole(tmp_path / "weights.safetensors", lambda file: save_file({"weight": torch.zeros(3)}, file))
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_torch_does_not_say_why_a_file_is_not_written_so_the_system_is_asked(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))  # as on a full disk
    try:
        with pytest.raises(ResultsError, match=r"File too large.*; free space"):
            write_whole(tmp_path / "checkpoint.pt", lambda file: torch.save({"weights": torch.zeros(10**5)}, file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
