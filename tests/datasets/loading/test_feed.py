"""The order of a feed: decided by seed and epoch alone, every row once, resumable anywhere; P x K where asked for;
cut over processes without a row too many or too few."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets.loading.feed import Batch, Feed
from datasets.loading.sampling import batch_generator, drops_last
from datasets.loading.sources import Source, StoreSource
from datasets.loading.store import Store


def store_of(count: int, ragged: bool = False) -> Store:
    """Image i is full of the value i; 2 x 2 pixels, or growing by one in width if ragged."""
    sizes = np.array([[2, 2 + row * ragged] for row in range(count)], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(3 * sizes.prod(axis=1))])
    pixels = torch.from_numpy(np.repeat(np.arange(count, dtype=np.uint8), np.diff(offsets)))
    checksums, unchecked = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=bool)
    return Store(pixels, offsets, sizes, checksums, unchecked, [""] * count, Path())


def source_of(count: int, ragged: bool = False) -> Source:
    return StoreSource(store_of(count, ragged), torch.device("cpu"))


def labels_of(count: int, classes: int = 3) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) % classes


def feed_of(count: int, batch_size: int, classes: int = 3, **options: Any) -> Feed:
    """Over all rows of `source_of(count)`."""
    return Feed(source_of(count), np.arange(count), labels_of(count, classes), batch_size, **options)


def all_rows(batches: list[Batch]) -> list[int]:
    return sorted(np.concatenate([batch.rows for batch in batches]).tolist())


def rows_of(batches: list[Batch]) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


@pytest.mark.parametrize("ragged", [False, True])
def test_images_labels_and_rows_belong_together(ragged: bool) -> None:
    labels = labels_of(20)
    rows = np.array([3, 19, 4, 8, 11])
    feed = Feed(source_of(20, ragged), rows, labels, 2)
    batches = list(feed.batches(0))
    assert all_rows(batches) == sorted(rows)
    for batch in batches:
        assert batch.images.dtype == torch.uint8
        assert batch.labels.dtype == torch.int64
        assert batch.rows.dtype == np.int64
        assert batch.images[:, 0, 0, 0].tolist() == batch.rows.tolist()
        assert batch.labels.tolist() == labels[batch.rows].tolist()
        assert batch.sizes.tolist() == [[2, 2 + row * ragged] for row in batch.rows.tolist()]
        assert list(batch.images.shape[2:]) == batch.sizes.amax(0).tolist()


@given(count=st.integers(1, 40), batch_size=st.integers(1, 12), seed=st.integers(0, 2**31), epoch=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_an_epoch_gives_every_row_once_and_len_batches(count: int, batch_size: int, seed: int, epoch: int) -> None:
    feed = feed_of(count, batch_size, seed=seed)
    batches = list(feed.batches(epoch))
    assert len(batches) == len(feed)
    assert all_rows(batches) == list(range(count))
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_drop_last_gives_whole_batches_alone() -> None:
    feed = feed_of(10, 4, drop_last=True)
    assert [len(batch) for batch in feed.batches(0)] == [4, 4]
    assert len(feed) == 2


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        return rows_of(list(feed_of(30, 7, seed=seed).batches(epoch)))

    assert order(1, 2) == order(1, 2)
    assert len({str(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    feed = feed_of(30, 7, seed=1)
    torch.manual_seed(99)
    next(feed.batches(5))
    assert rows_of(list(feed.batches(2))) == order(1, 2)


def test_the_order_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Written down once: a change would make stored Runs unrepeatable without anyone noticing."""
    feed = feed_of(10, 10, seed=3)
    assert feed.order(1).tolist() == [4, 1, 2, 8, 5, 0, 7, 9, 6, 3]


def test_without_shuffle_rows_come_as_given() -> None:
    feed = Feed(source_of(9), np.array([5, 1, 8]), labels_of(9), 2, shuffle=False)
    assert rows_of(list(feed.batches(4))) == [[5, 1], [8]]


