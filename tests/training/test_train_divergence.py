"""A loss that is not a number stops a training at once, and the error gives the details."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import methods
from benchmarks.training.losses import Diverged, Losses
from datasets.loading.sampling import batch_generator
from methods.plain.model import Plain
from tests.helpers.host_waits import host_waits_forbidden
from tests.helpers.small_training import small_run, train

LATE = 6
"""The second batch of the second epoch: there are four in each."""


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_training_stops_at_the_batch_and_names_its_seed_and_terms(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = 0

    def losses(self: Plain, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        nonlocal batches
        batches += 1
        term = functional.cross_entropy(self(images), labels)
        return {"whole": term, "spoilt": term * (float(value) if batches == LATE else 0)}

    monkeypatch.setattr(methods.load("plain"), "losses", losses)
    run = small_run()
    with pytest.raises(Diverged, match="epoch 2, batch 2") as caught:
        train(run, tmp_path)
    assert batches == LATE
    details = caught.value.details
    assert (details["epoch"], details["batch"]) == (2, 2)
    assert details["seed"] == batch_generator(run.seed, 1, 1).initial_seed()
    assert str(details["losses"]["spoilt"]) in (value, "nan")
    assert 0 < details["losses"]["whole"] < 100
    assert str(details["seed"]) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_first_bad_batch_and_its_terms_are_kept() -> None:
    losses = Losses()
    for batch, (one, other) in enumerate([(1.0, 2.0), (3.0, float("nan")), (float("inf"), 4.0), (5.0, 6.0)]):
        losses.add(batch, {"one": torch.tensor(one), "other": torch.tensor(other)})
    assert losses.first_bad == 1
    assert losses.latest["one"] == 3
    assert losses.latest["other"].isnan()


def test_checking_losses_does_not_make_the_host_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, term = Losses(), {"one": torch.tensor(1.0)}
    with host_waits_forbidden("cpu", monkeypatch):
        for batch in range(3):
            losses.add(batch, term)
    assert losses.sums == {"one": torch.tensor(3.0)}
