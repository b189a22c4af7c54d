"""Files of results are written whole or not at all, and a record that can't be used is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.training.networks.trained_run import find_run
from reports.report import write_report
from results.errors import ResultsError
from results.files import write_whole
from results.record import SCHEMA, Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import make_old, trained


def test_a_full_disk_leaves_what_was_there(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.prepare()
    path = store.root / "kept.txt"
    write_whole(path, lambda temporary: temporary.write_text("before", encoding="utf-8"))

    # torch wraps the system's error in one of its own
    for error in (OSError(28, "No space left on device"), RuntimeError("No space left on device")):

        def full(temporary: Path, error: Exception = error) -> None:
            temporary.write_text("half", encoding="utf-8")
            raise error

        with pytest.raises(ResultsError, match="No space left"):
            write_whole(path, full)
    assert path.read_text(encoding="utf-8") == "before"
    assert [file.name for file in store.root.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("text", "what"),
    [('{"id": "broken"}', "is not a record of this version"), ('{"id', "is damaged"), ("[" * 100_000, "is damaged")],
    ids=["other", "cut", "deep"],
)
def test_a_record_that_cannot_be_read_is_named(text: str, what: str, store: ResultStore) -> None:
    (store.folder("broken") / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=rf"broken/record\.json: {what}; move its folder away"):
        store.read("broken")


def rewrite(store: ResultStore, record: Record, **values: object) -> None:
    """Stores the record with other values in its file, and without checksums, as before there were any."""
    store.write(record)
    record.checksums = {}
    make_old(store.root / record.id, **values)


def test_a_record_keeps_its_settings_whole_and_gives_new_ones_their_defaults(store: ResultStore) -> None:
    record = trained("plain")
    stored = record.run.model_dump(mode="json")
    assert record.model_dump(mode="json", exclude_none=True)["run"] == stored
    del stored["revision"]  # as in records from before it was a setting
    rewrite(store, record, run=stored)
    (read,) = store.records()
    assert read == record
    assert read.current


def test_a_record_of_settings_that_are_not_known_is_named_and_keeps_no_other_from_being_read(
    store: ResultStore, tmp_path: Path
) -> None:
    foreign, record = trained("plain"), trained("sef")
    store.write(record)
    rewrite(store, foreign, run=foreign.run.model_dump(mode="json") | {"colour": "red"})
    with pytest.raises(ResultsError, match=r"does not know \(colour: .*commit abc1234.*move its folder"):
        store.read(foreign.id)
    report = write_report(store, tmp_path / "report", "x")
    assert [row["run"] for row in report.tables["runs"].rows] == [record.id]
    (row,) = report.tables["missing"].where(where=foreign.id).rows
    assert "colour" in row["reason"]


def test_a_record_without_settings_is_found_by_the_beginning_of_its_id_and_says_so(store: ResultStore) -> None:
    record = trained("plain")
    rewrite(store, record, run=None)
    with pytest.raises(ResultsError, match=r"does not know \(run: Input should be an object\).*move its folder"):
        find_run(store, record.id[:-3])


def test_what_is_not_a_number_is_read_as_it_was_written(store: ResultStore) -> None:
    record = trained("plain")
    record.metrics["last"].log_loss = math.inf
    record.training["seconds"] = math.nan
    store.write(record)
    (read,) = store.records()
    assert math.isinf(read.metrics["last"].log_loss)
    assert math.isnan(read.training["seconds"])


def test_a_record_of_a_newer_form_is_refused_with_what_to_do(store: ResultStore) -> None:
    record = trained("plain")
    rewrite(store, record, schema_version=SCHEMA + 1)
    with pytest.raises(ResultsError, match=r"newer fgbench .*update this checkout"):
        store.read(record.id)