@given(start=st.integers(0, 7), balanced=st.booleans(), rank=st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_a_resumed_epoch_continues_unchanged(start: int, balanced: bool, rank: int) -> None:
    part = (rank, 2) if rank < 2 else (0, 1)
    feed = feed_of(26, 4, seed=5, sampling=(2, 2) if balanced else None, part=part)
    assert rows_of(list(feed.batches(3, start))) == rows_of(list(feed.batches(3)))[start:]


@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(1, 9), min_size=3, max_size=8))
@settings(max_examples=50, deadline=None)
def test_balanced_batches_hold_that_many_classes_and_different_images_of_each(seed: int, sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    feed = Feed(source_of(len(labels)), np.arange(len(labels)), labels, 6, seed=seed, sampling=(3, 2))
    batches = list(feed.batches(0))
    assert len(batches) == len(feed) == max(len(labels) // 6, 1)
    for batch in batches:
        drawn, counts = np.unique(batch.labels.numpy(), return_counts=True)
        assert len(drawn) == 3
        assert (counts == 2).all()
        for label in drawn:
            different = len(np.unique(batch.rows[batch.labels.numpy() == label]))
            assert different == min(2, sizes[label])  # a class of one image repeats it


@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(1, 9), min_size=4, max_size=6), each=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_balanced_batches_are_those_that_mperclasssampler_defines(seed: int, sizes: list[int], each: int) -> None:
    """K images, one after another, of each of batch_size / K distinct classes: all different if the class has K, and
    else drawn with replacement."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    feed = Feed(source_of(len(labels)), np.arange(len(labels)), labels, 3 * each, seed=seed, sampling=(3, each))
    for batch in feed.batches(0):
        rows, drawn = batch.rows.reshape(3, each), batch.labels.numpy().reshape(3, each)
        assert (drawn == drawn[:, :1]).all()
        assert len(set(drawn[:, 0])) == 3
        for label, members in zip(drawn[:, 0], rows, strict=True):
            assert (labels[members] == label).all()
            assert len(set(members)) == each if sizes[label] >= each else len(set(members)) <= sizes[label]


def test_every_class_and_every_image_of_a_class_is_equally_likely_in_a_balanced_batch() -> None:
    labels = np.repeat(np.arange(4), [2, 3, 5, 10])  # the first two have fewer images than are drawn
    feed = Feed(source_of(20), np.arange(20), labels, 8, seed=0, sampling=(2, 4))
    drawn = np.concatenate([feed.order(epoch) for epoch in range(1500)])
    counts = np.bincount(drawn, minlength=20)
    for label, size in enumerate([2, 3, 5, 10]):
        assert counts[labels == label].sum() / len(drawn) == pytest.approx(1 / 4, rel=0.1)
        assert counts[labels == label] / counts[labels == label].sum() == pytest.approx(
            np.full(size, 1 / size), rel=0.2
        )


@given(world=st.integers(1, 3), count=st.integers(8, 60), pairs=st.integers(3, 6))
@settings(max_examples=50, deadline=None)
def test_even_batches_and_every_processs_share_of_them_make_pairs(world: int, count: int, pairs: int) -> None:
    """What is left over of an odd number of images is not drawn in that epoch; pairs are those of a single process."""
    options = {"together": 2, "drop_last": drops_last(count, 2 * pairs, world, 2)}
    assume(count >= 2 * pairs)
    (whole,) = ranks_of(1, count, 2 * pairs, **options)
    parts = ranks_of(world, count, 2 * pairs, **options)
    assert {len(part) for part in parts} == {len(whole)}
    dropped = count % (2 * pairs) if options["drop_last"] else count % 2
    assert sum(len(batch) for batch in whole) == count - dropped
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        assert all(len(share) >= 2 and len(share) % 2 == 0 for share in shares)
        assert np.concatenate([share.rows for share in shares]).tolist() == batch.rows.tolist()


def test_balanced_batches_use_all_images_of_a_class_before_they_repeat_one() -> None:
    feed = feed_of(20, 4, 2, sampling=(2, 2))
    assert all_rows(list(feed.batches(0))) == list(range(20))


def ranks_of(world: int, count: int, batch_size: int, **options: Any) -> list[list[Batch]]:
    """What each of `world` processes is given in epoch 2."""
    return [list(feed_of(count, batch_size, 4, part=(rank, world), **options).batches(2)) for rank in range(world)]


@given(world=st.integers(1, 5), count=st.integers(5, 60), per_process=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_the_parts_of_all_processes_form_the_batch_of_one(world: int, count: int, per_process: int) -> None:
    batch_size = world * per_process
    if count < batch_size:
        count += batch_size
    (whole,) = ranks_of(1, count, batch_size, seed=4, drop_last=True)
    parts = ranks_of(world, count, batch_size, seed=4, drop_last=True)
    assert {len(part) for part in parts} == {len(whole)}
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        assert all(len(share) == per_process for share in shares)
        assert np.concatenate([share.rows for share in shares]).tolist() == batch.rows.tolist()
        assert torch.equal(torch.cat([share.labels for share in shares]), batch.labels)
        assert torch.equal(torch.cat([share.images for share in shares]), batch.images)


@given(world=st.integers(1, 6), count=st.integers(1, 40), spare=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_evaluation_over_processes_gives_every_row_exactly_once(world: int, count: int, spare: int) -> None:
    parts = ranks_of(world, count, world + spare, shuffle=False)
    assert sorted(row for part in parts for batch in part for row in batch.rows.tolist()) == list(range(count))


def test_a_process_keeps_the_images_of_a_class_together() -> None:
    for part in ranks_of(2, 24, 8, sampling=(4, 2)):
        for batch in part:
            _, counts = np.unique(batch.labels.numpy(), return_counts=True)
            assert counts.tolist() == [2, 2]


def test_each_batch_has_its_own_random_numbers() -> None:
    def draws(seed: int, epoch: int, number: int) -> list[float]:
        return torch.rand(4, generator=batch_generator(seed, epoch, number)).tolist()

    assert draws(1, 2, 3) == draws(1, 2, 3)
    places = [(seed, epoch, number) for seed in range(3) for epoch in range(3) for number in range(3)]
    assert len({str(draws(*place)) for place in places}) == len(places)


def test_the_random_numbers_of_a_batch_are_the_same_on_every_machine_and_in_every_version() -> None:
    """Written down once, like the order."""
    assert batch_generator(3, 1, 0).initial_seed() == 1647047819619851468


@pytest.mark.parametrize(
    ("batch_size", "options", "message"),
    [
        (0, {}, "at least one image, not 0"),
        (32, {"sampling": (6, 5)}, "batch_size 32 is not a multiple of 5 images a class; 30 or 35 are"),
        (3, {"sampling": (0, 5)}, "batch_size 3 is not a multiple of 5 images a class; 5 is"),
        (7, {"together": 2}, "batch_size 7 is not a multiple of 2 images that belong together; 6 or 8 are"),
        (
            4,
            {"together": 2, "part": (0, 3)},
            "a batch of 2 times 2 images that belong together can't be divided among 3",
        ),
        (
            6,
            {"sampling": (2, 3), "together": 6, "part": (0, 2)},
            "6 images that belong together for each of 2 processes",
        ),
        (10, {"sampling": (5, 2)}, "batches of 5 classes can't be drawn from 4 classes"),
        (4, {"part": (0, 4)}, "last batch of 2 images can't be divided among 4 processes; use drop_last"),
        (3, {"part": (0, 4), "shuffle": False}, "a batch of 3 images can't be divided among 4 processes"),
        (
            6,
            {"part": (0, 2), "sampling": (3, 2)},
            "not a multiple of 2 images a class for each of 2 processes; 4 or 8 are",
        ),
        (4, {"part": (2, 2)}, "ranks of 2 processes are 0 .. 1, not 2"),
    ],
)
def test_inconsistent_numbers_are_refused(batch_size: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        feed_of(10, batch_size, 4, **options)


def test_a_small_last_batch_may_be_dropped_in_place_of_divided() -> None:
    assert len(feed_of(10, 4, part=(0, 4), drop_last=True)) == 2


def test_a_feed_needs_rows_and_a_label_for_each_image() -> None:
    with pytest.raises(ValueError, match="9 labels for a source of 10 images"):
        Feed(source_of(10), np.arange(10), labels_of(9), 4)
    with pytest.raises(ValueError, match="at least one row"):
        Feed(source_of(10), np.arange(0), labels_of(10), 4)
