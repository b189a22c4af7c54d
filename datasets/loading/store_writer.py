"""Writes the files of a store: completely or not at all, by one process at a time, resuming a killed build.

    pixels.bin   the images in order, each uint8 `(3, h, w)`
    table.bin    one row per image (`ROW`), appended together with the image
    store.json   the key of the store and, once it is complete, the hash of the table

An incomplete folder ends in `.unfinished`, and its table is the journal of the build. A resumed build accepts a row
only if the pixels match its checksum, and truncates both files after the last such row. So it doesn't matter when
a build was killed, or in which order its bytes reached the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import joblib
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from datasets.interface import DatasetError, OnProgress
from datasets.loading.prefetch import map_in_threads
from results.files import put_whole

PIXELS, TABLE, RECORD = "pixels.bin", "table.bin", "store.json"
ROW = np.dtype([("height", "<u4"), ("width", "<u4"), ("checksum", "<u4")])
"""One row of the table; the checksum is the CRC-32 of the pixels."""
UNFINISHED = ".unfinished"
LOCK = ".lock"
AHEAD = 8
"""Decoded images per thread that may wait to be written: enough to keep threads busy, few enough to fit in memory."""
SPACE_CHECK = 256
"""Images between two checks of the free space."""


def build(
    folder: Path,
    key: dict[str, Any],
    count: int,
    image: Callable[[int], NDArray[np.uint8]],
    image_bytes: int,
    on_progress: OnProgress | None = None,
    confirm: Callable[[], None] = lambda: None,
) -> None:
    """Writes `image(0)` … `image(count - 1)`, each uint8 `(3, h, w)`, to the store `folder`.

    `image` is called from several threads. `image_bytes` is the minimum size of an image. `confirm` is called at the
    end and raises `DatasetError` if the images are no longer those of the key. A second process that builds
    the same store waits for the first. Raises `OSError` if something can't be written, and beforehand if the disk is
    going to be full; the next build continues from what was written. After a `DatasetError` nothing is left,
    because repairing the image changes the key.
    """
    with FileLock(sibling(folder, LOCK)):
        if folder.exists():  # another process may have built it while this one waited
            return
        unfinished = sibling(folder, UNFINISHED)
        if not _has_key(unfinished, key):
            _clear(unfinished)
            unfinished.mkdir()
            _write_record(unfinished, {"key": key})
        try:
            _write_images(unfinished, count, image, image_bytes, on_progress)
            confirm()
        except DatasetError:
            with suppress(OSError):
                _clear(unfinished)
            raise
        _write_record(unfinished, finished_record(key, read_table(unfinished)))
        unfinished.rename(folder)


def discard(folder: Path) -> bool:
    """Removes a complete or unfinished store; False if it is being built, or is gone.

    A process with the store open can go on reading it: the system frees the pixels when it ends. Raises `OSError` if
    the folder can't be removed.
    """
    complete = folder.with_name(folder.name.removesuffix(UNFINISHED))
    unfinished = sibling(complete, UNFINISHED)
    try:
        with FileLock(sibling(complete, LOCK), timeout=0):
            if not folder.exists():  # its build has ended, or another process removed it
                return False
            if folder != unfinished:  # removes the name at once, so that nobody opens half a store
                with suppress(OSError):
                    _clear(unfinished)
                folder.rename(unfinished)
            _clear(unfinished)
            return True
    except Timeout:
        return False


def _clear(path: Path) -> None:
    """Removes a folder with all it holds, or the file or link in its place; nothing if there is none."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def sibling(folder: Path, suffix: str) -> Path:
    """The path next to `folder` with `suffix` appended to its name."""
    return folder.with_name(folder.name + suffix)


def finished_record(key: dict[str, Any], table: NDArray[np.void]) -> dict[str, Any]:
    """Content of `store.json` of a complete store, as read from JSON."""
    return _as_json({"key": key, "table": hashlib.sha256(table.tobytes()).hexdigest()})


def read_record(folder: Path) -> Any:
    """Content of `store.json`. Raises `OSError` or `ValueError` if it is missing or invalid."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{folder / RECORD} is nested too deeply") from error


def read_table(folder: Path) -> NDArray[np.void]:
    """The rows (`ROW`) of `table.bin`, without a partial row at the end."""
    return np.fromfile(folder / TABLE, dtype=ROW)


def checksum(image: NDArray[np.uint8]) -> int:
    """CRC-32 of an image's pixels."""
    return zlib.crc32(image.data)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(value, default=str))


def _has_key(unfinished: Path, key: dict[str, Any]) -> bool:
    """Whether this is an unfinished store with this key."""
    try:
        record = read_record(unfinished)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("key") == _as_json(key)


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2, default=str)
    put_whole(folder / RECORD, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _write_images(
    unfinished: Path,
    count: int,
    image: Callable[[int], NDArray[np.uint8]],
    image_bytes: int,
    on_progress: OnProgress | None,
) -> None:
    """Appends the missing images and their rows of the table."""
    threads = joblib.cpu_count()

    def with_checksum(row: int) -> tuple[NDArray[np.uint8], int]:
        decoded = image(row)
        return decoded, checksum(decoded)

    with (unfinished / PIXELS).open("a+b") as pixels, (unfinished / TABLE).open("a+b") as table:
        first, written = _truncate_to_valid_images(pixels, table, count)
        # Decoding, resizing and checksums release the interpreter lock, and pixels need no copy to a process.
        images = map_in_threads(with_checksum, range(first, count), threads, AHEAD * threads - 1)
        for row, (decoded, crc) in enumerate(images, first):
            if (row - first) % SPACE_CHECK == 0:
                _check_space(unfinished, (count - row) * max(image_bytes, written // max(row, 1)))
            _append(pixels, decoded.data)
            _append(table, np.array((*decoded.shape[1:], crc), dtype=ROW).tobytes())
            written += decoded.nbytes
            if on_progress is not None:
                on_progress(row + 1, count)
        _to_disk(pixels)
        _to_disk(table)


def _truncate_to_valid_images(pixels: BinaryIO, table: BinaryIO, count: int) -> tuple[int, int]:
    """Truncates both files after the last intact image; returns the number of intact images and their bytes."""
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
    """Hands the data to the operating system, so that it survives this process."""
    file.write(data)
    file.flush()


def _to_disk(file: Any) -> None:
    """Forces the data to disk: a finished folder is complete even after a power cut."""
    file.flush()
    os.fsync(file.fileno())


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")
