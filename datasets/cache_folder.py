"""Where this machine keeps what can be made anew: decoded images, and hashes of files."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """$FGBENCH_CACHE, else fgbench below $XDG_CACHE_HOME, else ~/.cache/fgbench."""
    if folder := os.environ.get("FGBENCH_CACHE"):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "fgbench"
    return Path.home() / ".cache" / "fgbench"
