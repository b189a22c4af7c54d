"""The plan has every method, puts what is right before what is fast, and obeys `--only`."""

from __future__ import annotations

import pytest

import methods
from benchmarks.device_check.plan import GROUPS, chosen, planned_checks
from benchmarks.errors import UserError

CASES = pytest.mark.parametrize(("device", "small"), [("cpu", True), ("cuda", False), ("cuda", True)])


@CASES
@pytest.mark.parametrize("group", ["values", "waits", "determinism", "compile"])
def test_every_method_is_checked(device: str, small: bool, group: str) -> None:
    checked = {check.method for check in planned_checks(device, small) if check.group == group}
    assert set(methods.available()) <= checked


@CASES
def test_every_group_is_there_and_values_come_first(device: str, small: bool) -> None:
    groups = [check.group for check in planned_checks(device, small)]
    assert set(groups) == set(GROUPS)
    assert groups[0] == "values"
    assert groups.index("determinism") < groups.index("steps")


@CASES
def test_no_two_checks_have_one_name(device: str, small: bool) -> None:
    labels = [check.label for check in planned_checks(device, small)]
    assert len(labels) == len(set(labels))


@CASES
def test_plain_is_measured_before_what_is_compared_with_it(device: str, small: bool) -> None:
    seen: set[str] = set()
    for check in planned_checks(device, small):
        if check.group == "steps":
            assert check.method == "plain" or check.case in seen
            seen.add(check.case)


def test_a_cpu_says_what_needs_a_gpu() -> None:
    missing = {check.group for check in planned_checks("cpu", True) if check.not_here}
    assert missing == {"values", "waits", "memory"}
    assert not [check for check in planned_checks("cuda", False) if check.not_here]


def test_only_names_groups_and_methods() -> None:
    checks = planned_checks("cpu", True)
    assert chosen(checks, []) == checks
    assert {one.group for one in chosen(checks, ["steps", "feeds"])} == {"steps", "feeds"}
    assert {one.method for one in chosen(checks, ["ws_dan", "plain"])} == {"ws_dan", "plain"}
    assert [(one.group, one.method) for one in chosen(checks, ["values", "sef"])] == [("values", "sef")]


def test_a_name_that_is_neither_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="determinism"):
        chosen(planned_checks("cpu", True), ["determinsm"])
