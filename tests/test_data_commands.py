"""`data list`, `data fetch` and `data verify` as a user meets them."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import signal
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import datasets
import run_all
from benchmarks import data, data_commands, terminal
from benchmarks.plan import Place
from datasets import Dataset, DatasetError, open_dataset
from datasets import verify as verifying
from datasets.archives import Archive, Expected
from datasets.cub_200_2011 import CUB
from datasets.folder import Folder
from datasets.storage import open_store
from datasets.verify import verify
from tests.file_server import Answer, FileServer, file_server

NAMES = ("001.Auk/a.jpg", "001.Auk/b.jpg", "002.Coot/a.jpg", "002.Coot/b.jpg", "003.Owl/a.jpg", "003.Owl/b.jpg")


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    """Three classes in CUB's layout, two images each, the first for training."""
    folder = tmp_path / "made" / "CUB_200_2011"
    for number, name in enumerate(NAMES):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    tables = {
        "images.txt": [f"{number} {name}" for number, name in enumerate(NAMES, start=1)],
        "image_class_labels.txt": [f"{number} {int(name[:3])}" for number, name in enumerate(NAMES, start=1)],
        "train_test_split.txt": [f"{number} {number % 2}" for number in range(1, len(NAMES) + 1)],
        "classes.txt": ["1 001.Auk", "2 002.Coot", "3 003.Owl"],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        yield files


@pytest.fixture
def root(cub: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root; CUB's reader gets its archive, three classes small, from the test's own server."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(cub, "CUB_200_2011")
    content = stream.getvalue()
    stated = Archive(
        "CUB_200_2011.tgz",
        (server.serve("/cub", Answer(content)),),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        gives=("CUB_200_2011",),
    )
    monkeypatch.setattr(CUB, "archives", (stated,))
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    return tmp_path / "data"


@pytest.fixture
def fgbench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """A command in this process: exit code, and what was printed."""

    def run(*words: object) -> tuple[int, str]:
        stream = io.StringIO()
        console = Console(file=stream, width=120)
        monkeypatch.setattr(run_all, "console", console)
        monkeypatch.setattr(terminal, "console", console)
        done = CliRunner().invoke(run_all.app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, stream.getvalue() + done.stdout

    return run


def opened(folder: Path, **options: object) -> Dataset:
    return datasets.open_dataset("cub_200_2011", folder.parent, options, complete=False)


def faults(dataset: Dataset) -> list[tuple[str, str]]:
    """Kind and file name (or words) of each."""
    found = verify(dataset, lambda done, total: None).faults
    return [(fault.kind, fault.what) for fault in found]


# data fetch


def test_fetch_gets_opens_and_checks_a_dataset(root: Path, fgbench: Callable[..., tuple[int, str]]) -> None:
    code, said = fgbench("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 0
    assert "/cub" in said, "it says where it comes from"
    assert "no reference known" in said
    assert len(datasets.open_dataset("cub_200_2011", root)) == len(NAMES)
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


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Exit code and the one line of a command that can't be done."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["run_all.py", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            run_all.main()
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1
        assert isinstance(ended.value.code, int)
        return ended.value.code, said

    return run


def test_what_cannot_be_fetched_is_said_in_one_line_with_exit_code_2(
    tmp_path: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    code, said = refused("data", "fetch", "cub_2011", "--data", tmp_path)
    assert code == 2
    assert "did you mean 'cub_200_2011'?" in said
    code, said = refused("data", "fetch", "nabirds", "--data", tmp_path)
    assert code == 2
    assert "fill in the form" in said
    assert "looked for nabirds.tar.gz" in said
    code, said = refused("data", "fetch", "nabirds", "--data", tmp_path, "--from", tmp_path / "nowhere")
    assert code == 2
    assert "no such folder (--from)" in said


def test_a_folder_that_is_there_and_incomplete_is_left_alone_and_named(
    root: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    (root / "CUB_200_2011").mkdir(parents=True)
    code, said = refused("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 2
    assert f"to fetch everything anew, move {root / 'CUB_200_2011'} away first" in said


def test_no_mirror_is_one_line_with_exit_code_1(
    root: Path, server: FileServer, refused: Callable[..., tuple[int, str]]
) -> None:
    server.serve("/cub", Answer(status=404))
    code, said = refused("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 1
    assert "HTTP 404" in said


def test_ctrl_c_leaves_a_part_that_the_same_command_goes_on_from(
    root: Path, server: FileServer, fgbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = server.answers["/cub"][0].body
    server.serve("/cub", Answer(body, sends=3000, stalls=True), Answer(body))
    hear = data.FetchDisplay.bytes

    def interrupted(self: data.FetchDisplay, what: str, done: int, total: int | None) -> None:
        hear(self, what, done, total)
        if len(server.requests) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(data.FetchDisplay, "bytes", interrupted)
    code, said = fgbench("data", "fetch", "cub_200_2011", "--data", root)
    assert code == 130
    assert "the same command goes on from there" in said
    assert not (root / "CUB_200_2011").exists()
    assert fgbench("data", "fetch", "cub_200_2011", "--data", root)[0] == 0
    assert server.ranges[0] is None
    assert server.ranges[1] is not None


def test_the_bar_shows_one_thing_at_a_time() -> None:
    display = data.FetchDisplay(Console(file=io.StringIO(), force_terminal=True))
    with display:
        display.bytes("a[b].tgz", 500, 1000)
        display.bytes("a[b].tgz", 700, 1000)
        display.bytes("unpacking a[b].tgz", 1, None)
        (task,) = display.progress.tasks
        assert (task.completed, task.total) == (1, None)


# data verify


def test_a_whole_dataset_has_no_fault(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    found = verify(opened(cub), lambda done, total: None)
    assert found.faults == ()
    assert (found.images, found.classes, found.train, found.test) == (6, 3, 3, 3)
    assert found.reference == "no reference known"


def test_images_are_read_by_the_cores_this_process_may_use(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: set[int] = set()
    monkeypatch.setattr(verifying, "usable_cores", lambda: 1)
    monkeypatch.setattr(verifying, "_image_fault", lambda dataset, row: readers.add(threading.get_ident()))
    verify(opened(cub), lambda done, total: None)
    assert len(readers) == 1


def test_every_missing_empty_damaged_and_extra_image_is_named(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    images = cub / "images"
    for gone in ("001.Auk/a.jpg", "003.Owl/b.jpg"):
        (images / gone).unlink()
    shutil.rmtree(images / "002.Coot")
    (images / "001.Auk/b.jpg").write_bytes(b"")
    (images / "003.Owl/a.jpg").write_bytes((images / "003.Owl/a.jpg").read_bytes()[:400])
    (images / "003.Owl/z.PNG").write_bytes(b"")
    for other in ("._a.jpg", "notes.txt"):
        (images / "003.Owl" / other).write_bytes(b"")
    assert faults(opened(cub)) == [
        ("missing", f"{images}/001.Auk/a.jpg is missing"),
        ("empty", f"{images}/001.Auk/b.jpg is empty"),
        ("missing", f"{images}/002.Coot/a.jpg is missing"),
        ("missing", f"{images}/002.Coot/b.jpg is missing"),
        ("damaged", f"{images}/003.Owl/a.jpg is truncated or not an image; restore it or remove it from the dataset"),
        ("missing", f"{images}/003.Owl/b.jpg is missing"),
        ("extra", f"{images}/003.Owl/z.PNG is in no line of the table"),
    ]


def test_images_that_a_persons_own_table_leaves_out_are_no_fault(tmp_path: Path, cub: Path) -> None:
    shutil.copytree(cub / "images", tmp_path / "own")
    lines = [f"{name},{name[:3]},{'train' if name.endswith('a.jpg') else 'test'}" for name in NAMES[:4]]
    (tmp_path / "own" / "images.csv").write_text("\n".join(["path,label,split", *lines]), encoding="utf-8")
    dataset = datasets.open_dataset("own", tmp_path)
    assert isinstance(dataset, Folder)
    assert faults(dataset) == []
    (tmp_path / "own" / NAMES[0]).unlink()
    (tmp_path / "own" / NAMES[2]).unlink()
    again = datasets.open_dataset("own", tmp_path, complete=False)
    assert [kind for kind, _ in faults(again)] == ["missing", "missing"]


def test_counts_and_split_are_compared_with_the_published_ones(cub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=200, train=3, test=4, split_sha256="0" * 64))
    found = verify(opened(cub), lambda done, total: None)
    assert found.reference == "differs"
    assert [fault.what for fault in found.faults] == [
        "classes: 3, 200 were expected",
        "test: 3, 4 were expected",
        f"split: SHA-256 {found.split_sha256}, {'0' * 64} was expected",
    ]
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3, split_sha256=found.split_sha256))
    assert verify(opened(cub), lambda done, total: None).reference == "as published"


def test_verify_tells_faults_line_by_line_or_as_json_with_exit_code_1(
    cub: Path, fgbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CUB, "expected", Expected(classes=3, train=3, test=3))
    words = ["data", "verify", "cub_200_2011", "--data", cub.parent]
    assert fgbench(*words)[0] == 0
    (cub / "images" / NAMES[0]).unlink()
    (cub / "images" / NAMES[1]).write_bytes(b"")
    code, said = fgbench(*words)
    assert code == 1
    assert f"{cub}/images/{NAMES[0]} is missing\n{cub}/images/{NAMES[1]} is empty\n" in said
    code, said = fgbench(*words, "--json")
    assert code == 1
    (row,) = json.loads(said)
    assert [fault["kind"] for fault in row["faults"]] == ["missing", "empty"]


def test_options_of_a_dataset_reach_verify(tmp_path: Path, fgbench: Callable[..., tuple[int, str]]) -> None:
    words = ["data", "verify", "synthetic", "--option", "classes=2", "--option", "train_per_class=3"]
    code, said = fgbench(*words, "--option", "test_per_class=1", "--json")
    assert code == 0
    assert json.loads(said)[0]["images"] == 8


def test_opening_a_dataset_names_the_first_missing_image_and_how_to_find_all(cub: Path) -> None:
    for name in NAMES[:3]:
        (cub / "images" / name).unlink()
    with pytest.raises(DatasetError, match=r"a.jpg is not on disk, nor are 2 others.*data verify cub_200_2011"):
        datasets.open_dataset("cub_200_2011", cub.parent)


# data list


def test_every_reader_is_listed_here_or_not_in_120_columns(
    root: Path, cub: Path, fgbench: Callable[..., tuple[int, str]]
) -> None:
    (root / "faulty" / "train").mkdir(parents=True)
    for words in (("data", "list"), ("list", "datasets")):
        code, said = fgbench(*words, "--data", root)
        assert code == 0
        assert max(len(line) for line in said.splitlines()) <= 120
        lines = {line.split()[1]: line for line in said.splitlines() if line.startswith("│ ")}
        assert "yes" in lines["synthetic"]
        assert "no; data fetch cub_200_2011" in lines["cub_200_2011"]
        assert "says how" in " ".join(said.split()), "NABirds wants a form filled in"
        assert "faulty" in lines["faulty"]
        assert {"nabirds", "webfg_496"} <= set(lines), "no name is cut"


def test_the_list_as_json_has_what_the_table_leaves_out(root: Path, cub: Path) -> None:
    absent = {row["name"]: row for row in data.rows(Place(root))}
    row = absent["cub_200_2011"]
    assert (row["here"], row["fetchable"], row["classes"], row["train"], row["test"]) == (False, True, 3, 3, 3)
    assert row["archive_bytes"] == CUB.archives[0].size
    assert row["terms"].startswith("non-commercial")
    assert absent["nabirds"]["by_hand"]
    assert not absent["nabirds"]["fetchable"]
    present = {row["name"]: row for row in data.rows(Place(cub.parent))}["cub_200_2011"]
    assert (present["here"], present["folder"], present["boxes"]) == (True, str(cub), False)
    assert len(present["split_sha256"]) == 64
    assert set(row) == set(present), "one set of columns"


def test_a_dataset_whose_boxes_cannot_be_read_does_not_keep_the_others_from_the_list(
    cub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: CUB) -> bool:
        raise DatasetError("line 3 is faulty")

    monkeypatch.setattr(CUB, "has_boxes", property(fail))
    rows = {row["name"]: row for row in data.rows(Place(cub.parent))}
    assert rows["cub_200_2011"]["problem"] == "line 3 is faulty"
    assert rows["synthetic"]["problem"] is None


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
