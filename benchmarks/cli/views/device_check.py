"""What a user sees of `check-device`: its progress, and the table of what was found."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from benchmarks.console import PlainTextColumn
from benchmarks.device_check.plan import PlannedCheck
from benchmarks.execution.display import ProgressBars, format_time_left
from results.device_check import FAULTS, Check, DeviceCheck


class CheckDisplay(ProgressBars):
    """A bar for the checks on a terminal, and a line for each that was made."""

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console, PlainTextColumn("{task.fields[left]}"))
        self.total = total
        self._label = ""
        self._bar = self.add_task("", total=total, left="")

    def begins(self, number: int, planned: PlannedCheck, left: float) -> None:
        """See `benchmarks.device_check.session.Listener`."""
        self._label = f"[{number}/{self.total}] {planned.label}"
        self.update(self._bar, description=self._label, completed=number - 1, left=format_time_left(max(left, 0)))

    def ended(self, check: Check) -> None:
        """See `benchmarks.device_check.session.Listener`."""
        if not check.seconds:  # the table says why it was not made
            return
        finding = f" ({check.finding})" if check.finding and check.status != "ok" else ""
        self.note(f"{self._label}: {check.status}{finding}, {check.seconds:.1f} s")


def rows(record: DeviceCheck) -> list[dict[str, Any]]:
    """A row per check, for the table at the end; methods of the same result share one."""
    together: dict[tuple[str, ...], list[str]] = {}
    for check in record.checks:
        status = check.status.upper() if check.status in FAULTS else check.status
        together.setdefault((check.group, check.case, status, check.finding), []).append(check.method or "")
    return [
        {
            "check": group,
            "of": " · ".join(filter(None, [", ".join(filter(None, methods)), case])) or None,
            "status": status,
            "found": finding or None,
        }
        for (group, case, status, finding), methods in together.items()
    ]
