"""`data list` and `data cache` as a user meets them."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.cli import data_commands, data_rows
from benchmarks.environment import Environment
from benchmarks.planning import recipes
from datasets import DatasetError, open_dataset
from datasets.loading.store import open_store
from datasets.readers.cub_200_2011 import CUB


def test_every_reader_is_listed_here_or_not_in_120_columns(
    root: Path, cub: Path, fgbench: Callable[..., tuple[int, str]]
) -> None:
    (root / "faulty" / "train").mkdir(parents=True)
    for words in (("data", "list"), ("list", "datasets")):
        code, said = fgbench(*words, "--data", root)
        assert code == 0
        assert max(len(line) for line in said.splitlines() if not line.startswith("faulty: ")) <= 120
        lines = {line.split()[0]: line for line in said.splitlines() if not line.startswith(" ")}
        assert " yes " in lines["synthetic"]
        assert " no, 0.0 GB " in lines["cub_200_2011"]
        assert " no, by hand " in lines["nabirds"], "it wants a form filled in"
        assert " faulty " in lines["faulty"]
        assert any(line.startswith("faulty: ") for line in said.splitlines()), "what is wrong"
        assert {"nabirds", "webfg_496"} <= set(lines), "no name is cut"


def test_the_list_as_json_has_what_the_table_leaves_out(root: Path, cub: Path) -> None:
    absent = {row["name"]: row for row in data_rows.rows(Environment(root))}
    row = absent["cub_200_2011"]
    assert (row["here"], row["fetchable"], row["classes"], row["train"], row["test"]) == (False, True, 3, 3, 3)
    assert row["archive_bytes"] == CUB.archives[0].size
    assert row["terms"].startswith("non-commercial")
    assert absent["nabirds"]["by_hand"]
    assert not absent["nabirds"]["fetchable"]
    present = {row["name"]: row for row in data_rows.rows(Environment(cub.parent))}["cub_200_2011"]
    assert (present["here"], present["folder"], present["boxes"]) == (True, str(cub), False)
    assert len(present["split_sha256"]) == 64
    assert set(row) == set(present), "one set of columns"


def test_a_dataset_whose_boxes_cannot_be_read_does_not_keep_the_others_from_the_list(
    cub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: CUB) -> bool:
        raise DatasetError("line 3 is faulty")

    monkeypatch.setattr(CUB, "has_boxes", property(fail))
    rows = {row["name"]: row for row in data_rows.rows(Environment(cub.parent))}
    assert rows["cub_200_2011"]["problem"] == "line 3 is faulty"
    assert rows["synthetic"]["problem"] is None


@pytest.mark.parametrize(
    ("words", "store", "said"),
    [
        ((), "cub_200_2011-{common}-squash", "px, squash: the common recipe, which compare reads"),
        (("--for", "bilinear_cnn"), "cub_200_2011-448-short_side", "the paper's recipe of bilinear_cnn, which repr"),
        (("--for", "bilinear_cnn:hawkeye"), "cub_200_2011-512-short_side", "recipe of bilinear_cnn:hawkeye"),
        (("--for", "bilinear_cnn", "--resize", "squash"), "cub_200_2011-448-squash", "448 px, squash"),
        (("--size", "9"), "cub_200_2011-9-squash", "9 px, squash: as asked for"),
    ],
)
def test_prepare_stores_images_as_a_recipe_does(
    cub: Path, fgbench: Callable[..., tuple[int, str]], words: tuple[str, ...], store: str, said: str
) -> None:
    code, printed = fgbench("data", "prepare", "cub_200_2011", *words, "--data", cub.parent)
    assert code == 0
    assert store.format(common=recipes.common()["stored_size"]) in printed
    assert said in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--for", "bcn"), "bilinear_cnn"), (("--for", "plain", "--size", "9"), "leave out --for or --size")],
)
def test_prepare_for_no_method_or_two_sizes_is_told(
    cub: Path, refused: Callable[..., tuple[int, str]], words: tuple[str, ...], message: str
) -> None:
    code, said = refused("data", "prepare", "cub_200_2011", *words, "--data", cub.parent)
    assert code == 2
    assert message in said


def test_cache_lists_stores_and_removes_those_nobody_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))
    store = open_store(open_dataset("synthetic", options={"classes": 2, "train_per_class": 1}), 16, "squash")
    data_commands.cache(remove_unused=None, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["store"], row["state"]) == (store.folder.name, "whole")
    data_commands.cache(remove_unused=0, as_json=False)
    assert not store.folder.exists()


def test_cache_lists_compiled_code_and_removes_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))
    code = tmp_path / "compiled" / "fxgraph" / "graph"
    code.parent.mkdir(parents=True)
    code.write_bytes(bytes(3_000_000))
    os.utime(code, (0, 0))
    data_commands.cache(remove_unused=None, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row == {"store": "compiled", "state": "code", "MB": 3, "last used": "1970-01-01 00:00"}
    data_commands.cache(remove_unused=30, as_json=False)
    assert "removed 3 MB of compiled code" in capsys.readouterr().out
    assert not code.exists()


def test_cache_lists_features_of_frozen_networks_and_removes_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))
    old, other = (tmp_path / "features" / f"birds-resnet18-{number * 16}.safetensors" for number in "01")
    old.parent.mkdir()
    for file in (old, other):
        save_file({"features": torch.zeros(1000, 500)}, file, {"format": "2"})
    os.utime(old, (0, 0))
    data_commands.cache(remove_unused=None, as_json=True)
    first, _ = json.loads(capsys.readouterr().out)
    assert first == {"store": old.name, "state": "features", "MB": 2, "last used": "1970-01-01 00:00"}
    data_commands.cache(remove_unused=30, as_json=False)
    assert f"removed {old}" in " ".join(capsys.readouterr().out.split())  # a long path stands on a line of its own
    assert not old.exists()
    assert other.exists()


def test_a_store_that_cannot_be_removed_is_named_and_the_others_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., tuple[int, str]]
) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))
    birds = open_dataset("synthetic", options={"classes": 2, "train_per_class": 1, "test_per_class": 1})
    others, own = (open_store(birds, size, "squash").folder for size in (16, 17))
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == others:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    code, said = refused("data", "cache", "--remove-unused", "0")
    assert code == 2
    assert f"can't be removed: {others} (Permission denied)" in said
    assert others.exists()
    assert not own.exists()
