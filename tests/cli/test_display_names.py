"""Reports get a name for everything that the project runs."""

from __future__ import annotations

from pathlib import Path

import pytest

import datasets
import methods
from benchmarks.cli import display_names
from benchmarks.config import parse
from benchmarks.errors import UserError
from benchmarks.planning import method_files
from benchmarks.planning.method_files import MethodFile
from reports.names import told_apart


def test_every_method_of_the_project_has_a_name_of_its_own() -> None:
    names = display_names.of_methods()
    assert names.keys() == {*methods.available()}
    assert names["ws_dan"] == "WS-DAN"
    assert told_apart(names) == names
    assert all(method_files.method_file(method).name for method in names)


def test_every_dataset_of_the_project_has_a_name_and_its_title_names_it() -> None:
    names = display_names.of_datasets()
    assert names["cub_200_2011"] == "CUB-200-2011"
    assert names.keys() == datasets.reader_classes().keys() - {"folder"}
    assert told_apart(names) == names


def test_backbones_are_named_by_their_networks() -> None:
    assert display_names.of_backbones(["resnet50", "test_resnet"]) == {
        "resnet50": "ResNet-50",
        "test_resnet": "test_resnet",
    }


NAMELESS = "summary: ours\nvariants: {paper: {about: ours}}\nrecipe: {backbone: resnet50, recipe: {}}\n"


@pytest.mark.parametrize("recipe", [NAMELESS, "summary: ["], ids=["without a name", "broken"])
def test_a_method_without_a_readable_name_goes_by_its_id(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "goes_by_its_id"
    folder.mkdir()
    (folder / "model.py").touch()
    (folder / "recipe.yaml").write_text(recipe)
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    method_files.method_file.cache_clear()
    assert display_names.of_methods() == {"goes_by_its_id": "goes_by_its_id"}


@pytest.mark.parametrize("name", ["", " WS-DAN", "WS\nDAN", "WS  DAN", "a\x1b[31m", "\u202eNAD-SW", "x" * 41])
def test_a_name_that_is_no_visible_line_is_refused(name: str) -> None:
    values = method_files.method_file("ws_dan").model_dump() | {"name": name}
    with pytest.raises(UserError, match="recipe: name"):
        parse(MethodFile, values, "recipe")


def test_a_name_may_have_any_visible_letters() -> None:
    values = method_files.method_file("ws_dan").model_dump() | {"name": "α-Net <&$_"}
    assert parse(MethodFile, values, "recipe").name == "α-Net <&$_"
