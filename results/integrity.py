"""Whether what is stored of a Run can be trusted: the one reader of records, and of the files written with them.

A record belongs in the folder that its id names, and holds a SHA-256 of itself and of each file that was written with
it. Records from before that have none: their settings must fit their hash, and nothing is known of their files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from results.errors import ResultsError
from results.record import SCHEMA, Record
from results.settings import MIXING_RULES, RULES, hash_of

RECORD = "record.json"
PREDATES = "predates checksums: nothing tells whether its files are as they were written"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within, a file that can't be read raises `ResultsError`; pandas and pyarrow raise `OSError` or `ValueError`."""
    try:
        yield
    except PermissionError as error:
        raise ResultsError(f"{path}: can't be read ({error.strerror}); allow it, or choose other --results") from error
    except (OSError, ValueError) as error:
        raise _misfit(path, "is damaged") from error


def checksum(content: bytes) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def file_checksum(path: Path) -> str:
    """The same, of a file that may be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def own_checksum(text: str | bytes) -> str:
    """SHA-256 of what a record says, but for this checksum; line breaks and spaces of its file don't matter."""
    values = json.loads(text)
    values.get("checksums", {}).pop(RECORD, None)
    return checksum(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())


def read_record(path: Path) -> Record:
    """The record in a Run's folder. Raises `ResultsError`, which says what does not fit and what to do."""
    text = _content(path)
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        raise _unreadable(path, text, error) from error
    if record.id != path.parent.name:
        raise ResultsError(f"{path.parent}: {_elsewhere(record.id, path.parent)}")
    if record.checksums:
        if own_checksum(text) != record.checksums.get(RECORD):
            raise _misfit(path, "was edited or damaged: its checksum does not fit")
    elif not _fits_settings(record):
        raise _misfit(path, "was edited, or made by another version: its settings do not fit its hash")
    return record


def read_file(path: Path) -> bytes:
    """A file of a Run. Raises `ResultsError` if it is not what the record beside it says."""
    content = _content(path)
    _compare(path, lambda: checksum(content))
    return content


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises `ResultsError`, also for a pipe, which would wait, or a device without an end."""
    with readable(path):
        special = path.exists() and not path.is_file()
        content = b"" if special else path.read_bytes()
    if special:
        raise _misfit(path, "is no plain file")
    return content


def check_file(path: Path) -> None:
    """The same for a file that is too large to be read at once."""
    with readable(path):
        _compare(path, lambda: file_checksum(path))


def _compare(path: Path, found: Callable[[], str]) -> None:
    known = None if path.name == RECORD else checksums_in(path.parent).get(path.name)
    if known is not None and found() != known:
        raise _misfit(path, "is not the file that was stored with the record: its checksum does not fit")


def checksums_in(folder: Path) -> dict[str, str]:
    """File -> SHA-256 as the record in this folder has them; of a record that can't be read, none."""
    try:
        return dict(json.loads(_content(folder / RECORD))["checksums"])
    except (ResultsError, ValueError, LookupError, TypeError, RecursionError):
        return {}


def missing_file(path: Path) -> ResultsError:
    """The error of a file that was stored with a record and is gone."""
    return _misfit(path, "was stored with the record and is missing")


def _misfit(path: Path, what: str) -> ResultsError:
    return ResultsError(f"{path}: {what}; restore it, or move its folder away and run again")


def _elsewhere(run_id: str, folder: Path) -> str:
    """What a folder is that holds the record of another Run, and what to do."""
    if (folder.parent / run_id / RECORD).is_file():
        return f"holds the record of another Run, {run_id}; a copy is not counted: move it out of the results"
    return f"holds the record of {run_id}; give the folder that name again, or move it out of the results"


def _fits_settings(record: Record) -> bool:
    """Whether the settings have the record's hash, by today's rules or earlier ones."""
    settings = record.run.settings
    plain = {key: value for key, value in settings.items() if key != "mixing_rules"}
    mixed = [{**plain, "mixing_rules": rules} for rules in range(2, MIXING_RULES + 1)]
    return any(
        hash_of({**some, "rules": rules}) == record.hash
        for some in (settings, plain, *mixed)
        for rules in range(RULES, 0, -1)
    )


def _unreadable(path: Path, text: bytes, error: ValidationError) -> ResultsError:
    """Why this version can't read the `text` of a record, and what to do."""
    values = _values(text)
    schema, commit = values.get("schema_version"), values.get("commit")
    if isinstance(schema, int) and schema > SCHEMA:
        reason = f"was written by a newer fgbench (schema_version {schema}, known here: {SCHEMA}); update this checkout"
        return ResultsError(f"{path}: {reason}")
    faults = error.errors()
    if all(fault["loc"][:1] == ("run",) for fault in faults):
        setting = ".".join(map(str, faults[0]["loc"][2:])) or "run"
        where = f"; commit {commit} made it" if commit else ""
        reason = f"has settings that this version does not know ({setting}: {faults[0]['msg']}){where}"
        return ResultsError(f"{path}: {reason}; use that version, or move its folder away")
    what = "is damaged" if faults[0]["type"] == "json_invalid" else "is not a record of this version"
    return ResultsError(f"{path}: {what}; move its folder away and run again")


def _values(text: bytes) -> dict[str, Any]:
    """What a record says, if it is JSON at all."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
