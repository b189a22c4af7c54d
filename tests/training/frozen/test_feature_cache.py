"""Kept features: whole or not there, never wrong, and no reason for a Run to fail."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.training.frozen import feature_cache
from benchmarks.training.frozen.feature_cache import FeatureCache, Kept
from results import files
from tests.helpers.small_training import small_run

RUN = small_run("plain:linear_probe")
KEPT = Kept(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), 0.5, "a device")


def cache_of(folder: Path, name: str = "", **changes: Any) -> FeatureCache:
    """Of three images; each `name` is another set of features."""
    return FeatureCache(RUN.model_copy(update=changes), {"images": name}, 3, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features"


def is_kept(cache: FeatureCache) -> bool:
    """Whether what is read is what was written. Anything else but nothing is an error."""
    found = cache.read()
    if found is None:
        return False
    assert torch.equal(found.features, KEPT.features)
    assert found[1:] == KEPT[1:]
    return True


# ---- what is in the file


def test_what_was_kept_is_read_bit_for_bit(folder: Path) -> None:
    assert not is_kept(cache_of(folder))
    assert cache_of(folder).write(KEPT) is None
    assert is_kept(cache_of(folder))
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o644]


@pytest.mark.parametrize(
    "changes",
    [
        {"revision": 7},
        {"backbone": "resnet18"},
        {"backbone_options": {"drop_rate": 0.1}},
        {"image_size": 31},
        {"precision": "bf16"},
        {"name": "other images"},
    ],
    ids=str,
)
def test_other_settings_have_another_file(folder: Path, changes: dict[str, Any]) -> None:
    recipe = RUN.recipe.model_copy(update={"image_size": changes.pop("image_size", RUN.recipe.image_size)})
    cache_of(folder).write(KEPT)
    assert not is_kept(cache_of(folder, **{"recipe": recipe, **changes}))


def with_seconds(text: str) -> Callable[[bytes], bytes]:
    return lambda whole: whole.replace(b'"seconds_per_image": "0.5"', f'"seconds_per_image": "{text}"'.encode())


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"features\n",
    "cut off": lambda whole: whole[:-1],
    "a byte more": lambda whole: whole + b"\0",
    "endless header": lambda whole: b"\xff" * 7 + b"\x7f" + whole[8:],
    "no text in the header": lambda whole: whole[:8] + b"\xff\xfe" + whole[10:],
    **{f"{text} seconds": with_seconds(text) for text in ("nan", "inf", "-.5", "0.0", "xyz")},
}
TENSORS = {
    "other tensors": {"weights": KEPT.features},
    "half precision": {"features": KEPT.features.half()},
    "other images": {"features": KEPT.features[:2].clone()},
    "another sum": {"features": KEPT.features + 1},
}
PATHS: dict[str, Callable[[Path], object]] = {
    "without metadata": lambda path: save_file({"features": KEPT.features}, path),
    "pipe": os.mkfifo,
    "dangling link": lambda path: path.symlink_to(path.parent / "nothing"),
}


def damage(kind: str, path: Path, whole: bytes) -> None:
    """Puts something else in the place of a file that had these bytes."""
    if kind in BYTES:
        path.write_bytes(BYTES[kind](whole))
    elif kind in TENSORS:
        about = {"key": cache_of(path.parent).key, "checksum": "0", "seconds_per_image": "1", "device": "x"}
        save_file(TENSORS[kind], path, about)
    else:
        PATHS[kind](path)


@pytest.mark.parametrize("kind", [*BYTES, *TENSORS, *PATHS])
def test_what_is_damaged_or_no_features_is_not_there_and_is_replaced(folder: Path, kind: str) -> None:
    cache = cache_of(folder)
    assert cache.write(KEPT) is None
    whole = cache.path.read_bytes()
    cache.path.unlink()
    damage(kind, cache.path, whole)
    assert cache.read() is None
    assert cache.write(KEPT) is None
    assert is_kept(cache)


def test_no_changed_byte_of_a_file_gives_other_features(folder: Path) -> None:
    cache = cache_of(folder)
    cache.write(KEPT)
    whole = cache.path.read_bytes()
    seen = 0
    for place in range(len(whole)):
        cache.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        found = cache.read()
        if found is not None:  # spaces of the header, and what is said of time and device
            assert torch.equal(found.features, KEPT.features)
            seen += 1
    assert seen < 60


# ---- the disk


def test_a_folder_in_the_way_is_told_in_a_line(folder: Path) -> None:
    cache = cache_of(folder)
    cache.path.mkdir(parents=True)
    assert cache.read() is None
    assert cache.write(KEPT) == f"{cache.path}: features can't be kept for later (Is a directory)"
    assert not list(files.unfinished(folder))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_can_t_be_written_is_told_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    said = cache_of(folder).write(KEPT)
    assert said is not None
    assert said.endswith(f"features can't be kept for later ({os.strerror(number)})")


def test_a_disk_that_fills_while_they_are_written_keeps_what_is_there(folder: Path) -> None:
    cache_of(folder, "other").write(KEPT)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))  # as on a full disk
    try:
        said = cache_of(folder).write(Kept(torch.zeros(3, 10_000), 0.5, "a device"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert said is not None
    assert said.endswith("features can't be kept for later (File too large)")
    assert [path.name for path in folder.iterdir()] == [cache_of(folder, "other").path.name]


def test_nothing_is_removed_for_features_that_the_disk_has_no_room_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cache_of(folder, "old")
    old.write(KEPT)
    large = Kept(torch.zeros(3, 90), 0.5, "a device")
    monkeypatch.setattr(feature_cache, "LARGEST", large.features.nbytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert old.path.stat().st_size < 2 * large.features.nbytes
    assert cache_of(folder).write(large) == f"{folder}: is too full to keep features for later"
    assert is_kept(old)


# ---- what is used for long, and what is not ours


def used(cache: FeatureCache, seconds: int) -> FeatureCache:
    """Kept, and used at that time."""
    assert cache.write(KEPT) is None
    os.utime(cache.path, (seconds, seconds))
    return cache


def test_the_longest_unused_make_room_and_reading_is_a_use(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, unused, late = (used(cache_of(folder, str(time)), time) for time in (1, 2, 3))
    assert is_kept(read)
    monkeypatch.setattr(feature_cache, "LARGEST", int(2.5 * late.path.stat().st_size))
    new = cache_of(folder, "new")
    assert new.write(KEPT) is None
    assert not unused.path.exists()
    assert all(is_kept(one) for one in (read, late, new))


def test_what_is_not_ours_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used(cache_of(folder), 1)
    others = [folder / "resnet50.safetensors", folder / "notes.txt", folder / "a-0123456789abcdef.safetensors.bak"]
    for path in others:
        path.write_bytes(bytes(1000))
        os.utime(path, (0, 0))
    monkeypatch.setattr(feature_cache, "LARGEST", KEPT.features.nbytes)
    assert cache_of(folder, "new").write(KEPT) is None
    assert {*folder.iterdir()} == {*others, cache_of(folder, "new").path}


# ---- other processes


def in_process(work: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("forkserver").Process(target=work, args=arguments)
    process.start()
    return process


def write_and_die(folder: Path) -> None:
    """Is killed when the file is written, and not yet in its place."""
    os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    cache_of(folder).write(KEPT)


def test_what_a_killed_writer_left_is_swept_by_the_next_one(folder: Path) -> None:
    process = in_process(write_and_die, folder)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(files.unfinished(folder))) == 1
    assert not is_kept(cache_of(folder))
    assert cache_of(folder, "other").write(KEPT) is None
    assert [path.name for path in folder.iterdir()] == [cache_of(folder, "other").path.name]


def test_what_another_process_is_writing_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    path = cache_of(folder).path
    part = folder / f".{path.name}.k3v9x_a1.safetensors"
    part.write_bytes(bytes(1000))
    os.utime(part, (0, 0))
    monkeypatch.setattr(feature_cache, "LARGEST", KEPT.features.nbytes)
    with part.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert cache_of(folder, "other").write(KEPT) is None
        assert part.exists()


def write_often(folder: Path) -> None:
    for _ in range(50):
        assert cache_of(folder).write(KEPT) is None


def test_while_two_write_a_third_reads_all_or_nothing(folder: Path) -> None:
    writers = [in_process(write_often, folder) for _ in range(2)]
    found = 0
    while any(writer.is_alive() for writer in writers):
        found += is_kept(cache_of(folder))
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert found
    assert is_kept(cache_of(folder))
    assert len(list(folder.iterdir())) == 1
