"""A suite on few drawn images: two methods with two seeds, and a profile."""

from __future__ import annotations

from benchmarks.planning.suite import Suite

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
