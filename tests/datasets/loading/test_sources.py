"""All feed modes give the same bits; prefetching stops, fails and is bounded as promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.environment import Environment
from benchmarks.training.listener import Silent
from benchmarks.training.train import Trainer
from datasets import Dataset, DatasetError, open_dataset
from datasets.loading import sources
from datasets.loading.augment import train_batch
from datasets.loading.feed import Batch, Feed
from datasets.loading.prefetch import map_in_threads, prefetch
from datasets.loading.sampling import batch_generator
from datasets.loading.sources import PrefetchedSource, choose_feed_mode, expected_bytes, open_source
from datasets.loading.store import ResizeRule, open_store
from results.augmentation import Augment
from results.settings import FeedMode
from tests.helpers.small_training import equal, outcome, small_run

CPU = torch.device("cpu")
FEED_MODES: tuple[FeedMode, ...] = ("resident", "pinned", "mapped", "streamed")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]


class Ragged(Dataset):
    """Images of random pixels, no two of one shape, the twelfth damaged; counts how often it was asked for one."""

    title = "for tests"

    def __init__(self, count: int = 12) -> None:
        self.name = "ragged"
        self.classes = ("a", "b")
        self.paths = tuple(f"{row}.png" for row in range(count))
        self.labels = np.arange(count) % 2
        self.is_train = np.arange(count) < 8
        self.read = 0
        self.counting = threading.Lock()

    def image(self, index: int) -> NDArray[np.uint8]:
        with self.counting:
            self.read += 1
        if index == 11:
            raise DatasetError("11.png is truncated")
        shape = (40 + 3 * index, 60 - 2 * index, 3)
        return np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def feed_over(dataset: Dataset, feed_mode: FeedMode, rule: ResizeRule, device: torch.device, cache: Path) -> Feed:
    source = open_source(dataset, 32, rule, device, feed_mode, cache)
    return Feed(source, np.arange(len(dataset))[::-1], dataset.labels, 5, seed=6)


def assert_equal_batches(some: list[Batch], others: list[Batch]) -> None:
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        assert one.images.dtype == other.images.dtype == torch.uint8
        assert torch.equal(one.images.cpu(), other.images.cpu())
        assert torch.equal(one.labels.cpu(), other.labels.cpu())
        assert torch.equal(one.sizes, other.sizes)
        assert one.sizes.device == other.sizes.device == CPU


@pytest.fixture(scope="module")
def birds() -> Dataset:
    return open_dataset("synthetic", options={"classes": 3, "train_per_class": 5, "test_per_class": 2, "size": 40})


@pytest.mark.usefixtures("no_thread_left")
@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("feed_mode", FEED_MODES)
@pytest.mark.parametrize("rule", ["squash", "short_side"])
@pytest.mark.parametrize("kind", ["birds", "ragged"])
def test_all_feed_modes_give_equal_bits(
    kind: str,
    rule: ResizeRule,
    feed_mode: FeedMode,
    device: torch.device,
    tmp_path: Path,
    birds: Dataset,
) -> None:
    dataset = birds if kind == "birds" else Ragged(11)
    expected = list(feed_over(dataset, "mapped", rule, CPU, tmp_path).batches(3))
    feed = feed_over(dataset, feed_mode, rule, device, tmp_path)
    batches = list(feed.batches(3))
    assert batches[0].images.device.type == batches[0].labels.device.type == feed.device.type == device.type
    assert_equal_batches(batches, expected)
    assert_equal_batches(list(feed.batches(3, start=1)), expected[1:])


@pytest.mark.parametrize("feed_mode", ["pinned", "streamed"])
def test_a_resumed_epoch_is_augmented_alike(birds: Dataset, feed_mode: FeedMode, tmp_path: Path) -> None:
    settings = Augment(crop="resized", rotation=10, brightness=0.4, hue=0.1, erase=0.5)

    def augmented(feed_mode: FeedMode, start: int) -> list[torch.Tensor]:
        feed = feed_over(birds, feed_mode, "squash", CPU, tmp_path)
        return [
            train_batch(batch, settings, 24, batch_generator(7, 2, number))
            for number, batch in enumerate(feed.batches(2, start), start)
        ]

    whole = augmented("mapped", 0)
    resumed = augmented(feed_mode, 2)
    assert len(whole) == 5
    assert all(torch.equal(one, other) for one, other in zip(resumed, whole[2:], strict=True))


@pytest.mark.usefixtures("no_thread_left")
@pytest.mark.parametrize("feed_mode", ["pinned", "streamed"])
@pytest.mark.parametrize("end", ["close", "drop"])
def test_an_abandoned_feed_ends_its_threads(birds: Dataset, feed_mode: FeedMode, end: str, tmp_path: Path) -> None:
    batches = feed_over(birds, feed_mode, "squash", CPU, tmp_path).batches(0)
    next(batches)
    assert any(thread.name.startswith("ahead") for thread in threading.enumerate())
    if end == "close":
        batches.close()
    del batches


@pytest.mark.usefixtures("no_thread_left")
def test_an_unreadable_image_is_raised_in_place_of_its_batch() -> None:
    dataset = Ragged()
    source = sources.streamed(dataset, 16, "squash", CPU)
    feed = Feed(source, np.array([3, 5, 11, 1]), dataset.labels, 2, shuffle=False)
    batches = feed.batches(0)
    assert next(batches).rows.tolist() == [3, 5]
    with pytest.raises(DatasetError, match=r"11.png is truncated"):
        next(batches)


def test_prefetching_is_bounded() -> None:
    """One batch in use, DEPTH ready, and DEPTH being decoded: whatever the epoch's length."""
    dataset = Ragged()
    source = sources.streamed(dataset, 16, "squash", CPU)
    batches = source.batches([np.array([0, 1])] * 50)
    next(batches)
    most = 2 * (1 + sources.DEPTH + sources.DEPTH)
    deadline = time.monotonic() + 60
    while dataset.read < most and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # time to read more, which they must not
    batches.close()
    assert dataset.read == most


