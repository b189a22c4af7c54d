"""However a check ends, it is one row, the others are made, and the time is kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.device_check.processes import NO_TIME, carry_out, in_own_process
from benchmarks.device_check.session import Session
from results.device_check import read_check
from tests.helpers.fakes import planted_checks
from tests.helpers.fakes.planted_checks import Heard, planned


@pytest.fixture(autouse=True, scope="module")
def server() -> None:
    """The server of processes is there before any check has its time measured: on a busy machine it takes a minute."""
    in_own_process(planted_checks.sound, 1.0)


def test_a_sound_check_is_a_row_with_its_numbers() -> None:
    found = carry_out(planned(planted_checks.sound, 2.5, method="plain", case="fp32"), 60)
    assert (found.group, found.method, found.case, found.status) == ("values", "plain", "fp32", "ok")
    assert found.numbers == {"value": 2.5}
    assert found.seconds > 0


def test_a_number_that_json_lacks_is_left_out() -> None:
    found = carry_out(planned(planted_checks.sound, float("nan")), 60)
    assert (found.status, found.numbers) == ("ok", {})


def test_a_crash_an_error_and_a_lack_of_memory_are_rows() -> None:
    crashed = carry_out(planned(planted_checks.crash), 60)
    assert (crashed.status, crashed.finding) == ("failed", "its process died of SIGSEGV")
    raised = carry_out(planned(planted_checks.raise_an_error), 60)
    assert (raised.status, raised.finding) == ("failed", "RuntimeError: an illegal memory access was encountered")
    assert raised.traceback is not None
    assert "raise_an_error" in raised.traceback
    too_small = carry_out(planned(planted_checks.run_out_of_memory), 60)
    assert (too_small.status, too_small.finding) == ("not run", "memory is too small")


def test_a_hang_ends_with_its_own_time_or_with_all_time() -> None:
    began = time.monotonic()
    hung = carry_out(planned(planted_checks.hang, seconds=1), 60)
    assert hung.status == "failed"
    assert hung.finding.startswith("not done after 1 s")
    cut = carry_out(planned(planted_checks.hang), 1)
    assert (cut.status, cut.finding) == ("not run", NO_TIME)
    assert time.monotonic() - began < 30


def test_what_has_no_time_or_is_not_for_this_device_starts_no_process() -> None:
    late = carry_out(planned(planted_checks.crash), 0)
    assert (late.status, late.finding, late.seconds) == ("not run", NO_TIME, 0)
    elsewhere = carry_out(planned(planted_checks.crash, not_here="needs a GPU"), 60)
    assert (elsewhere.status, elsewhere.finding) == ("not run", "needs a GPU")


def test_a_session_makes_all_checks_and_stores_them(tmp_path: Path) -> None:
    session, heard = Session("cpu", 5, small=True), Heard()
    work = [planted_checks.sound, planted_checks.crash, planted_checks.amiss]
    session.run([planned(one, *([1.0] if one is planted_checks.sound else [])) for one in work], heard)
    assert [check.status for check in heard.results] == ["ok", "failed", "wrong"]
    assert heard.begun == ["1 values", "2 values", "3 values"]
    stored = read_check(session.write(tmp_path))
    assert [check.status for check in stored.checks] == ["ok", "failed", "wrong"]
    assert [check.status for check in stored.wrong] == ["failed", "wrong"]
    assert stored.counts == "1 ok, 1 wrong, 1 failed"
    assert stored.name
    assert {"torch", "timm"} <= stored.versions.keys()
    assert {"before", "after"} == stored.state.keys()


def test_after_an_interruption_the_rest_is_known_as_not_run(tmp_path: Path) -> None:
    class Interrupting(Heard):
        def ended(self, check: object) -> None:
            raise KeyboardInterrupt

    session = Session("cpu", 5, small=True)
    with pytest.raises(KeyboardInterrupt):
        session.run([planned(planted_checks.sound, 1.0), planned(planted_checks.crash)], Interrupting())
    stored = read_check(session.write(tmp_path))
    assert [(check.status, check.finding) for check in stored.checks] == [
        ("ok", "as it should be"),
        ("not run", "interrupted"),
    ]
