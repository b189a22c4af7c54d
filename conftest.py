"""Where the tests find real images and weights, and small things that many of them train."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

# A script's commands in the background ignore these two, and so would all processes of the tests that send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Tests compute on small tensors and share their machine: one thread that sleeps while it waits (see run_all.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test asks the real Hugging Face Hub (tests/helpers/fakes/fake_hub.py is one), or finds what the user has fetched.
NO_HUB = tempfile.TemporaryDirectory()
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": NO_HUB.name, "HF_HUB_CACHE": f"{NO_HUB.name}/hub"}

import pytest
import torch

from benchmarks.environment import Environment


def pytest_configure(config: pytest.Config) -> None:
    """`--benchmark-only` asks for benchmarks, which `pyproject.toml` leaves out of tests; pytest-benchmark refuses."""
    if config.getoption("benchmark_only"):
        config.option.benchmark_enable = True


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images of the tests don't go to the user's cache."""
    os.environ["FGBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


def _folder(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: no real files to test on")
    return Path(os.environ[variable])


@pytest.fixture
def real_data() -> Path:
    """The folder of real images."""
    return _folder("FGBENCH_DATA")


@pytest.fixture
def real_weights() -> Path:
    """The folder of ImageNet-trained weights."""
    return _folder("FGBENCH_WEIGHTS")


@pytest.fixture(scope="session")
def metadata() -> Path:
    """The folder of the published datasets' true tables."""
    return _folder("FGBENCH_METADATA")


@pytest.fixture
def here() -> Environment:
    """A machine with neither data nor weights, computing on the CPU."""
    return Environment()
