"""The decoded store: torchvision's pixels, one build per content, and nothing half built is ever taken for whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional

from datasets import storage
from datasets.interface import Dataset, DatasetError
from datasets.storage import default_cache, open_store

ROOT = Path(__file__).parents[1]


class Drawn(Dataset):
    """Noise of differing sizes; `delay` seconds an image stand for slow decoding."""

    title = "noise"

    def __init__(self, count: int = 6, seed: int = 0, delay: float = 0.0, bad: int | None = None) -> None:
        self.name = "drawn"
        self.classes = ("a", "b")
        self.paths = tuple(f"{number}.png" for number in range(count))
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.is_train = np.ones(count, dtype=bool)
        self.seed, self.delay, self.bad = seed, delay, bad

    def image(self, index: int) -> NDArray[np.uint8]:
        time.sleep(self.delay)
        if index == self.bad:
            raise DatasetError(f"{self.paths[index]} is truncated")
        height, width = (40, 50 + index) if index % 2 else (60 + index, 44)
        return np.random.default_rng([self.seed, index]).integers(0, 256, (height, width, 3), dtype=np.uint8)

    @property
    def content_key(self) -> dict[str, Any]:
        return {"seed": self.seed}


def resized(dataset: Dataset, index: int, size: list[int]) -> torch.Tensor:
    return functional.resize(torch.from_numpy(dataset.image(index)).permute(2, 0, 1), size, antialias=True)


def entries(cache: Path) -> list[str]:
    """What lies in the cache besides locks."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


# Pixels


def test_squashed_images_are_torchvisions_antialiased_resize(tmp_path: Path) -> None:
    dataset = Drawn()
    store = open_store(dataset, 32, "squash", tmp_path)
    images, sizes = store.images(np.array([4, 1]))
    assert len(store) == 6
    assert store.uniform
    assert store.smallest_side == 32
    assert sizes.tolist() == [[32, 32], [32, 32]]
    assert torch.equal(images, torch.stack([resized(dataset, index, [32, 32]) for index in (4, 1)]))


def test_short_side_keeps_the_aspect_and_pads_a_batch_with_zeros(tmp_path: Path) -> None:
    dataset = Drawn()
    store = open_store(dataset, 30, "short_side", tmp_path)
    images, sizes = store.images(np.array([1, 0, 3]))
    assert not store.uniform
    assert store.smallest_side == 30
    assert sizes.tolist() == [[30, 38], [40, 30], [30, 39]]
    assert images.shape == (3, 3, 40, 39)
    for image, (height, width), index in zip(images, sizes.tolist(), (1, 0, 3), strict=True):
        assert torch.equal(image[:, :height, :width], resized(dataset, index, [30]))
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()


def test_rows_moved_to_a_device_are_the_same_images(tmp_path: Path) -> None:
    for rule in ("squash", "short_side"):
        store = open_store(Drawn(), 30, rule, tmp_path)
        part = store.to("cpu", np.array([5, 2, 0]))
        images, sizes = part.images(np.array([1, 2]))
        expected, expected_sizes = store.images(np.array([2, 0]))
        assert torch.equal(images, expected)
        assert torch.equal(sizes, expected_sizes)
        part.verify()


# Identity


