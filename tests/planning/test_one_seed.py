"""Where nothing is drawn, one seed is all that there is to know, and a plan says so."""

from __future__ import annotations

import pytest

from benchmarks.environment import Environment
from benchmarks.planning import expand, method_checks
from benchmarks.planning.overrides import Changes
from benchmarks.planning.suite import Suite
from results.settings import AnyRun, Run

BIRDS = {"name": "synthetic", "options": {"classes": 3, "train_per_class": 2, "test_per_class": 1}}


def planned(weights: str, seeds: int | None = None) -> list[AnyRun]:
    entry = {
        "methods": ["plain", "plain:knn", "plain:linear_probe"],
        "datasets": [BIRDS],
        "backbones": [{"name": "test_resnet", "pretrained": weights}],
        "seeds": 3,
    }
    suite = Suite.model_validate({"about": "for tests", "train": [entry]})
    return expand.expand(suite, Environment(), Changes(seeds=seeds))


def seeds_of(plan: list[AnyRun]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for run in plan:
        assert isinstance(run, Run)
        found.setdefault(run.variant, []).append(run.seed)
    return found


@pytest.mark.parametrize("seeds", [None, 5])
def test_probes_of_given_weights_have_one_seed_and_the_plan_names_them(seeds: int | None) -> None:
    plan = planned("test_resnet_birds", seeds)
    assert seeds_of(plan) == {"paper": list(range(seeds or 3)), "knn": [0], "linear_probe": [0]}
    (line,) = [one for one in method_checks.notes(plan) if "one seed" in one]
    assert line.startswith("plain:knn, plain:linear_probe: one seed, ")


def test_random_weights_are_drawn_so_each_seed_gives_another_probe() -> None:
    plan = planned("none")
    assert seeds_of(plan) == {"paper": [0, 1, 2], "knn": [0, 1, 2], "linear_probe": [0, 1, 2]}
    assert not [one for one in method_checks.notes(plan) if "one seed" in one]
