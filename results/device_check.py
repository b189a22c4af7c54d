"""What `run_all.py check-device` found of one device: its form, and the file that holds it.

A check of a device is one JSON file in `device_checks/` of a results folder. `reference/device_checks/` is committed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import AwareDatetime, Field, FiniteFloat, ValidationError

from results.errors import ResultsError
from results.files import make_folder, write_whole
from results.integrity import checksum, readable
from results.speed import RecordModel
from results.values.numbers import NonNegative, Positive

FOLDER = "device_checks"
"""The folder of these files, below a results folder."""
SCHEMA = 1

Group = Literal["values", "waits", "determinism", "memory", "compile", "steps", "feeds", "ceilings"]
"""What is checked:

- values: whether the device computes what the CPU computes
- waits: whether a step makes the host wait for the device
- determinism: whether a training repeats itself, bit for bit
- memory: whether a training goes on after memory ran out
- compile: whether a method compiles as a whole, and then computes the same
- steps: what a step costs, beside the plain network's
- feeds: how fast images come to the device, and are augmented there
- ceilings: the fastest products and copies of the device
"""
Status = Literal["ok", "slow", "wrong", "failed", "not run"]
"""slow: right, but slower than its goal. wrong: what was computed is wrong. failed: the check itself broke off."""
STATUSES: tuple[Status, ...] = get_args(Status)
FAULTS: tuple[Status, ...] = ("wrong", "failed")


class Check(RecordModel):
    """One check, carried out in a process of its own."""

    group: Group
    method: str | None = None
    """None where it is about no method."""
    case: str = ""
    """Network, size, precision, or what else tells it from others of its group."""
    status: Status
    finding: str = ""
    """In a few words: what was found, or why nothing was."""
    numbers: dict[str, FiniteFloat] = {}
    """By names that end in the unit: `train_ms`, `train_images_per_s`, `peak_bytes`; differences are relative."""
    seconds: NonNegative = 0.0
    traceback: str | None = None


class DeviceCheck(RecordModel):
    """All checks of one device."""

    schema_version: int = Field(SCHEMA, ge=1, le=SCHEMA)
    device: Literal["cpu", "cuda"]
    name: str
    """Of the GPU; or of the processor, with its vector instructions and threads."""
    small: bool
    """Whether steps and feeds were measured on small networks and images."""
    minutes: Positive
    """That it was allowed to take."""
    started: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    seconds: NonNegative = 0.0
    commit: str | None = None
    clean: bool | None = None
    """Whether the checkout had no uncommitted change."""
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    """Driver and memory among it."""
    state: dict[Literal["before", "after"], dict[str, Any]] = {}
    """Clocks, temperature, throttling, and the load of all processes."""
    checks: list[Check] = []
    sha256: str = ""
    """Of all the rest; the file's name begins with the device and ends with the first digits."""

    @property
    def wrong(self) -> list[Check]:
        """The checks with a fault: something is wrong, or broke off."""
        return [check for check in self.checks if check.status in FAULTS]

    @property
    def counts(self) -> str:
        """`12 ok, 1 wrong, 3 not run`."""
        found = Counter(check.status for check in self.checks)
        return ", ".join(f"{found[status]} {status}" for status in STATUSES if found[status])

    def of(self, group: Group, method: str | None = None) -> list[Check]:
        """The checks of a group, of one method if it is named."""
        return [one for one in self.checks if one.group == group and method in (None, one.method)]

    @property
    def file_name(self) -> str:
        """`nvidia_h200-20261129-0a1b2c3d4e.json`."""
        device = re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")[:80] or self.device
        return f"{device}-{self.started:%Y%m%d}-{self.sha256[:10]}.json"


def write_check(root: Path, check: DeviceCheck) -> Path:
    """Stores a check below the results folder `root`, whole or not at all; returns its file. Raises `ResultsError`."""
    sealed = check.model_copy(update={"sha256": _own_checksum(check.model_dump(mode="json", exclude_none=True))})
    path = make_folder(root, FOLDER, "--results") / sealed.file_name
    text = sealed.model_dump_json(indent=1, exclude_none=True) + "\n"
    write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
    return path


def read_check(path: Path) -> DeviceCheck:
    """Reads a stored check. Raises `ResultsError` for a file that is damaged, was edited, or is of another form."""
    with readable(path):
        text = path.read_bytes() if path.is_file() else b""
    try:
        values = json.loads(text)
        check = DeviceCheck.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise ResultsError(f"{path}: is no check of a device ({where}: {fault['msg']}); move it away") from error
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: is damaged; move it away and check the device again") from error
    if check.sha256 != _own_checksum(values):
        raise ResultsError(f"{path}: was edited or damaged: its checksum does not fit; restore it, or move it away")
    return check


def stored_checks(roots: Iterable[Path]) -> tuple[list[DeviceCheck], dict[str, str]]:
    """The checks below these results folders, each once, by device and time; and file name -> why one is left out."""
    found: dict[str, DeviceCheck] = {}
    faults: dict[str, str] = {}
    for path in sorted(one for root in roots for one in (root / FOLDER).glob("[!.]*.json")):
        try:
            check = read_check(path)
        except ResultsError as error:
            faults[path.name] = str(error)
        else:
            found[check.sha256] = check
    return sorted(found.values(), key=lambda check: (check.device, check.name, check.started)), faults


def _own_checksum(values: dict[str, Any]) -> str:
    rest = {key: value for key, value in values.items() if key != "sha256"}
    return checksum(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
