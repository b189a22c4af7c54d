"""What a plan says of `--fast`: by profiles of this device, else on a GPU by a named guess, else nothing."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.environment import Environment, Execution
from benchmarks.estimates import fast
from results.record import Record
from results.settings import ProfileRun
from tests.estimates.test_estimator import RUN, profile

EAGER, FAST = Execution(), Execution(compile=True)
IN_BF16 = RUN.model_copy(update={"precision": "bf16"})
SEF = RUN.model_copy(update={"method": "sef"})


def measured(rate: float, batch_size: int = 5, **changes: Any) -> Record:
    """A profile Run of the network of `RUN`: training at `rate`."""
    record = profile(rate / 0.3, RUN, batch_size)
    assert isinstance(record.run, ProfileRun)
    return record.model_copy(update={"run": record.run.model_copy(update=changes)})


def pair(factor: float, batch_size: int = 5, **changes: Any) -> list[Record]:
    """Two of them, of which the second is `factor` times as fast: as `--fast` has it."""
    quick = measured(factor * 10.0, batch_size, precision="bf16", compile=True, **changes)
    return [measured(10.0, batch_size, **changes), quick]


def test_a_plan_in_float32_says_what_it_would_gain() -> None:
    (line,) = fast.lines([RUN], Environment(), pair(2.5))
    assert line.startswith("--fast would train 2.5 × as fast here, measured with plain on test_resnet, 32 px;")
    assert "a row of its own" in line


def test_a_fast_plan_says_what_it_gains() -> None:
    (line,) = fast.lines([IN_BF16], Environment(execution=FAST), pair(2.5))
    assert line == "--fast trains 2.5 × as fast here, measured with plain on test_resnet, 32 px"


def test_the_method_itself_comes_before_plain_and_the_nearest_batch_before_others() -> None:
    profiles = [*pair(2.0), *pair(3.0, 64, method="sef"), *pair(4.0, 8, method="sef")]
    assert "4.0 × as fast here, measured with sef" in fast.lines([SEF], Environment(), profiles)[0]
    assert "2.0 × as fast here, measured with plain" in fast.lines([SEF], Environment(), profiles[:2])[0]


def test_of_several_networks_the_span_is_told() -> None:
    (line,) = fast.lines([RUN, SEF], Environment(), [*pair(2.0), *pair(3.0, method="sef")])
    assert "2.0 to 3.0 × as fast here" in line


@pytest.mark.parametrize(
    "changes", [{"backbone": "resnet50"}, {"image_size": 64}, {"variant": "stride_16"}, {"method": "ws_dan"}], ids=str
)
def test_other_networks_say_nothing(changes: dict[str, Any]) -> None:
    assert fast.lines([RUN], Environment(), pair(2.0, **changes)) == []


def test_rates_at_different_batch_sizes_are_not_compared() -> None:
    assert fast.lines([RUN], Environment(), [*pair(2.0)[:1], *pair(2.0, 64)[1:]]) == []


FINE = RUN.model_copy(update={"variant": "stride_16", "options": {"tap": 16}})


def test_rates_of_two_variants_are_not_compared() -> None:
    slow, _ = pair(2.0)
    _, quick_and_fine = pair(8.0, variant="stride_16", options={"tap": 16})
    assert fast.lines([FINE], Environment(), [slow, quick_and_fine]) == []


def test_a_variant_comes_before_the_plain_network_and_is_named() -> None:
    profiles = [*pair(2.0), *pair(3.0, 64, variant="stride_16", options={"tap": 16})]
    (line,) = fast.lines([FINE], Environment(), profiles)
    assert "3.0 × as fast here, measured with plain:stride_16 on test_resnet" in line


def test_plain_with_options_set_by_hand_stands_in_for_no_other_method() -> None:
    assert fast.lines([SEF], Environment(), pair(2.0, options={"tap": 16})) == []


def test_on_a_gpu_without_measurements_the_gain_is_a_guess_with_its_source() -> None:
    (line,) = fast.lines([RUN], Environment(device="cuda"), [])
    assert "perhaps 2.9 × as fast, not measured here (ResNet-50 at 448 px on an H200" in line
    assert fast.lines([RUN], Environment(device="cpu"), []) == []


@pytest.mark.parametrize(("run", "execution"), [(IN_BF16, EAGER), (RUN, FAST)], ids=["bf16", "compiled"])
def test_a_plan_that_is_half_fast_was_chosen_so(run: Any, execution: Execution) -> None:
    assert fast.lines([run], Environment(device="cuda", execution=execution), pair(2.0)) == []
