"""A dataset of noise for the tests of storage: it can be slow, fail, and count how often it is asked for an image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.interface import Dataset, DatasetError


class Noise(Dataset):
    """Noise of differing sizes.

    `delay` seconds an image stand for slow decoding, image `bad` can't be read, and a byte is appended to `log` for
    each image that is drawn (a file, so that images drawn in other processes count too).
    """

    title = "noise"

    def __init__(
        self, count: int = 6, seed: int = 0, delay: float = 0.0, bad: int | None = None, log: Path | None = None
    ) -> None:
        self.name = "noise"
        self.classes = ("a", "b")
        self.paths = tuple(f"{number}.png" for number in range(count))
        self.labels = np.arange(count, dtype=np.int64) % 2
        self.is_train = np.ones(count, dtype=bool)
        self.seed, self.delay, self.bad, self.log = seed, delay, bad, log

    def image(self, index: int) -> NDArray[np.uint8]:
        time.sleep(self.delay)
        if self.log is not None:
            with self.log.open("ab") as file:
                file.write(b".")
        if index == self.bad:
            raise DatasetError(f"{self.paths[index]} is truncated")
        height, width = (40, 50 + index % 20) if index % 2 else (60 + index % 20, 44)
        return np.random.default_rng([self.seed, index]).integers(0, 256, (height, width, 3), dtype=np.uint8)

    @property
    def content_key(self) -> dict[str, Any]:
        return {"seed": self.seed}

    @property
    def drawn(self) -> int:
        """How many images were drawn since `log` was begun."""
        assert self.log is not None
        return self.log.stat().st_size if self.log.exists() else 0