def test_images_are_decoded_by_the_cores_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    assert sources.streamed(Ragged(), 16, "squash", CPU).threads == 3  # type: ignore[attr-defined]


def test_prefetched_items_are_ready_while_the_consumer_is_busy() -> None:
    ready: list[int] = []
    both = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            ready.append(number)
            if len(ready) == 3:
                both.set()
            yield number

    numbers = prefetch(items(), 2)  # type: ignore[arg-type]
    assert next(numbers) == 0
    assert both.wait(60)
    assert list(numbers) == list(range(1, 10))


def test_items_are_processed_in_parallel_and_returned_in_order() -> None:
    together = threading.Barrier(4, timeout=60)  # broken unless four calls are in flight at once

    def work(number: int) -> int:
        if number < 4:
            together.wait()
        return -number

    assert list(map_in_threads(work, range(8), threads=4, depth=4)) == [-number for number in range(8)]


def test_the_feed_mode_is_chosen_by_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gigabyte = 1 << 30
    cuda = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (15 * gigabyte, 24 * gigabyte))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 7 * gigabyte)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 2 * gigabyte)  # 20 GB are free
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=32 * gigabyte))
    sizes = {10: ("resident", "mapped"), 11: ("pinned", "mapped"), 24: ("pinned", "mapped"), 25: ("streamed",) * 2}
    for size, (on_gpu, on_cpu) in sizes.items():
        assert choose_feed_mode(size * gigabyte, cuda) == on_gpu
        assert choose_feed_mode(size * gigabyte, CPU) == on_cpu


def test_the_size_of_a_store_is_known_before_images_are_read(birds: Dataset, tmp_path: Path) -> None:
    store = open_store(birds, 32, "squash", tmp_path)
    assert expected_bytes(len(birds), 32, "squash") == len(store.pixels)
    assert expected_bytes(len(birds), 32, "short_side") >= len(store.pixels)


def test_images_that_fit_nowhere_are_streamed_without_a_store(
    birds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    source = open_source(birds, 32, "squash", CPU, cache=tmp_path)
    assert isinstance(source, PrefetchedSource)
    images, _ = next(source.batches([np.array([4])]))
    assert images.shape == (1, 3, 32, 32)
    assert list(tmp_path.iterdir()) == []


def test_a_run_ends_with_the_same_weights_and_logits_in_every_feed_mode(tmp_path: Path) -> None:
    run = small_run(stored_size=36)
    outcomes = []
    for feed_mode in ("mapped", "streamed"):
        (tmp_path / feed_mode).mkdir()
        trainer = Trainer(run, Environment(feed=feed_mode), tmp_path / feed_mode, Silent())
        outcomes.append(outcome(trainer.train()))
    assert equal(*outcomes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_batch_is_not_overwritten_by_the_ones_that_come_after() -> None:
    """A slow consumer, fast copies: what is handed out must stay what it was until it was used on its own stream."""
    device = torch.device("cuda")

    def image(row: int) -> NDArray[Any]:
        return np.full((3, 256, 256), row, dtype=np.uint8)

    batches = PrefetchedSource(image, 200, device).batches([np.full(16, row) for row in range(200)])
    sums = []
    for number, (images, _) in enumerate(batches):
        if number % 10 == 0:
            torch.cuda._sleep(20_000_000)
        sums.append(images.float().mean())
        del images
    assert torch.stack(sums).tolist() == list(range(200))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_batch_is_not_used_before_it_has_arrived() -> None:
    """A side stream that is late with every copy: the consumer's own stream waits for it."""
    device = torch.device("cuda")

    def image(row: int) -> NDArray[Any]:
        with torch.cuda.stream(source.stream):
            torch.cuda._sleep(20_000_000)
        return np.full((3, 256, 256), row, dtype=np.uint8)

    source = PrefetchedSource(image, 20, device)
    sums = [images.float().mean() for images, _ in source.batches([np.full(4, row) for row in range(20)])]
    assert torch.stack(sums).tolist() == list(range(20))
