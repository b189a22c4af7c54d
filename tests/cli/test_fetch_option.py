"""`--fetch`: one command gets what is lacking, trains and reports; without it, the plan has a shopping list."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli.displays import FetchDisplay
from datasets.readers.cub_200_2011 import CUB
from datasets.release import Archive
from results.store import ResultStore
from tests.helpers.file_server import Answer, FileServer

Command = Callable[..., tuple[int, str]]
SMALL = [
    word
    for key, value in {
        "image_size": 32,
        "stored_size": 32,
        "batch_size": 2,
        "epochs": 1,
        "validation": 0,
        "pretrained": "none",
    }.items()
    for word in ("--set", f"{key}={value}")
]


@pytest.fixture
def reproduce(root: Path, tmp_path: Path) -> list[object]:
    """Words that train one seed of a method by its paper's recipe, in an epoch of tiny images of three classes."""
    where = ["--data", root, "--results", tmp_path / "results", "--device", "cpu", "--in-process"]
    return ["reproduce", "plain", "--backbone", "test_resnet", "--seeds", "1", *SMALL, *where]


def test_one_command_gets_the_data_trains_and_reports_and_resumes_after_ctrl_c(
    reproduce: list[object], fgbench: Command, server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = server.answers["/cub"][0].body
    server.serve("/cub", Answer(body, sends=3000, stalls=True), Answer(body))
    hear = FetchDisplay.bytes

    def interrupted(self: FetchDisplay, what: str, done: int, total: int | None) -> None:
        hear(self, what, done, total)
        if len(server.requests) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(FetchDisplay, "bytes", interrupted)
    code, said = fgbench(*reproduce, "--fetch")
    assert (code, "the same command resumes the download" in said) == (130, True)
    assert said.index("terms of use: non-commercial research") < said.index("CUB_200_2011.tgz from"), "before it begins"

    code, said = fgbench(*reproduce, "--fetch")
    assert (code, "Report: " in said) == (0, True)
    assert server.ranges[1] is not None, "resumed"
    (record,) = ResultStore(tmp_path / "results").records()
    assert (record.status, record.run.dataset) == ("done", "cub_200_2011")
    assert "to get:" not in fgbench(*reproduce, "--dry-run")[1]


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--fetch", "--dry-run"]], ids=["", "dry", "dry with fetch"])
def test_nothing_is_fetched_unless_asked(
    words: list[str], reproduce: list[object], fgbench: Command, refused: Command, server: FileServer
) -> None:
    if words:
        assert "into " in fgbench(*reproduce, *words)[1]
    else:
        code, said = refused(*reproduce)
        assert (code, "the same command gets with --fetch" in said) == (2, True)
    assert server.requests == []


def test_what_needs_a_form_is_refused_with_its_page_before_anything_is_fetched(
    root: Path, fgbench: Command, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CUB, "archives", (*CUB.archives, Archive("form.zip", gives=("CUB_200_2011/form",))))
    monkeypatch.setattr(CUB, "by_hand", "fill in the form at https://example.org/form")
    words = ["--methods", "plain", "--dataset", "cub_200_2011", "--backbone", "test_resnet", *SMALL, "--data", root]
    with pytest.raises(Exception, match="cub_200_2011 can't be fetched; the lines above say"):
        fgbench("compare", *words, "--fetch", "--results", tmp_path / "results")
    assert server.requests == []
    said = fgbench("reproduce", "plain", "--backbone", "test_resnet", *SMALL, "--data", root, "--dry-run")[1]
    assert f"by hand: fill in the form at https://example.org/form\n    into {root}" in said
