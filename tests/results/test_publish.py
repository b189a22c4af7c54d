"""A published Run is a copy byte for byte, whole or not there, and nothing that does not fit is published."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from results.errors import ResultsError
from results.publish import publish
from results.record import Record
from results.store import PREDICTIONS, REFERENCE, ResultStore
from tests.helpers.fakes.fake_results import failed, fill, history, make_old, metrics, predictions, trained

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def record(store: ResultStore) -> Record:
    record = trained("plain")
    fill(store, [record], 20)
    (store.root / record.id / "weights.safetensors").write_bytes(b"large")
    return record


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_published_run_is_the_same_bytes_without_weights(store: ResultStore, record: Record) -> None:
    path = store.root / record.id / "record.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")  # laid out as nobody would write it
    own = content(path.parent)
    del own["weights.safetensors"]
    published = publish(store, record.id)
    assert content(published) == own
    assert [folder.name for folder in published.parent.iterdir()] == [record.id]
    assert ResultStore(store.root / REFERENCE).records() == [record]


def test_a_run_published_again_replaces_the_earlier_one_whole(store: ResultStore, record: Record) -> None:
    published = publish(store, record.id)
    (published / "left over.txt").touch()
    store.write(record, predictions=store.predictions(record.id))
    publish(store, record.id)
    assert content(published).keys() == {"record.json", "history.csv", PREDICTIONS}


def test_nothing_is_published_of_a_run_that_does_not_fit(store: ResultStore, record: Record) -> None:
    whole = publish(store, record.id)
    before = content(whole)
    (store.root / record.id / PREDICTIONS).write_bytes(b"other")
    with pytest.raises(ResultsError, match=rf"{PREDICTIONS}: is not the file that was stored with the record"):
        publish(store, record.id)
    assert content(whole) == before


@pytest.mark.parametrize("file", ["history.csv", PREDICTIONS])
def test_no_file_that_cannot_be_read_is_published_of_an_old_record(
    store: ResultStore, record: Record, file: str
) -> None:
    make_old(store.root / record.id)
    (store.root / record.id / file).write_bytes(b"\0\1\2")
    with pytest.raises(ResultsError, match=rf"{file}: is damaged"):
        publish(store, record.id)
    assert not (store.root / REFERENCE / record.id).exists()


def test_a_full_disk_leaves_the_earlier_one(
    store: ResultStore, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = publish(store, record.id)
    before = content(whole)
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(ResultsError, match="No space left"):
        publish(store, record.id)
    assert content(whole) == before
    assert [folder.name for folder in whole.parent.iterdir()] == [record.id]


def test_a_failed_or_unknown_run_is_not_published(store: ResultStore) -> None:
    record = failed("plain")
    store.write(record)
    for run_id in (record.id, "nowhere"):
        with pytest.raises(ResultsError, match="is no finished Run, so there is nothing to publish"):
            publish(store, run_id)
    assert not (store.root / REFERENCE).exists()


@pytest.fixture
def old(store: ResultStore) -> Record:
    """A record from before checksums, with the history and predictions that it tells of."""
    record = trained("plain", split={"test": 20}, metrics={"last": metrics(0.75), "best_on_test": metrics(0.8, 9)})
    table = history().assign(test_top1=[*[0.5] * 8, 0.8, 0.75])
    answers = [predictions(np.arange(20) < right, name) for right, name in ((15, "last"), (16, "best_on_test"))]
    store.write(record, table, pd.concat(answers))
    make_old(store.root / record.id)
    return record


def test_a_run_from_before_checksums_is_published_as_it_is_and_marked(
    store: ResultStore, record: Record, old: Record, fgbench: Command
) -> None:
    other = trained("sef")
    fill(store, [other], 20)
    code, output = fgbench("publish", other.id, "--results", store.root)
    assert (code, "predates" in output) == (0, False)
    code, output = fgbench("publish", old.id, "--results", store.root)
    assert code == 0
    assert "predates checksums" in output
    path = store.root / old.id / "record.json"
    assert (store.root / REFERENCE / old.id / "record.json").read_bytes() == path.read_bytes()


def halve(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]), encoding="utf-8")


def without_an_accuracy(path: Path) -> None:
    pd.read_csv(path).assign(test_top1=lambda table: table["test_top1"].where(table["epoch"] != 4)).to_csv(path)


def with_another_accuracy(epoch: int, path: Path) -> None:
    table = pd.read_csv(path)
    table.loc[table["epoch"] == epoch, "test_top1"] += 0.05
    table.to_csv(path, index=False)


def without_an_image(path: Path) -> None:
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)


def all_right(path: Path) -> None:
    pd.read_parquet(path).assign(prediction=0).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("file", "harm", "said"),
    [
        ("history.csv", halve, "has 4 epochs, its record 10"),
        ("history.csv", without_an_accuracy, "lacks the accuracy of an epoch"),
        ("history.csv", partial(with_another_accuracy, 9), "has another accuracy in epoch 9"),
        ("history.csv", partial(with_another_accuracy, 10), "has another accuracy in epoch 10"),
        ("history.csv", Path.unlink, "is missing"),
        (PREDICTIONS, without_an_image, "has 19 test images of last, its record 20"),
        (PREDICTIONS, all_right, "gives another accuracy of last"),
        (PREDICTIONS, Path.unlink, "is missing"),
    ],
)
def test_what_contradicts_an_old_record_is_not_published(
    store: ResultStore, old: Record, file: str, harm: Callable[[Path], object], said: str
) -> None:
    harm(store.root / old.id / file)
    with pytest.raises(ResultsError, match=f"{file}: {said}"):
        publish(store, old.id)
    assert not (store.root / REFERENCE / old.id).exists()


def test_a_publish_killed_between_its_renames_loses_nothing(
    store: ResultStore, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = publish(store, record.id)
    before = content(whole)
    if (pid := os.fork()) == 0:
        rename = Path.rename

        def killed(path: Path, target: Path) -> None:
            rename(path, target)
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(Path, "rename", killed)
        try:
            publish(store, record.id)
        finally:
            os._exit(1)  # not killed: this copy of the tests must not go on
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert not whole.exists()
    other = trained("sef")
    fill(store, [other], 20)
    publish(store, other.id)
    assert content(whole) == before
    assert {path.name for path in whole.parent.iterdir()} == {record.id, other.id}