def test_an_open_store_is_not_built_again(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    open_store(Drawn(), 8, "squash", tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]
    open_store(Drawn(), 8, "squash", tmp_path, lambda done, total: calls.append((done, total)))
    assert len(calls) == 6


def test_whatever_decides_the_pixels_makes_another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reordered = Drawn()
    reordered.paths = reordered.paths[::-1]
    reordered.labels = reordered.labels[::-1]
    stores = [
        open_store(Drawn(), 8, "squash", tmp_path),
        open_store(Drawn(), 8, "short_side", tmp_path),
        open_store(Drawn(), 9, "squash", tmp_path),
        open_store(Drawn(seed=1), 8, "squash", tmp_path),
        open_store(Drawn(count=4), 8, "squash", tmp_path),
        open_store(reordered, 8, "squash", tmp_path),
    ]
    monkeypatch.setattr(storage, "FORMAT", storage.FORMAT + 1)
    stores.append(open_store(Drawn(), 8, "squash", tmp_path))
    assert len({store.folder for store in stores}) == len(stores)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert default_cache() == Path("/a")
    monkeypatch.delenv("FGBENCH_CACHE")
    assert default_cache() == Path("/b/fgbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "fgbench"


def test_a_size_or_rule_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for size, rule in ((0, "squash"), (8, "crop")):
        with pytest.raises(ValueError, match="size of at least 1 and a rule squash or short_side"):
            open_store(Drawn(), size, rule, tmp_path)  # type: ignore[arg-type]


# Damage


def test_a_bad_image_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"3.png is truncated"):
        open_store(Drawn(bad=3), 8, "squash", tmp_path)
    assert entries(tmp_path) == []
    assert len(open_store(Drawn(), 8, "squash", tmp_path)) == 6


@pytest.mark.parametrize("file", ["pixels.bin", "tables.npz", "store.json"])
@pytest.mark.parametrize("damage", ["shorter", "missing", "empty"])
def test_a_damaged_store_is_refused_with_what_to_do(tmp_path: Path, file: str, damage: str) -> None:
    path = open_store(Drawn(), 8, "squash", tmp_path).folder / file
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(whole[:-1] if damage == "shorter" else b"")
    with pytest.raises(DatasetError, match=r"drawn-8-squash-\w+ is damaged; delete this folder"):
        open_store(Drawn(), 8, "squash", tmp_path)
    shutil.rmtree(path.parent)
    open_store(Drawn(), 8, "squash", tmp_path).verify()


def test_tables_that_were_changed_are_refused(tmp_path: Path) -> None:
    folder = open_store(Drawn(), 8, "squash", tmp_path).folder
    record = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(record | {"tables": "0" * 64}))
    with pytest.raises(DatasetError, match="is damaged"):
        open_store(Drawn(), 8, "squash", tmp_path)


def test_verify_finds_one_changed_pixel(tmp_path: Path) -> None:
    store = open_store(Drawn(), 8, "squash", tmp_path)
    store.verify()
    with (store.folder / "pixels.bin").open("r+b") as file:
        file.seek(3 * 8 * 8 * 2 + 5)
        value = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([value ^ 1]))
    with pytest.raises(DatasetError, match="image 2 is damaged; delete this folder"):
        open_store(Drawn(), 8, "squash", tmp_path).verify()


def test_a_cache_that_cant_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"can't be written there \(.*\); free some space or name another folder"):
        open_store(Drawn(), 8, "squash", tmp_path / "file" / "cache")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def full(path: Path, *arguments: Any) -> Any:
        return real(Path("/dev/full"), *arguments) if path.name == "pixels.bin" else real(path, *arguments)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DatasetError, match=r"No space left on device\); free some space"):
        open_store(Drawn(), 8, "squash", tmp_path)
    assert entries(tmp_path) == []


# Several processes

BUILD = """
import sys
from pathlib import Path
from tests.test_storage import Drawn, open_store
count, delay = int(sys.argv[2]), float(sys.argv[3])
done = []
def progress(*numbers):
    done.append(numbers)
    print(*numbers, flush=True)
open_store(Drawn(count, delay=delay), 8, "squash", Path(sys.argv[1]), progress)
print("built" if done else "waited", flush=True)
"""


def start_build(cache: Path, count: int, delay: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(cache), str(count), str(delay)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)


def test_a_killed_build_is_not_taken_for_whole_and_is_built_anew(tmp_path: Path) -> None:
    with start_build(tmp_path, 40, 0.2) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1 40\n"
        process.send_signal(signal.SIGKILL)
    assert [name.endswith(".unfinished") for name in entries(tmp_path)] == [True]
    store = open_store(Drawn(40), 8, "squash", tmp_path)
    store.verify()
    assert len(store) == 40
    assert entries(tmp_path) == [store.folder.name]


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    processes = [start_build(tmp_path, 20, 0.1) for _ in range(2)]
    outcomes = [process.communicate(timeout=120)[0].split()[-1] for process in processes]
    assert sorted(outcomes) == ["built", "waited"]
    assert len(entries(tmp_path)) == 1
