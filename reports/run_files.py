"""The files beside a report's records; a damaged table is named in the report and does not stop it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from reports.predictions import COLUMNS, PredictionCache
from results.errors import ResultsError
from results.record import Record
from results.store import GALLERY, HISTORY, PREDICTIONS, ResultStore
from results.stored_tables import Columns

Table = TypeVar("Table")


class RunFiles:
    """Histories and predictions of `records`, all read from `store` at once."""

    def __init__(self, store: ResultStore, records: Sequence[Record]) -> None:
        self.damaged: dict[tuple[str, str], str] = {}
        """Run and file of it that can't be read -> the reason."""
        self.predictions = PredictionCache(
            partial(self._read, PREDICTIONS, partial(store.prediction_table, columns=COLUMNS))
        )
        self._histories = {record.id: self._read(HISTORY, store.history_columns, record.id) for record in records}
        for record in records:
            self.predictions.of_run(record.id)

    def history(self, run_id: str) -> Columns | None:
        """The columns of the table of epochs; None for a Run without a readable history. Not to be changed."""
        return self._histories.get(run_id)

    def _read(self, file: str, read: Callable[[str], Table | None], run_id: str) -> Table | None:
        try:
            return read(run_id)
        except ResultsError as error:
            self.damaged[run_id, file] = str(error)
            return None


def galleries(records: Iterable[Record], store: ResultStore, folder: Path) -> Iterator[tuple[str, str]]:
    """Name of each gallery of these Runs, and its path relative to `folder`."""
    for record in records:
        for path in sorted((store.root / record.id / GALLERY).glob("*.png")):
            yield f"{record.id}: {path.stem}", Path(os.path.relpath(path, folder)).as_posix()
