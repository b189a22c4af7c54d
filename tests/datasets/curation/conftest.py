"""People's own folders of small pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datasets import Dataset
from datasets.curation.findings import Findings
from datasets.curation.verify import verify
from tests.helpers.small_folders import draw_noise

Draw = Callable[..., Path]


def verified(dataset: Dataset) -> Findings:
    """What `data verify` finds, without a progress bar."""
    return verify(dataset, lambda done, total: None)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture
def noise(own: Path) -> Draw:
    """Draws noise into files below `own`: another picture for each path."""

    def draw(*paths: str) -> Path:
        for path in paths:
            draw_noise(own / path)
        return own

    return draw
