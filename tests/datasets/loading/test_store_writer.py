"""Building a store: incomplete stores are never used, no work is lost, processes may build at once."""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import shutil
import time
from collections import namedtuple
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import joblib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.interface import DatasetError
from datasets.loading import store_writer
from datasets.loading.store import open_store
from tests.helpers.fakes.fake_dataset import Noise

FORK = multiprocessing.get_context("fork")
"""Real processes without the cost of loading torch again."""
SIZE = 48


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def entries(cache: Path) -> list[str]:
    """Entries of the cache besides locks."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def unfinished(cache: Path) -> Path:
    (folder,) = cache.glob("*.unfinished")
    return folder


def start(cache: Path, dataset: Noise, **options: Any) -> BaseProcess:
    process = FORK.Process(target=open_store, args=(dataset, SIZE, "short_side", cache), kwargs=options)
    process.start()
    return process


# Kills


def test_a_store_is_the_same_however_often_its_build_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    dataset = Noise(300, delay=0.05, log=tmp_path / "log")
    cache = tmp_path / "cache"
    chance = random.Random(0)
    kills = kept = 0

    def never_end(done: int, total: int) -> None:
        if done >= 250:
            time.sleep(600)

    while kills < 12 or kept == 0:
        process = start(cache, dataset, on_progress=never_end)
        process.join(chance.uniform(0, 0.3))
        assert process.exitcode is None
        process.kill()
        process.join()
        kills += 1
        if cache.exists() and list(cache.glob("*.unfinished/table.bin")):
            assert len(store_writer.read_table(unfinished(cache))) >= kept
            kept = len(store_writer.read_table(unfinished(cache)))
    assert kept < 300
    before = dataset.drawn
    dataset.delay = 0
    store = open_store(dataset, SIZE, "short_side", cache)
    assert dataset.drawn - before == 300 - kept
    store.verify()
    assert entries(cache) == [store.folder.name]
    assert content(store.folder) == content(open_store(Noise(300), SIZE, "short_side", tmp_path / "other").folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_store(Noise(8), SIZE, "short_side", tmp_path_factory.mktemp("whole")).folder


def torn(original: bytes) -> st.SearchStrategy[bytes]:
    """What a power cut may leave of a file: all of it, or its beginning, followed by nothing, zeros or garbage."""
    kept = st.integers(0, len(original))
    return st.one_of(
        st.just(original),
        kept.map(lambda end: original[:end]),
        kept.map(lambda end: original[:end] + bytes(len(original) - end)),
        st.tuples(kept, st.binary(min_size=1, max_size=40)).map(lambda cut: original[: cut[0]] + cut[1]),
    )


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_build_resumes_from_anything_a_power_cut_left(tmp_path: Path, whole: Path, data: st.DataObject) -> None:
    left = tmp_path / (whole.name + ".unfinished")
    shutil.rmtree(tmp_path / whole.name, ignore_errors=True)
    shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(whole, left)
    for name in ("pixels.bin", "table.bin"):
        (left / name).write_bytes(data.draw(torn((whole / name).read_bytes()), name))
    assert content(open_store(Noise(8), SIZE, "short_side", tmp_path).folder) == content(whole)


@pytest.mark.parametrize("file", ["pixels.bin", "table.bin", "store.json"])
@pytest.mark.parametrize("left_of_it", [0, 1, 20, None])
def test_an_unfinished_folder_may_lack_anything(tmp_path: Path, whole: Path, file: str, left_of_it: int | None) -> None:
    left = tmp_path / (whole.name + ".unfinished")
    shutil.copytree(whole, left)
    (left / file).unlink()
    if left_of_it is not None:
        (left / file).write_bytes((whole / file).read_bytes()[:left_of_it])
    assert content(open_store(Noise(8), SIZE, "short_side", tmp_path).folder) == content(whole)


def test_an_unfinished_store_of_another_key_is_replaced(tmp_path: Path, whole: Path) -> None:
    left = tmp_path / (whole.name + ".unfinished")
    shutil.copytree(whole, left)
    record = json.loads((left / "store.json").read_text())
    (left / "store.json").write_text(json.dumps({"key": record["key"] | {"content": "of another dataset"}}))
    dataset = Noise(8, log=tmp_path / "log")
    open_store(dataset, SIZE, "short_side", tmp_path)
    assert dataset.drawn == 8


# Several processes


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    dataset = Noise(60, delay=0.02, log=tmp_path / "log")
    receiver, sender = FORK.Pipe(duplex=False)
    first = start(tmp_path / "cache", dataset, on_progress=lambda done, total: sender.send(done))
    assert receiver.poll(60)
    second = start(tmp_path / "cache", dataset)
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert dataset.drawn == 60
    assert len(entries(tmp_path / "cache")) == 1


def test_a_process_that_waited_for_a_killed_build_resumes_it(tmp_path: Path) -> None:
    dataset = Noise(60, log=tmp_path / "log")
    receiver, sender = FORK.Pipe(duplex=False)

    def stop_at_ten(done: int, total: int) -> None:
        if done == 10:
            sender.send(done)
            time.sleep(600)

    first = start(tmp_path / "cache", dataset, on_progress=stop_at_ten)
    assert receiver.poll(60)
    second = start(tmp_path / "cache", dataset)
    first.kill()
    first.join()
    second.join(60)
    assert second.exitcode == 0
    assert dataset.drawn <= 60 + store_writer.AHEAD * joblib.cpu_count()
    open_store(dataset, SIZE, "short_side", tmp_path / "cache").verify()


# Faults


def test_a_bad_image_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"3.png is truncated"):
        open_store(Noise(bad=3), 8, "squash", tmp_path)
    assert entries(tmp_path) == []
    assert len(open_store(Noise(), 8, "squash", tmp_path)) == 6


def test_a_cache_that_cant_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"can't be written there \(.*\); free some space or name another folder"):
        open_store(Noise(), 8, "squash", tmp_path / "file" / "cache")


def test_a_build_resumes_after_the_disk_was_full(tmp_path: Path) -> None:
    """Simulated by a limit on the size of files, which also lets part of an image through."""
    dataset = Noise(40, log=tmp_path / "log")
    receiver, sender = FORK.Pipe(duplex=False)

    def build_in_little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            open_store(dataset, SIZE, "short_side", tmp_path / "cache")
        except DatasetError as error:
            sender.send(str(error))

    process = FORK.Process(target=build_in_little_space)
    process.start()
    process.join(60)
    assert receiver.poll()
    assert "the decoded images can't be written there (File too large); free some space or name" in receiver.recv()
    kept = len(store_writer.read_table(unfinished(tmp_path / "cache")))
    assert 15 < kept < 25  # of 7 to 12 kB each
    before = dataset.drawn
    store = open_store(dataset, SIZE, "short_side", tmp_path / "cache")
    assert dataset.drawn - before == 40 - kept
    assert content(store.folder) == content(open_store(Noise(40), SIZE, "short_side", tmp_path / "other").folder)


Usage = namedtuple("Usage", "total used free")


def test_a_build_that_wont_fit_is_refused_before_it_writes_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 1000 * 3 * 100 * 100
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed, 0, needed // 2))
    dataset = Noise(1000, log=tmp_path / "log")
    with pytest.raises(DatasetError, match=r"\(0.03 GB are needed, 0.01 GB are free\); free some space or name"):
        open_store(dataset, 100, "squash", tmp_path / "cache")
    assert dataset.drawn <= store_writer.AHEAD * joblib.cpu_count()
    assert (unfinished(tmp_path / "cache") / "pixels.bin").stat().st_size == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed, 0, needed))
    open_store(dataset, 100, "squash", tmp_path / "cache")


def test_the_space_check_uses_the_real_size_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough space for 40 squares, but these images are longer."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 40 * 3 * SIZE * SIZE))
    monkeypatch.setattr(store_writer, "SPACE_CHECK", 4)
    with pytest.raises(DatasetError, match=r"GB are needed, .* GB are free"):
        open_store(Noise(40), SIZE, "short_side", tmp_path)
    assert len(store_writer.read_table(unfinished(tmp_path))) == 4


def test_few_decoded_images_wait_to_be_written(tmp_path: Path) -> None:
    dataset = Noise(100, log=tmp_path / "log")
    waiting = []
    open_store(dataset, 8, "squash", tmp_path, lambda done, total: waiting.append(dataset.drawn - done))
    assert max(waiting) <= store_writer.AHEAD * joblib.cpu_count()
