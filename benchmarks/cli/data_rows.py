"""What `data list`, `data fetch`, `data verify` and `data prepare` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import DownloadColumn, MofNCompleteColumn, TimeRemainingColumn, TransferSpeedColumn

import datasets
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution.display import ProgressBars
from datasets.fetching import fetch as fetching
from datasets.fetching import verify as verifying
from datasets.fetching.download import FetchError
from datasets.fetching.verify import Findings
from datasets.interface import Dataset, DatasetError
from datasets.loading.store import open_store

__all__ = ["CountDisplay", "FetchDisplay", "FetchError", "Findings", "fetch", "prepare", "rows", "short_rows", "verify"]

Listening = verifying.Progress


class FetchDisplay(ProgressBars):
    """Shows a download: a line for each event, and on a terminal a bar with rate and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())

    def bytes(self, what: str, done: int, total: int | None) -> None:
        """Updates the bar of `what`, which replaces the bar of anything else."""
        if not self.tasks or self.tasks[-1].description != escape(what):
            for task in self.task_ids:
                self.remove_task(task)
            # Bytes of an earlier, interrupted download count as done, but not for the rate.
            self.add_task(escape(what), completed=done, total=total)
        self.update(self.task_ids[-1], completed=done, total=total)


class CountDisplay(ProgressBars):
    """Shows how many images are done: a bar on a terminal, a line for every 500 images elsewhere."""

    def __init__(self, console: Console, what: str) -> None:
        super().__init__(console, MofNCompleteColumn(), TimeRemainingColumn())
        self.what = what
        self._images = self.add_task(escape(what), total=None)

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` images."""
        if not self.console.is_terminal and (done == total or done % 500 == 0):
            self.note(f"{self.what}: {done} of {total}")
        self.update(self._images, completed=done, total=total)


def rows(environment: Environment) -> list[dict[str, Any]]:
    """Every dataset there is, here or not: one row each, one for each subset where it is used by subsets."""
    there = datasets.available(environment.data_root)
    return [
        row
        for name in datasets.known(environment.data_root)
        for row in (
            [_row(name, options, environment) for options in _options(name)] if name in there else [_absent_row(name)]
        )
    ]


def short_rows(full: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns that fit a terminal of 120 characters."""
    return [
        {
            "name": " ".join([row["name"], *(f"{key}={value}" for key, value in row["options"].items())]),
            "classes": row["classes"],
            "train": row["train"],
            "test": row["test"],
            "here": "yes" if row["here"] and not row["problem"] else "faulty" if row["here"] else _how_to_get(row),
            "what": row["problem"] or row["what"],
        }
        for row in full
    ]


def _row(name: str, options: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    """A dataset that is here; one that can't be used has a problem, and the others are listed all the same."""
    reader = datasets.reader_classes().get(name)
    row = _facts(name, reader) | {"options": dict(options), "here": True}
    folder = (
        environment.data_root / (reader.folder if reader and reader.folder else name) if environment.data_root else None
    )
    try:
        dataset = environment.open(name, options)
        return row | {
            "what": dataset.title,
            "classes": len(dataset.classes),
            "train": int(dataset.is_train.sum()),
            "test": int((~dataset.is_train).sum()),
            "boxes": dataset.has_boxes,
            "parts": len(dataset.parts.names) if dataset.parts else 0,
            "split_sha256": dataset.split_hash,
            "terms": dataset.terms,
            "folder": str(folder) if folder and folder.is_dir() else None,
        }
    except DatasetError as error:  # some readers find a fault only where they are asked
        return row | {"problem": str(error)}


def _absent_row(name: str) -> dict[str, Any]:
    return _facts(name, datasets.reader_classes()[name]) | {"here": False}


def _facts(name: str, reader: type[Dataset] | None) -> dict[str, Any]:
    """What is known of a dataset without opening it; None for what is not."""
    expected = reader.expected if reader else None
    archives = reader.archives if reader else ()
    sizes = [archive.size for archive in archives]
    return {
        "name": name,
        "options": {},
        "what": reader.title if reader else None,
        "here": False,
        "problem": None,
        "classes": expected.classes if expected else None,
        "train": expected.train if expected else None,
        "test": expected.test if expected else None,
        "boxes": None,
        "parts": None,
        "split_sha256": expected.split_sha256 if expected else None,
        "folder": None,
        "archives": [archive.name for archive in archives],
        "archive_bytes": sum(filter(None, sizes)) if sizes and None not in sizes else None,
        "fetchable": bool(archives) and all(archive.urls for archive in archives),
        "by_hand": reader.by_hand or None if reader else None,
        "terms": reader.terms if reader else None,
    }


def _how_to_get(row: Mapping[str, Any]) -> str:
    if not row["fetchable"]:
        return f"no; data fetch {row['name']} says how"
    size = f" ({row['archive_bytes'] / 1e9:.1f} GB)" if row["archive_bytes"] else ""
    return f"no; data fetch {row['name']}{size}"


def _options(name: str) -> Sequence[Mapping[str, Any]]:
    """The options under which a dataset is used: those of its subsets, or none."""
    reader = datasets.reader_classes().get(name)
    return (reader.subsets if reader else ()) or ({},)


def fetch(name: str, root: Path | None, put_into: Path | None, display: FetchDisplay) -> list[Findings]:
    """Gets a dataset, opens it, and compares its counts and split with the published ones; images aren't read.

    Raises what `datasets.fetching.fetch.fetch` raises, and `DatasetError` if what is there can't be opened.
    """
    if root is None:
        raise UserError("no data folder was given: name it with --data-root FOLDER or FGBENCH_DATA")
    if put_into is not None and not put_into.is_dir():
        raise UserError(f"{put_into}: there is no such folder (--from)")
    name, reader = datasets.reader_of(name)
    fetching.fetch(name, reader, root, put_into, display)
    try:
        return [verifying.findings(datasets.open_dataset(name, root, options)) for options in _options(name)]
    except DatasetError as error:
        raise DatasetError(f"{error}; to fetch everything anew, move {root / str(reader.folder)} away first") from error


def verify(name: str, root: Path | None, options: Mapping[str, Any], progress: Listening) -> list[Findings]:
    """Reads every image of a dataset, or of each of its subsets where `options` name none."""
    return [
        verifying.verify(datasets.open_dataset(name, root, chosen, complete=False), progress)
        for chosen in ([options] if options else _options(name))
    ]


def prepare(dataset: Dataset, size: int, rule: Literal["squash", "short_side"], progress: Listening) -> dict[str, Any]:
    """Builds the decoded store, or opens it if it is there. Returns where it lies and what it holds."""
    store = open_store(dataset, size, rule, progress=progress)
    return {"folder": str(store.folder), "images": len(store), "bytes": int(store.offsets[-1])}
