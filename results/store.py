"""The folder of results: `<root>/<run id>/{record.json, history.csv, predictions.parquet, …}`.

Every file is written under a temporary name, flushed, and renamed, and `record.json` last: a Run with a record is
whole, one without is unfinished. The index is derived and can be rebuilt at any time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype
from pydantic import ValidationError

from results import identity
from results.errors import OtherSettingsError, ResultsError
from results.files import make_folder, sweep, write_whole
from results.record import SCHEMA, Record
from results.settings import AnyRun, flat

REFERENCE = "reference"
"""The folder of committed Runs, below the root."""
HISTORY = "history.csv"
PREDICTIONS = "predictions.parquet"
WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
"""The one before, kept while a new one is written."""
GALLERY = "gallery"
"""The folder of a Run's galleries of test images."""
PLANNED = "planned.json"
"""In `reference/`: the rows of the project's numbers that are not there, and why."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""With which a cell begins that a spreadsheet reads as a formula."""


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text, and name of a column, that a spreadsheet would compute."""

    def as_text(value: Any) -> Any:
        return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value

    words = {name: table[name].map(as_text) for name in table.columns if not is_numeric_dtype(table[name])}
    return table.assign(**words).rename(columns=as_text) if words else table.rename(columns=as_text)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Within, a file that can't be read raises `ResultsError`; pandas and pyarrow raise `OSError` or `ValueError`."""
    try:
        yield
    except PermissionError as error:
        raise ResultsError(f"{path}: can't be read ({error.strerror}); allow it, or choose other --results") from error
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: is damaged; move the folder {path.parent.name} away and run again, or check the file out anew"
        ) from error


