"""In place of the project's reference results, a suite that takes no time."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.planning import suite
from benchmarks.planning.suite import Suite
from tests.helpers.small_training import IMAGES, RECIPE, RESNET


def small_numbers(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any], **changes: Any) -> None:
    """One suite and no published rows: two methods on drawn images; with `entries`, a training for each of them. Each
    has the `changes` and the entry's own."""
    trained = {
        "methods": ["plain", "sef"],
        "datasets": [{"name": "synthetic", "options": IMAGES}],
        "backbones": [RESNET],
        "seeds": 2,
        "set": {"recipe": RECIPE},
    }
    trainings = [trained | changes | entry for entry in entries or ({},)]
    one = Suite.model_validate({"about": "for tests", "numbers": 1, "train": trainings})
    monkeypatch.setattr(suite, "available", lambda: ["small"])
    monkeypatch.setattr(suite, "load", lambda name: one)
    monkeypatch.setattr("benchmarks.planning.reference.experiments._of_paper", lambda *_: [])
