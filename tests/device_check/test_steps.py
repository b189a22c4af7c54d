"""Steps are measured on the device, and compared with plain's in the same case."""

from __future__ import annotations

import pytest
import torch

from benchmarks.device_check.ceilings import measure_ceilings
from benchmarks.device_check.feeds import measure_feeds
from benchmarks.device_check.networks import SMALL
from benchmarks.device_check.steps import Cell, beside_plain, measure_steps
from benchmarks.device_check.trainings import check_determinism, furthest, short_run, trained
from benchmarks.environment import Execution
from results.device_check import Check

CASE = "resnet50, 448 px, batch 64, bf16"


def measured(method: str, rate: float, case: str = CASE, passes: float = 1) -> Check:
    numbers = {"train_images_per_s": rate, "inference_images_per_s": 2 * rate, "train_passes": passes}
    return Check(group="steps", method=method, case=case, status="ok", finding="measured", numbers=numbers)


def test_a_step_is_measured() -> None:
    found = measure_steps(Cell("ws_dan", SMALL[0], 64, 4), "cpu")
    assert found.status == "ok"
    assert found.numbers["train_passes"] == 3
    assert found.numbers["train_ms"] == pytest.approx(4000 / found.numbers["train_images_per_s"])
    assert found.numbers["train_peak_bytes"] >= 0
    assert found.numbers["train_operations"] > 100


def test_methods_are_compared_with_plain_in_the_same_case() -> None:
    checks = beside_plain([measured("plain", 100), measured("sef", 80), measured("sef", 50, "vgg16")], judged=True)
    assert checks[1].numbers["train_of_plain"] == pytest.approx(1.25)
    assert (checks[1].status, checks[1].finding) == ("slow", "measured; 1.25 × plain for 1 pass")
    assert checks[2].numbers.keys() == measured("sef", 50).numbers.keys()


def test_more_passes_may_take_longer_and_small_networks_are_not_judged() -> None:
    plain, three = measured("plain", 100), measured("ws_dan", 30, passes=3)
    assert beside_plain([plain, three], judged=True)[1].status == "ok"
    assert beside_plain([plain, measured("sef", 10)], judged=False)[1].status == "ok"


@pytest.mark.parametrize(("kind", "rate", "status"), [("bf16", 250, "ok"), ("bf16", 150, "slow")])
def test_plain_in_half_precision_is_compared_with_its_goal(kind: str, rate: float, status: str) -> None:
    case = "resnet50, 448 px, batch 64, "
    half = beside_plain([measured("plain", rate, case + kind), measured("plain", 100, f"{case}fp32")], judged=True)[0]
    assert half.status == status
    assert half.numbers["train_of_fp32"] == pytest.approx(rate / 100)


def test_what_was_not_measured_is_left_alone() -> None:
    late = Check(group="steps", method="sef", case=CASE, status="not run", finding="no time left")
    assert beside_plain([late], judged=True) == [late]


def test_feeds_and_ceilings_are_positive_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.device_check.feeds.SECONDS", 0.1)
    assert min(measure_feeds("cpu", small=True).numbers.values()) > 0
    assert {"fp32_flops_per_s", "bf16_flops_per_s", "copy_bytes_per_s"} <= measure_ceilings("cpu").numbers.keys()


def test_a_training_is_compared_bit_for_bit() -> None:
    assert check_determinism("plain", "cpu").status == "ok"
    one, other = (trained(short_run("plain"), "cpu", Execution()) for _ in range(2))
    next(iter(other.method.parameters())).data[0] += 0.5
    assert furthest(one, other) == pytest.approx(0.5, abs=1e-3)
    next(iter(other.method.parameters())).data[0] = torch.nan
    assert furthest(one, other) == float("inf")
