"""The files beside a report's records: each is read once, and a damaged one is named instead of stopping the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from reports.predictions import COLUMNS, PredictionCache
from results.errors import ResultsError
from results.record import Record
from results.store import HISTORY, PREDICTIONS, ResultStore


class RunFiles:
    """Histories and predictions of `records`, all read from `store` at once."""

    def __init__(self, store: ResultStore, records: Sequence[Record]) -> None:
        self.damaged: dict[tuple[str, str], str] = {}
        """Run and file of it that can't be read -> the reason."""
        self.predictions = PredictionCache(
            partial(self._read, PREDICTIONS, partial(store.predictions, columns=COLUMNS))
        )
        self._histories = {record.id: self._read(HISTORY, store.history, record.id) for record in records}
        for record in records:
            self.predictions.of_run(record.id)

    def history(self, run_id: str) -> pd.DataFrame | None:
        """A row per epoch; None for a Run without a readable history. Not to be changed."""
        return self._histories.get(run_id)

    def _read(self, file: str, read: Callable[[str], pd.DataFrame | None], run_id: str) -> pd.DataFrame | None:
        try:
            return read(run_id)
        except ResultsError as error:
            self.damaged[run_id, file] = str(error)
            return None
