"""Killed at any moment and started again, a plan ends with the bits of one that was never killed, and leaves nothing.

30 kills among the other tests, 1 000 with `pytest -m kills -n 0`; FGBENCH_KILLS and FGBENCH_SEED set number and seed.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from results.settings import AnyRun
from results.store import HISTORY, PREDICTIONS, WEIGHTS, ResultStore
from tests.helpers import killing
from tests.helpers.small_training import small_run

LEFT = {"record.json", HISTORY, PREDICTIONS, WEIGHTS, ".lock"}
"""What a finished Run's folder holds."""


def require_whole(runs: list[AnyRun], root: Path, undisturbed: Path) -> None:
    """All Runs are done with the bits of the undisturbed ones, and nothing else is left in the folder."""
    store, expected = ResultStore(root), ResultStore(undisturbed)
    for run in runs:
        record = store.read(run.id)
        assert record is not None
        assert record.status == "done", record.error
        assert {path.name for path in (root / run.id).iterdir()} == LEFT
        weights, others = (load_file(folder / run.id / WEIGHTS) for folder in (root, undisturbed))
        assert weights.keys() == others.keys()
        assert all(torch.equal(weights[name], others[name]) for name in weights)
        pd.testing.assert_frame_equal(store.predictions(run.id), expected.predictions(run.id))
        times = ["seconds", "images_per_s"]
        histories = (one.history(run.id) for one in (store, expected))
        pd.testing.assert_frame_equal(*(table.drop(columns=times) for table in histories if table is not None))
    assert {path.name for path in root.iterdir()} == {"index.csv", *(run.id for run in runs)}


@pytest.mark.kills
@pytest.mark.timeout(0)  # for 1 000
def test_kills_change_no_bit_and_leave_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = 1000 if "kills" in request.config.option.markexpr else 30
    number = int(os.environ.get("FGBENCH_KILLS", asked))
    seed = int(os.environ.get("FGBENCH_SEED", random.randrange(10**6)))
    with capsys.disabled():
        print(f"\n{number} kills, seed {seed}")  # noqa: T201 - repeats them, also if this test is interrupted
    draw = random.Random(seed)
    runs: list[AnyRun] = [small_run(), small_run("sef")]
    undisturbed = tmp_path / "undisturbed"
    killing.in_own_process(runs, undisturbed).join()  # the first one waits for the server
    started = time.monotonic()
    killing.in_own_process(runs, tmp_path / "timed").join()
    longest = time.monotonic() - started
    kills: list[str] = []
    plans = 0
    while len(kills) < number:
        plans += 1
        root = tmp_path / str(plans)
        try:
            for kill in killing.until_it_ends(runs, root, draw, longest):
                kills.append(kill)
                if len(kills) == number:
                    break
            killing.in_own_process(runs, root).join()
            require_whole(runs, root, undisturbed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, after kill {len(kills)} of {number}: {kills[-9:]}") from error
        shutil.rmtree(root)
    with capsys.disabled():
        print(f"{len(kills)} kills of {plans} plans ended with equal bits")  # noqa: T201 - asked for
