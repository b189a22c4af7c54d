"""Which stored record answers a Run that is tied to its images and class names."""

from __future__ import annotations

import inspect

import datasets
from results.identity import DRAWN, hash_of_classes, predates_check
from results.record import Record
from results.settings import Run
from results.store import ResultStore
from tests.helpers.fakes.fake_results import trained

NAMES = ["gull", "tern"]


def recorded(**changes: object) -> Record:
    """As the worker names it; `changes` as of `trained`."""
    record = trained("plain", **changes)
    return record.model_copy(update={"id": record.run.id})


def before_the_check(**changes: object) -> Record:
    return recorded(split={"class_names": NAMES}, **changes)


def planned_today(record: Record, classes: list[str] = NAMES) -> Run:
    """The same Run, as it is planned with the check."""
    assert isinstance(record.run, Run)
    return record.run.model_copy(update={"images_sha256": "a" * 64, "classes_sha256": hash_of_classes(classes)})


def test_a_record_from_before_the_check_answers_the_run_of_today(store: ResultStore) -> None:
    old = before_the_check()
    store.write(old)
    run = planned_today(old)
    assert run.id != old.id
    assert store.answer(run) == old


def test_a_record_with_other_class_names_or_in_another_order_is_no_answer(store: ResultStore) -> None:
    old = before_the_check()
    store.write(old)
    assert store.answer(planned_today(old, ["gull", "Tern"])) is None
    assert store.answer(planned_today(old, NAMES[::-1])) is None


def test_the_runs_own_record_is_preferred_and_a_failed_one_is_none(store: ResultStore) -> None:
    old = before_the_check()
    run = planned_today(old)
    own = old.model_copy(update={"id": run.id, "hash": run.hash, "run": run})
    store.write(old)
    store.write(own)
    assert store.answer(run) == own
    store.write(own.model_copy(update={"status": "failed"}))
    assert store.answer(run) == old
    store.write(old.model_copy(update={"status": "failed"}))
    assert store.answer(run) is None


def test_a_record_with_other_images_is_no_answer(store: ResultStore) -> None:
    then = recorded(images_sha256="b" * 64, classes_sha256=hash_of_classes(NAMES))
    store.write(then)
    assert store.answer(planned_today(then)) is None
    assert isinstance(then.run, Run)
    assert store.answer(then.run) == then


def test_only_runs_on_files_predate_the_check() -> None:
    assert predates_check(trained("plain").run)
    assert not predates_check(planned_today(trained("plain")))
    assert not predates_check(trained("plain", dataset="synthetic").run)


def test_exactly_the_datasets_that_need_no_folder_are_drawn() -> None:
    readers = datasets.reader_classes().items()
    folder_of = {name: inspect.signature(reader).parameters["folder"] for name, reader in readers}
    assert {name for name, folder in folder_of.items() if folder.default is None} == DRAWN
