"""The page holds each Run's answers to the test images as far as there is room."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pytest

from reports.names import Names
from reports.render import html_data
from reports.render.html_data import PageData, page_data
from reports.render.html_records import records_data
from reports.run_files import RunFiles
from results.store import ResultStore
from tests.helpers.fakes.fake_results import predictions, profiled, trained


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path)
    store.write(trained("plain"), predictions=predictions([True, False, True, False, False]))
    store.write(trained("sef"), predictions=predictions([False, True, True, True, True]))
    store.write(trained("sef", dataset="dogs"), predictions=predictions([True]))
    store.write(trained("ws_dan"))
    return store


def data_of(store: ResultStore) -> PageData:
    records = store.records()
    return page_data(records, RunFiles(store, records))


def unpacked(text: str) -> dict:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def test_runs_on_the_same_images_share_their_names_and_have_the_places_of_their_errors(store: ResultStore):
    data = data_of(store)
    runs = unpacked(data.records)["runs"]
    of = {(run["of"]["method"], run["of"]["dataset"]): run for run in runs.values()}
    plain, sef = of["plain", "cub100"], of["sef", "cub100"]
    assert plain["images"] == sef["images"] != of["sef", "dogs"]["images"]
    assert of["ws_dan", "cub100"]["images"] is None
    answers = unpacked(data.images[plain["images"]])
    assert answers["images"] == [f"image {place}.jpg" for place in range(5)]
    assert answers["wrong"] == {str(plain["number"]): [2, 2, 1], str(sef["number"]): [1]}


def test_answers_that_have_no_room_are_left_out():
    data = PageData(images=("aaaa", "", "bbbbbbbb", "c"))
    assert data.images_within(5) == [(0, "aaaa"), (3, "c")]
    assert data.images_within(0) == []


def test_more_answers_than_any_page_has_room_for_are_not_even_packed(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(html_data, "IMAGES", 3)
    assert sorted(map(bool, data_of(store).images)) == [False, True]


def test_a_run_is_offered_by_the_name_of_its_method(tmp_path: Path):
    records = [trained("dfl_cnn", 1), trained("dfl_cnn", 0, variant="random"), profiled("dfl_cnn")]
    runs = records_data(records, RunFiles(ResultStore(tmp_path), []), names=Names(methods={"dfl_cnn": "DFL-CNN"}))[
        "runs"
    ]
    assert [run["label"] for run in runs.values()] == ["DFL-CNN, seed 1", "DFL-CNN:random, seed 0", "DFL-CNN, profile"]
