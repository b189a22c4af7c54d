"""Plans of short trainings on drawn images."""

from __future__ import annotations

from rich.console import Console

from benchmarks.environment import Environment
from benchmarks.planning import expand
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from results.settings import AnyRun, Run

SMALL = {"classes": 3, "train_per_class": 8, "test_per_class": 4, "size": 32}
RECIPE = {"image_size": 32, "stored_size": 32, "batch_size": 5, "epochs": 3, "validation": 0.25}
SUITE = Suite.model_validate(
    {
        "about": "for tests",
        "train": [
            {
                "methods": ["plain"],
                "datasets": [{"name": "synthetic", "options": SMALL}],
                "backbones": [{"name": "test_resnet", "pretrained": "none"}],
                "seeds": 1,
                "set": {"recipe": RECIPE},
            }
        ],
    }
)
QUIET = Console(quiet=True)


def runs_of(here: Environment, **changes: object) -> list[AnyRun]:
    return expand.expand(SUITE, here, Changes(**changes))


def one_run(here: Environment, **changes: object) -> Run:
    (run,) = runs_of(here, **changes)
    assert isinstance(run, Run)
    return run
