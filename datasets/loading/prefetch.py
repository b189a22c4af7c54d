"""Work done before its result is asked for: in order, so much ahead and no more, and no thread left behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

END: Any = object()


def ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, `depth` of them worked out by a thread while the consumer is busy with an earlier one.

    What `items` raises is raised where its item would have come. Closing (or dropping) the generator closes `items`
    and ends the thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        begun = deque(thread.submit(next, items, END) for _ in range(depth))
        try:
            while (item := begun.popleft().result()) is not END:
                begun.append(thread.submit(next, items, END))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)
            items.close()


def map_groups(
    work: Callable[[T], R], groups: Iterable[Sequence[T]], threads: int, depth: int
) -> Generator[list[R], None, None]:
    """`[work(one) for one in group]` for group after group, by a pool of threads with `depth` groups under way."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        mapped: Iterator[Iterator[R]] = (pool.map(work, group) for group in groups)
        under_way = deque(islice(mapped, depth))
        while under_way:
            results = list(under_way.popleft())
            under_way.extend(islice(mapped, 1))
            yield results
    finally:
        pool.shutdown(cancel_futures=True)
