"""The command `data fetch`."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

import datasets
from benchmarks.cli.views.displays import FetchDisplay
from benchmarks.console import PlainConsole
from datasets.readers.cub_200_2011 import CUB
from datasets.release import Expected
from tests.helpers.fakes.file_server import Answer, FileServer
from tests.helpers.small_folders import CUB_NAMES


def test_fetch_gets_opens_and_checks_a_dataset(root: Path, fgbench: Callable[..., tuple[int, str]]) -> None:
    code, said = fgbench("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 0
    assert "/cub" in said, "it says where it comes from"
    assert "no reference known" in said
    assert len(datasets.open_dataset("cub_200_2011", root)) == len(CUB_NAMES)
    assert fgbench("data", "fetch", "CUB_200_2011", "--data-root", root)[0] == 0, "its folder's name is its own too"


def test_fetch_fails_if_the_counts_are_not_those_published(
    root: Path, fgbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=4, test=3))
    code, said = fgbench("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 1
    assert "train: 3, 4 were expected" in said


def test_fetch_takes_an_archive_from_a_folder(
    root: Path, server: FileServer, tmp_path: Path, fgbench: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "CUB_200_2011.tgz").write_bytes(server.answers["/cub"][0].body)
    assert fgbench("data", "fetch", "cub_200_2011", "--data", root, "--from", tmp_path / "usb")[0] == 0
    assert server.requests == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["cub_2011"], 2, "did you mean 'cub_200_2011'?"),
        (
            ["nabirds"],
            2,
            "it leads to nabirds.tar.gz (looked for nabirds.tar.gz in ",
        ),
        (["nabirds", "--from", "nowhere"], 2, "no such folder (--from)"),
        (["cub_200_2011"], 1, "HTTP 404"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    root: Path, server: FileServer, refused: Callable[..., tuple[int, str]], words: list[str], code: int, message: str
) -> None:
    server.serve("/cub", Answer(status=404))
    ended, said = refused("data", "fetch", *words, "--data", root)
    assert ended == code
    assert message in said


def test_an_existing_incomplete_folder_is_named_and_not_changed(
    root: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    (root / "CUB_200_2011").mkdir(parents=True)
    code, said = refused("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 2
    assert f"to fetch everything anew, move {root / 'CUB_200_2011'} away first" in said


@pytest.mark.usefixtures("interrupted_download")
def test_after_ctrl_c_the_same_command_resumes(
    root: Path, server: FileServer, fgbench: Callable[..., tuple[int, str]]
) -> None:
    code, said = fgbench("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 130
    assert "the same command resumes the download" in said
    assert not (root / "CUB_200_2011").exists()
    assert fgbench("data", "fetch", "cub_200_2011", "--data", root)[0] == 0
    assert server.ranges[0] is None
    assert server.ranges[1] is not None


def test_the_bar_shows_one_thing_at_a_time() -> None:
    display = FetchDisplay(PlainConsole(file=io.StringIO(), force_terminal=True))
    with display:
        display.bytes("a[b].tgz", 500, 1000)
        display.bytes("a[b].tgz", 700, 1000)
        display.bytes("unpacking a[b].tgz", 1, None)
        (task,) = display.tasks
        assert (task.completed, task.total) == (1, None)
