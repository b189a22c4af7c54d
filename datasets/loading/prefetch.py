"""Generators that work ahead in threads: results in order, a bounded number ahead, no thread left behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice, repeat
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

END: Any = object()


def map_in_threads(work: Callable[[T], R], items: Iterable[T], threads: int, depth: int) -> Generator[R, None, None]:
    """`work(item)` for each item, in order, computed in threads; while the consumer uses a result, `depth` are ahead.

    An exception of `work` is raised in place of its result. Closing or dropping the generator ends the threads.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    try:
        started = (pool.submit(work, item) for item in items)
        pending = deque(islice(started, depth))
        while pending:
            result = pending.popleft().result()
            pending.extend(islice(started, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, with up to `depth` of them computed in a thread while the consumer uses an earlier one.

    Closing or dropping the generator closes `items` as well.
    """
    with closing(items), closing(map_in_threads(lambda _: next(items, END), repeat(None), 1, depth)) as ready:
        for item in ready:
            if item is END:
                return
            yield item
