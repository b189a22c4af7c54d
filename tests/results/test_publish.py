"""A published Run is a copy byte for byte, whole or not there, and nothing that does not fit is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from results.errors import ResultsError
from results.publish import publish
from results.record import Record
from results.store import PREDICTIONS, REFERENCE, ResultStore
from tests.helpers.fake_results import failed, fill, make_old, trained

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


def test_a_run_from_before_checksums_is_published_as_it_is_and_marked(
    store: ResultStore, record: Record, fgbench: Command
) -> None:
    code, output = fgbench("publish", record.id, "--results", store.root)
    assert (code, "predates" in output) == (0, False)
    path = store.root / record.id / "record.json"
    make_old(path.parent)
    code, output = fgbench("publish", record.id, "--results", store.root)
    assert code == 0
    assert "predates checksums" in output
    assert (store.root / REFERENCE / record.id / "record.json").read_bytes() == path.read_bytes()
