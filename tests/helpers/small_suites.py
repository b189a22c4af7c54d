"""Suites on few drawn images: two methods with two seeds; some in place of the project's reference results."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.planning import suite
from benchmarks.planning.suite import Suite
from tests.helpers.small_training import IMAGES, RECIPE, RESNET

SMALL = {"classes": 3, "train_per_class": 2, "test_per_class": 1}
SUITE = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {
                "methods": ["plain", "bilinear_cnn"],
                "datasets": [{"name": "synthetic", "options": SMALL}],
                "backbones": [{"name": "test_resnet", "pretrained": "none"}],
                "seeds": 2,
            }
        ],
        "profile": [{"methods": ["plain"], "backbones": ["test_resnet"], "image_sizes": [64], "batch_sizes": [2, 4]}],
    }
)


def only_suite_with_numbers(monkeypatch: pytest.MonkeyPatch, *trainings: dict[str, Any]) -> None:
    """In place of the project's suites, one with these trainings."""
    one = Suite.model_validate({"about": "for tests", "numbers": 1, "train": trainings})
    monkeypatch.setattr(suite, "available", lambda: ["small"])
    monkeypatch.setattr(suite, "load", lambda name: one)


def small_numbers(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any], **changes: Any) -> None:
    """In place of the project's reference results, one suite and no published rows: two methods on drawn images; with
    `entries`, a training for each of them. Each has the `changes` and the entry's own."""
    trained = {
        "methods": ["plain", "sef"],
        "datasets": [{"name": "synthetic", "options": IMAGES}],
        "backbones": [RESNET],
        "seeds": 2,
        "set": {"recipe": RECIPE},
    }
    only_suite_with_numbers(monkeypatch, *(trained | changes | entry for entry in entries or ({},)))
    monkeypatch.setattr("benchmarks.planning.reference.experiments._of_paper", lambda *_: [])
