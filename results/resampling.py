"""Draws of test images with replacement: the one bootstrap that reports and attention scores use."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of every interval."""
LEVEL = 0.05
"""Of every test: a p value below it is significant."""
DRAWS = 2000


@lru_cache(maxsize=1)
def image_counts(images: int) -> NDArray[np.float32]:
    """How often each image is in each draw, `(DRAWS, images)`.

    The draws depend on the number of images alone, so models on the same images can be compared. The last result is
    kept: experiments on one dataset follow each other.
    """
    random = np.random.default_rng(images)
    drawn = [np.bincount(random.integers(0, images, images), minlength=images) for _ in range(DRAWS)]
    return np.array(drawn, np.float32)