class ResultStore:
    """Reads and writes Runs below `root`. Creating one writes nothing; `prepare()` makes the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.foreign: dict[str, str] = {}
        """Run id -> why `records` and `own` left its record out: an `OtherSettingsError` as text."""

    def prepare(self) -> None:
        """Makes the folder, proves that it can be written, and sweeps it (`files.sweep`). Raises `ResultsError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise ResultsError(
                f"{self.root}: results can't be written there ({error.strerror}); choose another folder with --results"
            ) from error
        sweep(self.root)

    def folder(self, run_id: str) -> Path:
        """The Run's folder, made if need be. Raises `ResultsError`, also if it is a link."""
        return make_folder(self.root, run_id, "--results")

    def write(
        self, record: Record, history: pd.DataFrame | None = None, predictions: pd.DataFrame | None = None
    ) -> None:
        """Stores a Run, its record last. `history`: a row per epoch; `predictions`: per selection and image."""
        folder = self.folder(record.id)
        if history is not None:
            write_whole(folder / HISTORY, lambda path: history.to_csv(path, index=False))
        if predictions is not None:
            write_whole(folder / PREDICTIONS, lambda path: predictions.to_parquet(path, index=False))
        text = record.model_dump_json(indent=2, exclude_none=True)
        write_whole(folder / "record.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def read(self, run_id: str) -> Record | None:
        """The Run's record, or None if it has none.

        Raises `OtherSettingsError` for settings that this version does not know, `ResultsError` for a record that
        can't be read.
        """
        path = self.root / run_id / "record.json"
        with _readable(path):
            if not path.is_file():
                return None
            text = path.read_bytes()
        try:
            return Record.model_validate_json(text)
        except ValidationError as error:
            raise _unreadable(path, text, error) from error

    def answer(self, run: AnyRun) -> Record | None:
        """The finished record that answers a Run (`identity.answer`), `reference/` left out. Raises as `read`."""
        return identity.answer(run, lambda one: self.read(one.id))

    def own(self) -> list[Record]:
        """The records below the root without those in `reference/`, ordered by id.

        Those with settings that this version does not know are left out and noted in `foreign`.
        """
        return [record for run_id in sorted(self._ids()) if (record := self._read_known(run_id)) is not None]

    def records(self) -> list[Record]:
        """All records below the root, `reference/` included, ordered by id. Leaves out the same as `own`.

        Of two with one id the root's own counts, unless it failed and the other did not.
        """
        reference = ResultStore(self.root / REFERENCE)
        found = {record.id: record for record in reference.own()}
        found |= {record.id: record for record in self.own() if record.status == "done" or record.id not in found}
        self.foreign |= reference.foreign
        return [found[run_id] for run_id in sorted(found)]

    def history(self, run_id: str) -> pd.DataFrame | None:
        """A row per epoch, or None. Raises `ResultsError` for a file that can't be read."""
        path = self._file(run_id, HISTORY)
        if path is None:
            return None
        with _readable(path):
            table = pd.read_csv(path)
            if not {"epoch", "loss", "test_top1"} <= set(table.columns):
                raise ValueError("its columns are not those of a history")
            return table

    def predictions(self, run_id: str, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
        """A row per selection and test image, or None; with `columns`, only these are read. Raises as `history`."""
        path = self._file(run_id, PREDICTIONS)
        if path is None:
            return None
        with _readable(path):
            return pd.read_parquet(path, columns=list(columns) if columns else None)

    def index(self) -> pd.DataFrame:
        """Rebuilds `index.csv`, a flat row per record, and returns it."""
        index = pd.DataFrame([flat(record.model_dump(mode="json")) for record in self.records()])
        write_whole(self.root / "index.csv", lambda path: without_formulas(index).to_csv(path, index=False))
        return index

    def publish(self, run_id: str) -> Path:
        """Copies a finished Run, without its weights, to `reference/`: the part of the results that is committed."""
        record = self.read(run_id)
        if record is None or record.status != "done":
            raise ResultsError(f"{self.root / run_id}: is no finished Run, so there is nothing to publish")
        reference = ResultStore(self.root / REFERENCE)
        reference.write(record, self.history(run_id), self.predictions(run_id))
        return reference.folder(run_id)

    @property
    def _planned(self) -> Path:
        """Among the committed Runs, which may be this store's own."""
        return (self.root if self.root.name == REFERENCE else self.root / REFERENCE) / PLANNED

    def plan(self, rows: Sequence[dict[str, Any]]) -> Path:
        """Stores which of the project's reference results are missing among the committed Runs."""
        path = self._planned
        ResultStore(path.parent).prepare()
        write_whole(path, lambda file: file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8"))
        return path

    def planned(self) -> list[dict[str, Any]]:
        """The rows that `plan` wrote. Raises `ResultsError` if they can't be read."""
        path = self._planned
        try:
            return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []
        except (OSError, ValueError) as error:
            raise ResultsError(f"{path}: can't be read; write it anew with: run_all.py publish all") from error

    def _read_known(self, run_id: str) -> Record | None:
        try:
            return self.read(run_id)
        except OtherSettingsError as error:
            self.foreign[run_id] = str(error)
            return None

    def _ids(self) -> Iterator[str]:
        yield from (path.parent.name for path in self.root.glob("*/record.json"))

    def _file(self, run_id: str, name: str) -> Path | None:
        for root in (self.root, self.root / REFERENCE):
            if (path := root / run_id / name).is_file():
                return path
        return None


def _unreadable(path: Path, text: bytes, error: ValidationError) -> ResultsError:
    """Why this version can't read the `text` of a record, and what to do."""
    try:
        values = json.loads(text)
        schema, commit = values["schema_version"], values.get("commit")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        schema, commit = None, None
    if isinstance(schema, int) and schema > SCHEMA:
        reason = f"was written by a newer fgbench (schema_version {schema}, known here: {SCHEMA}); update this checkout"
        return ResultsError(f"{path}: {reason}")
    faults = error.errors()
    if all(fault["loc"][:1] == ("run",) for fault in faults):
        setting = ".".join(map(str, faults[0]["loc"][2:])) or "run"
        where = f"; commit {commit} made it" if commit else ""
        reason = f"has settings that this version does not know ({setting}: {faults[0]['msg']}){where}"
        return OtherSettingsError(f"{path}: {reason}; use that version, or move the folder {path.parent.name} away")
    what = "is damaged" if faults[0]["type"] == "json_invalid" else "is not a record of this version"
    return ResultsError(f"{path}: {what}; move the folder {path.parent.name} away and run again")


def run_folder(store: ResultStore, run_id: str) -> Path:
    """The folder with the files of a Run: below the root, or among the committed ones."""
    own = store.root / run_id
    return own if own.is_dir() else store.root / REFERENCE / run_id
