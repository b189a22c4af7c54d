"""The folder of results: `<root>/<run id>/{record.json, history.csv, predictions.parquet, …}`.

Every file is written under a temporary name, flushed, and renamed, and `record.json` last: a Run with a record is
whole, one without is unfinished. The index is derived and can be rebuilt at any time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from results import device_check, identity, integrity
from results.device_check import DeviceCheck
from results.errors import ResultsError
from results.files import make_folder, sweep, write_whole
from results.integrity import RECORD, readable
from results.record import Record
from results.settings import AnyRun, flat
from results.stored_tables import Columns, read_history, read_predictions

if TYPE_CHECKING:
    import pyarrow

REFERENCE = "reference"
"""The folder of committed Runs, below the root."""
HISTORY = "history.csv"
PREDICTIONS = "predictions.parquet"
WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
"""The one before, kept while a new one is written."""
PREVIOUS_RECORD = "record.previous.json"
"""Of an attempt that failed, kept until the next one has ended."""
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
    return table.assign(**words).rename(columns=as_text)


class ResultStore:
    """Reads and writes Runs below `root`. Creating one writes nothing; `prepare()` makes the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left_out: dict[str, str] = {}
        """Folder -> why `records` or `own` left its record out the last time: a `ResultsError` as text."""

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
        self,
        record: Record,
        history: pd.DataFrame | None = None,
        predictions: pd.DataFrame | None = None,
        with_it: Sequence[str] = (),
    ) -> None:
        """Stores a Run, its record last. `history`: a row per epoch; `predictions`: per selection and image.

        The record gets the checksums of these, of the files `with_it`, which are in the folder already, and of itself.
        """
        folder = self.folder(record.id)
        written = []
        if history is not None:
            write_whole(folder / HISTORY, lambda path: history.to_csv(path, index=False))
            written.append(HISTORY)
        if predictions is not None:
            write_whole(folder / PREDICTIONS, lambda path: predictions.to_parquet(path, index=False))
            written.append(PREDICTIONS)
        files = {name: integrity.file_checksum(folder / name) for name in (*written, *with_it)}
        record.checksums = {**record.checksums, **files}
        record.checksums[RECORD] = integrity.own_checksum(_text(record))
        write_whole(folder / RECORD, lambda path: path.write_text(_text(record) + "\n", encoding="utf-8"))
        (folder / PREVIOUS_RECORD).unlink(missing_ok=True)

    def begin_again(self, run_id: str) -> None:
        """Puts the record of a failed attempt aside: until the new one has ended, the Run has no record.

        Raises `ResultsError`.
        """
        path = self.root / run_id / RECORD
        try:
            path.replace(path.with_name(PREVIOUS_RECORD))
        except OSError as error:
            raise ResultsError(f"{path}: can't be renamed ({error.strerror}); choose another --results") from error

    def read(self, run_id: str) -> Record | None:
        """The Run's record, or None if it has none.

        Raises `ResultsError` for a record that can't be read or trusted (`results.integrity`).
        """
        path = self.root / run_id / RECORD
        with readable(path):
            there = path.is_file()
        return integrity.read_record(path) if there else None

    def answer(self, run: AnyRun) -> Record | None:
        """The finished record that answers a Run (`identity.answer`), `reference/` left out. Raises as `read`."""
        return identity.answer(run, lambda one: self.read(one.id))

    def own(self) -> list[Record]:
        """The records below the root without those in `reference/`, ordered by id.

        Those that `read` refuses are left out and noted in `left_out`.
        """
        found: list[Record] = []
        self.left_out = {}
        for folder in sorted(path.parent.name for path in self.root.glob(f"[!.]*/{RECORD}")):
            try:
                found.append(integrity.read_record(self.root / folder / RECORD))
            except ResultsError as error:
                self.left_out[folder] = str(error)
        return found

    def records(self) -> list[Record]:
        """All records below the root, `reference/` included, ordered by id. Leaves out the same as `own`.

        Of two with one id the root's own counts, unless it failed and the other did not.
        """
        found = {record.id: record for record in self._committed.own()}
        found |= {record.id: record for record in self.own() if record.status == "done" or record.id not in found}
        self.left_out = self._committed.left_out | self.left_out
        return [found[run_id] for run_id in sorted(found)]

    def device_checks(self) -> tuple[list[DeviceCheck], dict[str, str]]:
        """The checks of devices, those in `reference/` included; and file -> why one is left out."""
        return device_check.stored_checks([self.root, self._committed.root])

    def file(self, run_id: str, name: str) -> Path | None:
        """A file that was stored with a Run, here or in `reference/`; None if there is none.

        Raises `ResultsError` if a record says that there is one.
        """
        paths = [store.root / run_id / name for store in (self, self._committed)]
        for path in paths:
            if path.is_file():
                return path
        for path in paths:
            if name in integrity.checksums_in(path.parent):
                raise integrity.missing_file(path)
        return None

    def history(self, run_id: str) -> pd.DataFrame | None:
        """A row per epoch, or None. Raises as `history_columns`."""
        columns = self.history_columns(run_id)
        return None if columns is None else pd.DataFrame(columns)

    def history_columns(self, run_id: str) -> Columns | None:
        """The columns of `history`. Raises `ResultsError` for a file that can't be read or trusted."""
        path = self.file(run_id, HISTORY)
        if path is None:
            return None
        content = integrity.read_file(path)
        with readable(path):
            return read_history(content)

    def predictions(self, run_id: str) -> pd.DataFrame | None:
        """A row per selection and test image, or None. Raises as `history`."""
        table = self.prediction_table(run_id)
        # Without the notes of whoever wrote it, which pandas would believe, or stumble over.
        return None if table is None else table.replace_schema_metadata(None).to_pandas()

    def prediction_table(self, run_id: str, columns: Sequence[str] | None = None) -> pyarrow.Table | None:
        """The same as pyarrow reads it; with `columns`, only these."""
        path = self.file(run_id, PREDICTIONS)
        if path is None:
            return None
        content = integrity.read_file(path)
        with readable(path):
            return read_predictions(content, columns)

    def index(self) -> pd.DataFrame:
        """Rebuilds `index.csv`, a flat row per record, and returns it."""
        rows = [record.model_dump(mode="json", exclude={"checksums"}) for record in self.records()]
        index = pd.DataFrame(list(map(flat, rows)))
        write_whole(self.root / "index.csv", lambda path: without_formulas(index).to_csv(path, index=False))
        return index

    @cached_property
    def _committed(self) -> ResultStore:
        return ResultStore(self.root / REFERENCE)

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
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ResultsError(f"{path}: can't be read; write it anew with: run_all.py publish all") from error


def _text(record: Record) -> str:
    return record.model_dump_json(indent=2, exclude_none=True)


def run_folder(store: ResultStore, run_id: str) -> Path:
    """The folder with the files of a Run: below the root, or among the committed ones."""
    own = store.root / run_id
    return own if own.is_dir() else store.root / REFERENCE / run_id
