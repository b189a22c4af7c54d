"""The project's own numbers: which experiments they are, and how they are narrowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import methods
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import suite
from benchmarks.planning.overrides import NO_CHANGES, Changes
from benchmarks.planning.reference.experiments import experiments
from benchmarks.planning.reference.missing import missing, planned_rows
from tests.helpers.small_suites import small_numbers


def test_what_needs_a_gpu_is_planned_on_a_cpu_but_not_done_there(monkeypatch: pytest.MonkeyPatch) -> None:
    small_numbers(monkeypatch, gpu=True)
    rows = experiments(Environment(), NO_CHANGES)
    assert [row.needs("cpu") for row in rows] == ["a GPU", "a GPU"]
    assert [row.needs("cuda") for row in rows] == [None, None]
    assert [row["why"] for row in planned_rows(rows)] == ["needs a GPU", "needs a GPU"]


def test_data_that_are_not_here_are_named_without_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_numbers(monkeypatch, datasets=["cub_200_2011"], backbones=["resnet50"])
    rows = experiments(Environment(tmp_path, tmp_path), NO_CHANGES)
    assert [row.lacking for row in rows] == ["cub_200_2011, weights of resnet50"]
    assert str(tmp_path) not in json.dumps(planned_rows(rows))
    assert missing(rows, []) == rows


def test_own_images_that_a_suite_reads_are_on_the_shopping_list_where_they_are_not_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_numbers(monkeypatch, datasets=["my_birds"])
    (row,) = experiments(Environment(tmp_path), NO_CHANGES)
    assert [(item.name, item.fetchable) for item in row.items if item.kind == "dataset"] == [("my_birds", False)]


def test_only_narrows_the_numbers_and_a_wrong_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    small_numbers(monkeypatch)
    (row,) = experiments(Environment(), Changes(only={"method": "sef"}))
    assert row.names["method"] == "sef"
    with pytest.raises(UserError, match="did you mean 'method'"):
        experiments(Environment(), Changes(only={"methd": "sef"}))
    with pytest.raises(UserError, match="no Run of the plan has method=seff; did you mean 'sef'"):
        experiments(Environment(), Changes(only={"method": "seff"}))


@pytest.mark.parametrize(
    ("only", "fit"),
    [
        ({"method": "swinfc"}, True),
        ({"variant": "paper", "method": "swin*,sef"}, True),
        ({"dataset": "cub_200_2011", "job": "train", "protocol": "paper"}, True),
        ({"backbone": "swin_base*", "image_size": "384", "recipe.image_size": "384"}, True),
        ({"method": "sef"}, False),
        ({"image_size": "448"}, False),
        ({"recipe.image_size": "448"}, False),
        ({"seed": "0"}, True),  # not known of it
        ({"seed": "0", "recipe.epochs": "1,50"}, True),
        ({"seed": "0", "method": "sef"}, False),
        ({"batch_size": "16"}, True),
        ({"compile": "true"}, False),  # no training has it
    ],
    ids=str,
)
def test_only_keeps_rows_without_runs_unless_what_is_known_of_them_does_not_fit(
    only: dict[str, str], fit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "available", lambda: ["swinfc"])
    monkeypatch.setattr(suite, "available", list)
    environment = Environment(tmp_path, tmp_path)
    assert all(not row.runs for row in experiments(environment, NO_CHANGES))
    if fit:
        assert experiments(environment, Changes(only=only))
    else:
        with pytest.raises(UserError, match="no Run of the plan"):
            experiments(environment, Changes(only=only))


def test_only_keeps_a_row_of_several_methods_without_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_numbers(monkeypatch, datasets=["cub_200_2011"], backbones=["resnet50"], methods=["plain", "ws_dan:maps_4"])
    for only in {"method": "plain"}, {"method": "ws_dan", "variant": "maps_4"}, {"dataset": "cub*"}:
        assert len(experiments(Environment(tmp_path, tmp_path), Changes(only=only))) == 1
    for only in {"method": "plain", "variant": "maps_4"}, {"backbone": "resnet18"}:
        with pytest.raises(UserError, match="no Run of the plan"):
            experiments(Environment(tmp_path, tmp_path), Changes(only=only))
    with pytest.raises(UserError, match="did you mean 'method'"):
        experiments(Environment(tmp_path, tmp_path), Changes(only={"methd": "plain"}))


def test_the_projects_numbers_can_be_planned_without_data_or_weights(tmp_path: Path) -> None:
    rows = experiments(Environment(tmp_path, tmp_path), NO_CHANGES)
    assert {"cub100", "ablations", "flowers17", "cost", "papers"} <= {row.suite for row in rows}
    assert all(row.runs or row.lacking for row in rows)
    published = [row for row in rows if row.names.get("published") == 89.4]
    assert any(row.names["method"] == "ws_dan" and row.names["dataset"] == "cub_200_2011" for row in published)
