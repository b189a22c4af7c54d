"""Few inputs in the usual run, the same each time; a hundred times as many, and others, with `pytest -m fuzz`."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.helpers.fuzzing import Fuzz

LONG = 100
COUNTS: dict[str, Counter[str]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "fuzz":
            item.add_marker(pytest.mark.fuzz)
            item.add_marker(pytest.mark.timeout(7200))
            item.add_marker(pytest.mark.filterwarnings("ignore"))  # decoders warn of damaged bytes


@pytest.fixture(scope="session")
def _seed_and_factor(request: pytest.FixtureRequest) -> tuple[str, float]:
    on_demand = request.config.option.markexpr == "fuzz"
    seed = os.environ.get("FGBENCH_FUZZ_SEED") or (secrets.token_hex(4) if on_demand else "0")
    return seed, float(os.environ.get("FGBENCH_FUZZ_FACTOR") or (LONG if on_demand else 1))


@pytest.fixture
def fuzz(_seed_and_factor: tuple[str, float]) -> Iterator[Fuzz]:
    """The inputs of a test, and how they are counted."""
    fuzzing = Fuzz(*_seed_and_factor)
    yield fuzzing
    for kind, counts in fuzzing.counts.items():
        COUNTS.setdefault(f"{kind} (seed {fuzzing.seed})", Counter()).update(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS and terminalreporter.config.option.markexpr == "fuzz":
        terminalreporter.section("fuzzed inputs")
        for kind, counts in COUNTS.items():
            terminalreporter.write_line(f"{kind}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
