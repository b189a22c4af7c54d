"""A published dataset whose files are not here, as far as its release is known: enough to estimate what a Run takes."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from datasets.interface import Dataset, DatasetError
from datasets.release import Expected


class Announced(Dataset):
    """As many images of as many classes as the release has, with stand-ins for paths. There is nothing to read.

    Training images are spread evenly over the classes, and so are test images.
    """

    def __init__(self, name: str, title: str, release: Expected) -> None:
        count = release.train + release.test
        self.name, self.title = name, title
        self.classes = tuple(f"class {label}" for label in range(release.classes))
        self.paths = tuple(f"image {row}" for row in range(count))
        self.labels = np.arange(count, dtype=np.int64) % release.classes
        self.is_train = np.arange(count) < release.train

    def image(self, index: int) -> NoReturn:
        """Raises `DatasetError`."""
        raise DatasetError(f"{self.name} is not here; get it: data fetch {self.name}")
