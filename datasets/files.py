"""What readers of image files share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def file_stamp(folder: Path, paths: Iterable[str]) -> str:
    """SHA-256 over path, size and time of change of each file: cheap, and another one once an image is replaced."""
    digest = hashlib.sha256()
    for path in paths:
        status = os.stat(f"{folder}/{path}")  # noqa: PTH116 - a quarter of the time of Path.stat, for ten thousands of files
        digest.update(f"{path}\t{status.st_size}\t{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
