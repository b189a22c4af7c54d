"""What is stored of a Run is used only if it fits together: folder, id, settings, schema version and checksums."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.training.networks.trained_run import find_run
from reports.render.readme_blocks import check_readme
from reports.report import write_report
from results.errors import ResultsError
from results.record import SCHEMA, Record
from results.store import HISTORY, PREDICTIONS, REFERENCE, ResultStore
from tests.helpers.fakes.fake_results import fill, make_old, trained

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def records(store: ResultStore) -> list[Record]:
    """Three seeds, with histories and predictions."""
    stored = [trained("plain", seed) for seed in range(3)]
    fill(store, stored, 20)
    return stored


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def taken_away(path: Path) -> Path:
    path.unlink()
    return path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_a_better_accuracy(folder: Path) -> None:
    path = folder / "record.json"
    text = path.read_text(encoding="utf-8")
    assert '"top1": 0.8,' in text
    path.write_text(text.replace('"top1": 0.8,', '"top1": 0.9,'), encoding="utf-8")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an accuracy edited": (with_a_better_accuracy, "was edited or damaged: its checksum does not fit"),
    "a checksum edited": (
        lambda folder: edit(folder / "record.json", checksums={"record.json": "0" * 64}),
        "was edited or damaged",
    ),
    "a newer form": (lambda folder: edit(folder / "record.json", schema_version=SCHEMA + 1), "newer fgbench"),
    "no form at all": (
        lambda folder: edit(folder / "record.json", schema_version=0),
        "is not a record of this version",
    ),
    "empty": (lambda folder: (folder / "record.json").write_bytes(b""), "is damaged"),
    "cut": (lambda folder: cut(folder / "record.json"), "is damaged"),
    "not a file": (lambda folder: (folder / "record.json").write_bytes(b"\xff\xfe"), "is damaged"),
    "a pipe": (lambda folder: os.mkfifo(taken_away(folder / "record.json")), "is no plain file"),
    "an endless device": (
        lambda folder: taken_away(folder / "record.json").symlink_to("/dev/zero"),
        "is no plain file",
    ),
    "an old one, edited": (
        lambda folder: make_old(folder, run=trained("sef").run.model_dump(mode="json")),
        "its settings do not fit its hash",
    ),
    "renamed": (lambda folder: folder.rename(folder.with_name("mine")), "give the folder that name again"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_record_that_does_not_fit_is_left_out_and_named(name: str, store: ResultStore, records: list[Record]) -> None:
    damage, said = FAULTS[name]
    damage(store.root / records[1].id)
    assert store.records() == [records[0], records[2]]
    (told,) = store.left_out.values()
    assert told.startswith(str(store.root))
    assert said in told
    assert records[1].id in told
    assert "\n" not in told


def test_a_report_goes_on_without_a_record_that_does_not_fit(
    store: ResultStore, records: list[Record], fgbench: Command
) -> None:
    code, output = fgbench("report", "--results", store.root)
    assert code == 0
    assert "3 Runs: 3 done" in output
    with_a_better_accuracy(store.root / records[1].id)
    code, output = fgbench("report", "--results", store.root)
    assert code == 1
    assert "2 Runs: 2 done" in output
    assert f"{store.root / records[1].id / 'record.json'}: was edited or damaged" in output
    assert "was edited or damaged" in (store.root / "report" / "report.md").read_text(encoding="utf-8")


def test_a_copied_folder_is_named_and_no_seed(store: ResultStore, records: list[Record], fgbench: Command) -> None:
    folder = store.root / records[0].id
    for name in ("backup of plain seed0", f"{folder.name} (copy)"):
        shutil.copytree(folder, store.root / name)
    code, output = fgbench("report", "--results", store.root)
    assert code == 1
    told = [line for line in output.splitlines() if "holds the record of another Run" in line]
    assert len(told) == 2
    assert all(f"{folder.name}; a copy is not counted: move it out of the results" in line for line in told)
    assert "3 Runs: 3 done" in output
    (row,) = csv.DictReader((store.root / "report" / "head_to_head.csv").open(encoding="utf-8"))
    assert row["last_top1_n"] == "3"


def test_files_swapped_between_two_runs_are_named_and_left_out(store: ResultStore, records: list[Record]) -> None:
    first, second = (store.root / record.id / PREDICTIONS for record in records[:2])
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    report = write_report(store, store.root / "report", "x")
    assert report.left_out.keys() == {(record.id, PREDICTIONS) for record in records[:2]}
    assert all("is not the file that was stored with the record" in reason for reason in report.left_out.values())
    (row,) = report.tables["head_to_head"].rows
    assert row["last_top1_n"] == 3


@pytest.mark.parametrize("file", [HISTORY, PREDICTIONS])
@pytest.mark.parametrize("damage", [Path.unlink, cut, lambda path: path.write_bytes(b"")])
def test_a_file_that_is_gone_or_cut_is_named(
    file: str, damage: Callable[[Path], object], store: ResultStore, records: list[Record]
) -> None:
    path = store.root / records[2].id / file
    damage(path)
    read = store.history if file == HISTORY else store.predictions
    with pytest.raises(ResultsError, match=rf"{file}: .*(is missing|does not fit); restore it, or move its folder"):
        read(records[2].id)


def test_a_record_laid_out_anew_is_the_same(store: ResultStore, records: list[Record]) -> None:
    """Spaces and line breaks are no content: git or an editor may change them."""
    edit(store.root / records[0].id / "record.json")
    assert store.records() == records


def test_a_record_stored_again_keeps_what_it_knows_of_its_files(store: ResultStore, records: list[Record]) -> None:
    """As after a measurement of attention, which adds to a record."""
    read = store.read(records[0].id)
    assert read is not None
    read.notes = ["measured since"]
    store.write(read)
    assert store.read(read.id) == read
    cut(store.root / read.id / PREDICTIONS)
    with pytest.raises(ResultsError, match="does not fit"):
        store.predictions(read.id)


def test_a_record_from_before_checksums_is_used(store: ResultStore, records: list[Record]) -> None:
    make_old(store.root / records[0].id)
    assert len(store.records()) == 3
    assert store.predictions(records[0].id) is not None
    assert store.left_out == {}


def test_a_run_is_asked_for_by_a_copy_of_it_and_says_so(store: ResultStore, records: list[Record]) -> None:
    shutil.copytree(store.root / records[0].id, store.root / "backup")
    with pytest.raises(ResultsError, match=f"backup: holds the record of another Run, {records[0].id}"):
        find_run(store, "back")
    assert find_run(store, records[0].id) == records[0]


def test_a_committed_page_is_not_rendered_without_a_record(
    store: ResultStore, records: list[Record], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- table: runs -->\n<!-- /table -->\n", encoding="utf-8")
    with_a_better_accuracy(store.root / records[1].id)
    with pytest.raises(ResultsError, match=f"{records[1].id}.*its checksum does not fit"):
        check_readme(page, store)


def test_a_good_committed_record_stands_in_for_an_own_one_that_does_not_fit(
    store: ResultStore, records: list[Record]
) -> None:
    shutil.copytree(store.root / records[0].id, store.root / REFERENCE / records[0].id)
    with_a_better_accuracy(store.root / records[0].id)
    assert store.records() == records
    assert list(store.left_out) == [records[0].id]


def test_a_report_on_some_of_records_that_are_all_damaged_says_so(
    store: ResultStore, records: list[Record], refused: Command
) -> None:
    for record in records:
        cut(store.root / record.id / "record.json")
    code, said = refused("report", "--only", "method=plain", "--results", store.root)
    assert code == 1
    assert f"none of the 3 records below {store.root} can be used; first: " in said
    assert "record.json: is damaged" in said
