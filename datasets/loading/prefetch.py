"""Generators that work ahead in threads: results in order, a bounded number ahead, no thread left behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

END: Any = object()


def prefetch(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, with up to `depth` of them computed in a thread while the consumer uses an earlier one.

    An exception of `items` is raised in place of its item. Closing or dropping the generator closes `items` and ends
    the thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        pending = deque(thread.submit(next, items, END) for _ in range(depth))
        try:
            while (item := pending.popleft().result()) is not END:
                pending.append(thread.submit(next, items, END))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)
            items.close()


def map_in_threads(
    work: Callable[[T], R], groups: Iterable[Sequence[T]], threads: int, depth: int
) -> Generator[list[R], None, None]:
    """`[work(item) for item in group]` for each group, in a pool of threads that works on `depth` groups at once."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        mapped: Iterator[Iterator[R]] = (pool.map(work, group) for group in groups)
        pending = deque(islice(mapped, depth))
        while pending:
            results = list(pending.popleft())
            pending.extend(islice(mapped, 1))
            yield results
    finally:
        pool.shutdown(cancel_futures=True)
