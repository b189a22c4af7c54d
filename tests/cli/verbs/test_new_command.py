"""`run_all.py new method`: what it writes is a method at once, and nothing outside its folder is edited."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import methods
from benchmarks.cli.new_command import app, write_method
from benchmarks.errors import UserError

ROOT = Path(__file__).parents[3]


def test_a_new_method_passes_the_contract_without_another_edit(tmp_path: Path) -> None:
    for entry in ROOT.iterdir():  # copied where Python would follow a link to the modules beside it
        if entry.name in ("benchmarks", "datasets", "reports", "results"):
            (tmp_path / entry.name).symlink_to(entry)
        elif entry.is_dir() and not entry.name.startswith("."):
            shutil.copytree(entry, tmp_path / entry.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif entry.is_file():
            shutil.copy(entry, tmp_path)
    folder = write_method("seventh", tmp_path / "methods")
    tests = ["tests/methods", str(folder), "-p", "no:cacheprovider", "-k", "seventh and not compiled"]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    for module in (["pytest", *tests], ["ruff", "check", str(folder)], ["ruff", "format", "--check", str(folder)]):
        done = subprocess.run(
            [sys.executable, "-m", *module], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_the_verb_writes_into_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "FOLDER", tmp_path)
    done = CliRunner().invoke(app, ["method", "seventh"])
    assert done.exit_code == 0
    assert (tmp_path / "seventh" / "model.py").is_file()


def test_every_file_carries_the_new_name_alone(tmp_path: Path) -> None:
    folder = write_method("part_graph", tmp_path)
    assert (folder / "test_part_graph.py").is_file()
    assert (folder / "test_part_graph_speed.py").is_file()
    assert "class PartGraphMethod(Method)" in (folder / "model.py").read_text()
    assert [file.name for file in folder.iterdir() if "template" in (file.name + file.read_text()).lower()] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../outside", "can't be a method's name"),
        ("a/b", "can't be a method's name"),
        ("Upper", "can't be a method's name"),
        ("7th", "can't be a method's name"),
        ("class", "can't be a method's name"),
        ("", "can't be a method's name"),
        ("x" * 300, "up to 60 lower-case letters"),
        ("plain", "is taken"),
        ("interface", "is taken"),
        ("weights", "is taken"),
        ("load", "is taken"),
        ("all", "is taken"),
    ],
)
def test_a_bad_name_is_refused_and_nothing_is_written(tmp_path: Path, name: str, message: str) -> None:
    root = tmp_path / "methods"
    root.mkdir()
    for taken in ("plain", "weights"):
        (root / taken).mkdir()
    (root / "interface.py").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        write_method(name, root)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_can_not_be_finished_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="seventh can't be written: No space left on device"):
        write_method("seventh", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_template_is_no_method() -> None:
    assert not [name for name in methods.available() if "template" in name]
