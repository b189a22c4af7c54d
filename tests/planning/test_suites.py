"""The suites that come with the project: which methods they name."""

from __future__ import annotations

import pytest

import methods
from benchmarks.environment import Environment
from benchmarks.planning import expand, suite, support
from results.settings import ProfileRun, Run


@pytest.mark.parametrize("kind", [Run, ProfileRun])
def test_the_suite_of_all_methods_trains_and_measures_every_method_that_there_is(kind: type[Run | ProfileRun]) -> None:
    """A new method is in it without an entry, unless it needs another network than a small CNN."""
    everything = suite.load("methods")
    planned = {run.method for run in expand.expand(everything, Environment()) if isinstance(run, kind)}
    assert planned == set(methods.available()), f"name these beside swinfc: {set(methods.available()) - planned}"
    assert support.left_out(everything) == []


def test_the_suite_of_all_methods_asks_what_the_quick_suite_asks() -> None:
    """So that the Runs which both name are the same ones, and count for both."""
    every, quick = ({run.id for run in expand.expand(suite.load(name), Environment())} for name in ("methods", "quick"))
    second_seeds = {run for run in quick if "-seed1-" in run}
    assert second_seeds
    assert quick - every == second_seeds


def test_the_quick_suite_stays_with_its_six_methods() -> None:
    """It is a user's first command, and has to end within minutes."""
    trained = [run for run in expand.expand(suite.load("quick"), Environment()) if isinstance(run, Run)]
    assert {run.method for run in trained} == {"plain", "bilinear_cnn", "dfl_cnn", "sef", "ws_dan", "swinfc"}
    assert len(trained) == 14
