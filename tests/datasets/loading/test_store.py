"""The decoded store: torchvision's pixels, one store per content, damage is detected."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional

from datasets import open_dataset
from datasets.cache_folder import default_cache
from datasets.interface import Dataset, DatasetError
from datasets.loading import store
from datasets.loading.feed import Feed
from datasets.loading.sources import open_source
from datasets.loading.store import ResizeRule, Store, open_store
from results.settings import FeedMode
from tests.helpers.fakes.fake_dataset import Noise
from tests.helpers.small_folders import small_cub


def resized(dataset: Dataset, index: int, size: list[int]) -> torch.Tensor:
    return functional.resize(torch.from_numpy(dataset.image(index)).permute(2, 0, 1), size, antialias=True)


# Pixels


def test_squashed_images_are_torchvisions_antialiased_resize(tmp_path: Path) -> None:
    dataset = Noise()
    store = open_store(dataset, 32, "squash", tmp_path)
    images, sizes = store.images(np.array([4, 1]))
    assert len(store) == 6
    assert store.uniform
    assert sizes.tolist() == [[32, 32], [32, 32]]
    assert torch.equal(images, torch.stack([resized(dataset, index, [32, 32]) for index in (4, 1)]))


def test_short_side_keeps_the_aspect_and_pads_a_batch_with_zeros(tmp_path: Path) -> None:
    dataset = Noise()
    store = open_store(dataset, 30, "short_side", tmp_path)
    images, sizes = store.images(np.array([1, 0, 3]))
    assert not store.uniform
    assert sizes.tolist() == [[30, 38], [40, 30], [30, 39]]
    assert images.shape == (3, 3, 40, 39)
    for image, (height, width), index in zip(images, sizes.tolist(), (1, 0, 3), strict=True):
        assert torch.equal(image[:, :height, :width], resized(dataset, index, [30]))
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()


def test_rows_moved_to_a_device_are_the_same_images(tmp_path: Path) -> None:
    for rule in ("squash", "short_side"):
        store = open_store(Noise(), 30, rule, tmp_path)
        part = store.to("cpu", np.array([5, 2, 0]))
        images, sizes = part.images(np.array([1, 2]))
        expected, expected_sizes = store.images(np.array([2, 0]))
        assert torch.equal(images, expected)
        assert torch.equal(sizes, expected_sizes)
        part.verify()


# Identity


def test_an_existing_store_is_not_rebuilt(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    open_store(Noise(), 8, "squash", tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]
    open_store(Noise(), 8, "squash", tmp_path, lambda done, total: calls.append((done, total)))
    assert len(calls) == 6


def test_anything_that_determines_the_pixels_leads_to_another_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reordered = Noise()
    reordered.paths = reordered.paths[::-1]
    reordered.labels = reordered.labels[::-1]
    stores = [
        open_store(Noise(), 8, "squash", tmp_path),
        open_store(Noise(), 8, "short_side", tmp_path),
        open_store(Noise(), 9, "squash", tmp_path),
        open_store(Noise(seed=1), 8, "squash", tmp_path),
        open_store(Noise(count=4), 8, "squash", tmp_path),
        open_store(reordered, 8, "squash", tmp_path),
    ]
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    stores.append(open_store(Noise(), 8, "squash", tmp_path))
    assert len({store.folder for store in stores}) == len(stores)


def test_a_store_belongs_to_the_bytes_of_the_images_not_to_their_names_times_or_root(tmp_path: Path) -> None:
    small_cub(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for file in (tmp_path / "b").rglob("*.jpg"):
        os.utime(file, (0, 0))

    def store_of(root: str) -> Store:
        return open_store(open_dataset("cub_200_2011", tmp_path / root), 8, "squash", tmp_path / "cache")

    first = store_of("a")
    assert store_of("b").folder == first.folder
    image, other = sorted((tmp_path / "b").rglob("*.jpg"))[:2]
    shutil.copy2(other, image)
    assert store_of("b").folder != first.folder
    assert not torch.equal(store_of("b").image(0), first.image(0))


def test_images_that_are_replaced_while_they_are_decoded_leave_no_store(tmp_path: Path) -> None:
    dataset = open_dataset("cub_200_2011", small_cub(tmp_path).parent)
    first, second = sorted(tmp_path.rglob("*.jpg"))[:2]
    progress: list[int] = []

    def replace(done: int, total: int | None) -> None:
        progress.append(done)
        if done == 1:
            shutil.copy(second, first)

    with pytest.raises(DatasetError, match="images of cub_200_2011 were replaced while they were read"):
        open_store(dataset, 8, "squash", tmp_path / "cache", replace)
    assert progress[-1] == len(dataset)
    assert not list((tmp_path / "cache").glob("cub*squash*[0-9a-f]"))


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
            open_store(Noise(), size, rule, tmp_path)  # type: ignore[arg-type]


# Damage


ANY_FILE = {"missing": lambda content: None, "empty": lambda content: b"", "shorter": lambda content: content[:-1]}
DAMAGE = [
    *((file, damage) for file in ("pixels.bin", "table.bin", "store.json") for damage in ANY_FILE.values()),
    *(("store.json", lambda _, text=text: text) for text in (b"[]", b"{}", b'{"key": 1}', b"null", b"[" * 9999)),
    *(("table.bin", lambda content, byte=byte: with_another_bit(content, byte)) for byte in (0, 4, 8)),
]


@pytest.mark.parametrize(("file", "damage"), DAMAGE)
def test_a_damaged_store_is_refused_with_what_to_do(
    tmp_path: Path, file: str, damage: Callable[[bytes], bytes | None]
) -> None:
    path = open_store(Noise(), 8, "squash", tmp_path).folder / file
    damaged = damage(path.read_bytes())
    path.unlink()
    if damaged is not None:
        path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"noise-8-squash-\w+: .*it was removed: run again to make it anew"):
        open_store(Noise(), 8, "squash", tmp_path)
    open_store(Noise(), 8, "squash", tmp_path).verify()


def in_batches(store: Store) -> list[torch.Tensor]:
    return [store.images(rows)[0] for rows in np.array_split(np.arange(len(store)), 3)]


READ: dict[str, Callable[[Store], object]] = {
    "batches": in_batches,
    "one by one": lambda store: [store.image(row) for row in range(len(store))],
    "copied": lambda store: store.to("cpu", np.arange(len(store))),
    "verified": Store.verify,
}


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("rule", ["squash", "short_side"])
@pytest.mark.parametrize("row", [0, 17, 39])
def test_one_changed_bit_is_noticed_whichever_way_its_image_is_read(
    tmp_path: Path, read: Callable[[Store], object], rule: ResizeRule, row: int
) -> None:
    whole = open_store(Noise(40), 8, rule, tmp_path)
    change_a_bit(whole.folder / "pixels.bin", int(whole.offsets[row + 1]) - 1)
    with pytest.raises(DatasetError, match=rf"its image of {row}\.png is damaged; it was removed: run again"):
        read(open_store(Noise(40), 8, rule, tmp_path))
    read(open_store(Noise(40), 8, rule, tmp_path))  # made anew


@pytest.mark.parametrize("feed_mode", ["resident", "pinned", "mapped"])
def test_no_feed_mode_trains_on_a_damaged_image(tmp_path: Path, feed_mode: FeedMode) -> None:
    whole = open_store(Noise(40), 8, "squash", tmp_path)
    change_a_bit(whole.folder / "pixels.bin", 23 * 3 * 8 * 8)

    def train() -> None:
        source = open_source(Noise(40), 8, "squash", torch.device("cpu"), feed_mode, tmp_path)
        list(Feed(source, np.arange(40), Noise(40).labels, 4).batches(0))

    with pytest.raises(DatasetError, match=r"its image of 23\.png is damaged"):
        train()


def test_an_image_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_store(Noise(40), 8, "squash", tmp_path)
    checked: list[int] = []
    checksum = store.checksum
    monkeypatch.setattr(store, "checksum", lambda image: checked.append(len(image)) or checksum(image))
    for _ in range(3):
        in_batches(opened)
        opened.to("cpu", np.arange(40)).image(7)
    assert len(checked) == 40


def test_a_damaged_store_in_a_cache_of_others_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_store(Noise(), 8, "squash", tmp_path)
    change_a_bit(opened.folder / "pixels.bin", 0)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(store, "discard", refuse)
    with pytest.raises(DatasetError, match=r"image of 0\.png is damaged; delete this folder and run again"):
        opened.verify()
    assert opened.folder.exists()


@pytest.mark.parametrize("suffix", ["", ".unfinished"])
def test_a_file_in_place_of_a_store_gives_way(tmp_path: Path, suffix: str) -> None:
    folder = open_store(Noise(), 8, "squash", cache=tmp_path).folder
    shutil.rmtree(folder)
    folder.with_name(folder.name + suffix).write_text("in the way")
    if not suffix:
        with pytest.raises(DatasetError, match="it was removed: run again to make it anew"):
            open_store(Noise(), 8, "squash", cache=tmp_path)
    assert len(open_store(Noise(), 8, "squash", cache=tmp_path)) == 6


def test_a_store_that_may_not_be_read_is_not_called_damaged_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_store(Noise(), 8, "squash", tmp_path).folder

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "read_table", refuse)
    with pytest.raises(DatasetError, match=r"can't be read \(Permission denied\); set FGBENCH_CACHE"):
        open_store(Noise(), 8, "squash", tmp_path)
    assert folder.exists()


def with_another_bit(content: bytes, byte: int) -> bytes:
    return content[:byte] + bytes([content[byte] ^ 1]) + content[byte + 1 :]


def change_a_bit(path: Path, byte: int) -> None:
    content = with_another_bit(path.read_bytes(), byte)
    with path.open("r+b") as file:  # in place, as a failing disk does
        file.write(content)


def test_a_store_remembers_when_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = open_store(Noise(), 8, "squash", tmp_path).folder / "store.json"
    os.utime(record, (0, 0))
    open_store(Noise(), 8, "squash", tmp_path)
    assert record.stat().st_mtime > 0

    def refuse(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "utime", refuse)  # a cache that belongs to somebody else
    open_store(Noise(), 8, "squash", tmp_path).verify()


class Thin(Noise):
    """One of its images is 20 000 × 1 pixels."""

    def image(self, index: int) -> NDArray[np.uint8]:
        return np.zeros((1, 20_000, 3), dtype=np.uint8) if index == 3 else super().image(index)


@pytest.mark.parametrize("rule", ["short_side", "squash"])
@pytest.mark.parametrize("feed", ["mapped", "streamed"])
def test_an_image_too_thin_to_be_resized_is_named_before_memory_is_taken(
    tmp_path: Path, feed: FeedMode, rule: ResizeRule
) -> None:
    """By its short side it would take 16 GB."""

    def read_all() -> None:
        source = open_source(Thin(), 512, rule, torch.device("cpu"), feed, tmp_path)
        list(source.batches([np.arange(6)]))

    with pytest.raises(
        DatasetError, match=r"3.png is 20000 × 1 pixels, its longer side more than 16 times .*; crop it"
    ):
        read_all()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
