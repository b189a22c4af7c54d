"""People's own folders of small pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.small_folders import draw_noise

Draw = Callable[..., Path]


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
