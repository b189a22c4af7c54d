"""The devices that `run_all.py check-device` has checked: whether they compute rightly, and what they reach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from reports import cell_format
from reports.cell_format import SOURCES
from reports.contents import Table
from reports.evidence import Evidence
from reports.load import busy_before
from results.device_check import Check, DeviceCheck

TERA, GIGA = 1e12, 1e9


def devices(evidence: Evidence) -> Table:
    """One row per device and size of measurement: the check of which most was made, of several the newest."""
    together: dict[tuple[str, bool], list[DeviceCheck]] = defaultdict(list)
    for check in evidence.device_checks:
        together[check.name, check.small].append(check)
    rows = [_row(max(several, key=lambda one: (_made(one), one.started))) for several in together.values()]
    return Table("devices", "Checked devices", rows, COLUMNS, NOTE)


def _made(check: DeviceCheck) -> int:
    return sum(one.status != "not run" for one in check.checks)


def _row(check: DeviceCheck) -> dict[str, Any]:
    ceilings = _numbers(check.of("ceilings"))
    plain = [one for one in check.of("steps", "plain") if "train_images_per_s" in one.numbers]
    eager, compiled = ([one for one in plain if _compiled(one) == wanted] for wanted in (False, True))
    step = eager[0] if eager else None
    same = [one for one in compiled if step is None or one.case == f"{step.case}, compiled"]
    return {
        SOURCES: (),
        "device": check.name,
        "date": f"{check.started:%Y-%m-%d}",
        "checks": check.counts,
        "wrong": "; ".join(_label(one) for one in check.wrong) or None,
        "torch": check.versions.get("torch"),
        "busy": busy_before(check),
        "fp32": ceilings.get("fp32_flops_per_s"),
        "bf16": ceilings.get("bf16_flops_per_s"),
        "copy": ceilings.get("copy_bytes_per_s"),
        "step": step.case if step else None,
        "train": _rate(step),
        "compiled": _rate(same[0] if same else None),
        "resident": _numbers(check.of("feeds")).get("resident, images/s"),
    }


def _numbers(checks: Iterable[Check]) -> dict[str, float]:
    return {name: value for check in checks for name, value in check.numbers.items()}


def _compiled(check: Check) -> bool:
    return check.case.endswith(", compiled")


def _rate(check: Check | None) -> float | None:
    return None if check is None else check.numbers["train_images_per_s"]


def _label(check: Check) -> str:
    return " ".join(filter(None, (check.group, check.method, check.case)))


def _measured(key: str, heading: str, unit: float = 1.0, digits: int = 0, compact: bool = True) -> cell_format.Column:
    return cell_format.marked(cell_format.number(key, heading, digits, unit, compact), "busy")


COLUMNS = (
    cell_format.text("device", compact=True),
    cell_format.words("checks", compact=True),
    cell_format.words("wrong", "what is wrong", compact=True),
    cell_format.text("date", "checked on"),
    cell_format.text("torch"),
    _measured("fp32", "fp32, TFLOP/s", TERA, 2),
    _measured("bf16", "bf16, TFLOP/s", TERA, 2),
    _measured("copy", "copies, GB/s", GIGA, 1),
    cell_format.text("step", "plain's step", compact=True),
    _measured("train", "trains, images/s"),
    _measured("compiled", "compiled, images/s"),
    _measured("resident", "feed from memory, images/s", compact=False),
)
NOTE = (
    "From run_all.py check-device. TFLOP/s: products of large square matrices; GB/s: bytes read and written by a copy. "
    "Rates of a step are the median of three short rounds, without a profile's wait for a steady rate: profiles are "
    "more exact."
)
