"""`--fetch`: one command gets what is lacking, trains and reports; without it, the plan has a shopping list."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli.views import shopping_list
from benchmarks.errors import UserError
from benchmarks.planning.shopping import Item
from datasets.readers.cub_200_2011 import CUB
from datasets.release import Archive
from methods import hub
from results.store import ResultStore
from tests.helpers.fakes.fake_hub import TAG, FakeHub
from tests.helpers.fakes.file_server import FileServer
from tests.helpers.small_suites import only_suite_with_numbers

Command = Callable[..., tuple[int, str]]
SMALL = [
    word
    for key, value in {
        "image_size": 32,
        "stored_size": 32,
        "batch_size": 2,
        "epochs": 1,
        "validation": 0,
    }.items()
    for word in ("--set", f"{key}={value}")
]


@pytest.fixture
def reproduce(root: Path, weights: FakeHub, tmp_path: Path) -> list[object]:
    """Words that train one seed of a method by its paper's recipe, in an epoch of tiny images of three classes."""
    where = ["--data", root, "--results", tmp_path / "results", "--device", "cpu", "--in-process"]
    return ["reproduce", "plain", "--backbone", "test_resnet", "--seeds", "1", *SMALL, *where]


@pytest.mark.usefixtures("interrupted_download")
def test_one_command_gets_data_and_weights_trains_and_reports_and_resumes_after_ctrl_c(
    reproduce: list[object],
    fgbench: Command,
    server: FileServer,
    weights: FakeHub,
    tmp_path: Path,
) -> None:
    code, said = fgbench(*reproduce, "--fetch")
    assert (code, "the same command gets what is still lacking" in said) == (130, True)
    assert said.index("terms of use: non-commercial research") < said.index("CUB_200_2011.tgz from"), "before it begins"

    code, said = fgbench(*reproduce, "--fetch")
    assert (code, "Report: " in said) == (0, True)
    assert server.ranges[1] is not None, "resumed"
    (record,) = ResultStore(tmp_path / "results").records()
    assert (record.status, record.run.dataset, record.run.pretrained) == ("done", "cub_200_2011", f"{TAG}.safetensors")
    assert len(weights.cdn.requests) == 1
    assert "to get:" not in fgbench(*reproduce, "--dry-run")[1]


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["--fetch", "--dry-run"]], ids=["", "dry", "dry with fetch"])
def test_nothing_is_fetched_unless_asked(
    words: list[str],
    reproduce: list[object],
    fgbench: Command,
    refused: Command,
    server: FileServer,
    weights: FakeHub,
) -> None:
    if words:
        listed = fgbench(*reproduce, *words)[1]
        assert all(name in listed for name in ("dataset cub_200_2011", f"weights {TAG}", str(hub.folder())))
    else:
        code, said = refused(*reproduce)
        assert (code, "the same command gets with --fetch" in said) == (2, True)
    assert server.requests == weights.pages.requests == []


def test_what_needs_a_form_is_refused_with_its_page_before_anything_is_fetched(
    root: Path,
    fgbench: Command,
    server: FileServer,
    weights: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CUB, "archives", (*CUB.archives, Archive("form.zip", gives=("CUB_200_2011/form",))))
    monkeypatch.setattr(CUB, "by_hand", "fill in the form at https://example.org/form")
    words = ["--methods", "plain", "--dataset", "cub_200_2011", "--backbone", "test_resnet", *SMALL, "--data", root]
    with pytest.raises(UserError, match="cub_200_2011 can't be fetched; the lines above say"):
        fgbench("compare", *words, "--fetch", "--results", tmp_path / "results")
    assert server.requests == weights.pages.requests == []
    said = fgbench("reproduce", "plain", "--backbone", "test_resnet", *SMALL, "--data", root, "--dry-run")[1]
    assert f"by hand: fill in the form at https://example.org/form\n    into {root}" in said


def test_what_is_got_by_hand_is_listed_with_the_option_for_its_folder_and_not_promised(
    root: Path, fgbench: Command, weights: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"methods": ["plain"], "backbones": ["test_resnet"], "seeds": 1}
    trained = [common | {"datasets": [name]} for name in ("cub_200_2011", "my_birds")]
    only_suite_with_numbers(monkeypatch, *trained)
    said = fgbench("reproduce", "all", "--only", "backbone=test_resnet", "--data", root, "--dry-run")[1]
    assert "dataset my_birds, size not known\n    by hand: images of your own" in said
    assert "the same command with --fetch in place of --dry-run gets 2 of them, then trains" in said
    mine = Item("weights", "mine", ("ask its authors",), None, None, "not known", fetchable=False)
    assert "    into the folder that you name with --weights or FGBENCH_WEIGHTS" in shopping_list.lines([mine])


def test_without_room_on_the_disk_nothing_is_fetched(
    reproduce: list[object],
    refused: Command,
    server: FileServer,
    weights: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 1000, 1000))
    code, said = refused(*reproduce, "--fetch")
    assert (code, "make room or name another folder" in said) == (2, True)
    assert server.requests == weights.pages.requests == []
