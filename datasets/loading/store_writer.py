"""Writes the files of a store: whole or not at all, by one process at a time, going on where a killed build stopped.

    pixels.bin   the images one after another, uint8 `(3, h, w)` each
    table.bin    one row per image (`ROW`), appended as the images are
    store.json   the key; once all images are there also the table's hash

Until it is whole the folder is called `.unfinished`, and its table is the journal of the build. A later build believes
a row only if the pixels have the row's checksum and cuts both files behind the last one that has. So it doesn't matter
when a build was killed, nor in which order its bytes reached the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import joblib
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from datasets.interface import DatasetError, OnProgress

PIXELS, TABLE, RECORD = "pixels.bin", "table.bin", "store.json"
ROW = np.dtype([("height", "<u4"), ("width", "<u4"), ("checksum", "<u4")])
"""A row of the table; the checksum is the CRC-32 of the image's pixels."""
UNFINISHED = ".unfinished"
LOCK = ".lock"
AHEAD = 8
"""Images per thread that may wait to be written: enough for no thread to idle, few enough for any memory."""
SPACE_CHECK = 256
"""Images between two looks at the free space."""

Result = TypeVar("Result")


def build(
    folder: Path,
    key: dict[str, Any],
    count: int,
    image: Callable[[int], NDArray[np.uint8]],
    image_bytes: int,
    on_progress: OnProgress | None = None,
) -> None:
    """Writes `image(0)` … `image(count - 1)`, each uint8 `(3, h, w)`, and makes `folder` appear.

    `image` is called from several threads. `image_bytes` is the least that one image takes. A second process that
    builds the same waits for the first. Raises `OSError` if something can't be written, also before the disk is full
    where it can be foreseen; what was written until then serves the next build. A `DatasetError` of `image` leaves
    nothing behind, since mending the image makes another key.
    """
    with FileLock(beside(folder, LOCK)):
        if folder.exists():  # another process may have built it while this one waited
            return
        unfinished = beside(folder, UNFINISHED)
        if not _is_of(unfinished, key):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            _write_record(unfinished, {"key": key})
        try:
            _write_images(unfinished, count, image, image_bytes, on_progress)
        except DatasetError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        _write_record(unfinished, finished_record(key, read_table(unfinished)))
        unfinished.rename(folder)


def beside(folder: Path, suffix: str) -> Path:
    """The path next to `folder` that has its name and `suffix`."""
    return folder.with_name(folder.name + suffix)


def finished_record(key: dict[str, Any], table: NDArray[np.void]) -> dict[str, Any]:
    """What `store.json` of a whole store says, as JSON gives it back."""
    return _as_json({"key": key, "table": hashlib.sha256(table.tobytes()).hexdigest()})


def read_record(folder: Path) -> Any:
    """What `store.json` says. Raises `OSError` or `ValueError` if it isn't there or is no JSON."""
    return json.loads((folder / RECORD).read_text(encoding="utf-8"))


def read_table(folder: Path) -> NDArray[np.void]:
    """The rows (`ROW`) of `table.bin`; part of a row at its end is left out."""
    return np.fromfile(folder / TABLE, dtype=ROW)


def checksum(image: NDArray[np.uint8]) -> int:
    """CRC-32 of an image's pixels."""
    return zlib.crc32(image.data)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(value, default=str))


def _is_of(unfinished: Path, key: dict[str, Any]) -> bool:
    """Whether a build of this very key began there."""
    try:
        record = read_record(unfinished)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("key") == _as_json(key)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    temporary = folder / (RECORD + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, default=str)
        _to_disk(file)
    temporary.replace(folder / RECORD)


def _write_images(
    unfinished: Path,
    count: int,
    image: Callable[[int], NDArray[np.uint8]],
    image_bytes: int,
    on_progress: OnProgress | None,
) -> None:
    """Appends the images that aren't there yet, each with its row of the table."""
    with (unfinished / PIXELS).open("a+b") as pixels, (unfinished / TABLE).open("a+b") as table:
        first, written = _keep_whole_images(pixels, table, count)
        for row, (drawn, crc) in enumerate(_in_parallel(partial(_with_checksum, image), range(first, count)), first):
            if (row - first) % SPACE_CHECK == 0:
                _check_space(unfinished, (count - row) * max(image_bytes, written // max(row, 1)))
            _append(pixels, drawn.data)
            _append(table, np.array((*drawn.shape[1:], crc), dtype=ROW).tobytes())
            written += drawn.nbytes
            if on_progress is not None:
                on_progress(row + 1, count)
        _to_disk(pixels)
        _to_disk(table)


def _keep_whole_images(pixels: BinaryIO, table: BinaryIO, count: int) -> tuple[int, int]:
    """Cuts both files behind the last image that is whole; returns how many are, and their bytes."""
    left = pixels.seek(0, os.SEEK_END)
    pixels.seek(0)
    table.seek(0)
    content = table.read()
    rows = np.frombuffer(content, dtype=ROW, count=len(content) // ROW.itemsize)[:count]
    kept = end = 0
    for height, width, crc in rows.tolist():
        size = 3 * height * width
        if not 0 < size <= left - end or zlib.crc32(pixels.read(size)) != crc:
            break
        kept, end = kept + 1, end + size
    pixels.truncate(end)
    table.truncate(kept * ROW.itemsize)
    return kept, end


def _append(file: BinaryIO, data: Any) -> None:
    """To the system, so that it outlives this process."""
    file.write(data)
    file.flush()


def _to_disk(file: Any) -> None:
    """To the disk: after a power cut, too, a folder in its place is whole."""
    file.flush()
    os.fsync(file.fileno())


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")


def _with_checksum(image: Callable[[int], NDArray[np.uint8]], row: int) -> tuple[NDArray[np.uint8], int]:
    drawn = image(row)
    return drawn, checksum(drawn)


def _in_parallel(work: Callable[[int], Result], rows: range) -> Iterator[Result]:
    """`work` of each row, in order, on all usable cores.

    Threads: decoding, resizing and checksums leave the interpreter free, and pixels needn't be sent to anyone.
    """
    threads = joblib.cpu_count()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for row in rows:
            waiting.append(pool.submit(work, row))
            if len(waiting) == AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
