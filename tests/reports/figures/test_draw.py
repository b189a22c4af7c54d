"""Figures are drawn once, by any number of processes, each into files of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from reports.figures.draw import DRAWN, start_drawing
from reports.figures.drawing import KINDS, Drawing
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, trained
from tests.helpers.report_reader import asked_of

drawn: list[int] = []


def _drawn(width: int) -> Figure:
    drawn.append(width)
    return Figure(figsize=(width, 1))


def test_figures_that_are_there_are_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def written(width: int) -> list[str]:
        figures = start_drawing([Drawing("curves", "cub", _drawn, (width,))], tmp_path)()
        return sorted(path.name for figure in figures["curves"] for path in figure.paths)

    drawn.clear()

    files = ["curves-cub.pdf", "curves-cub.png", "curves-cub.svg", "curves-cub.txt"]
    assert written(1) == written(1) == files
    assert drawn == [1]
    assert written(2) == files
    assert drawn == [1, 2]
    (tmp_path / "curves-cub.png").unlink()
    assert written(2) == files
    assert drawn == [1, 2, 2]
    (tmp_path / DRAWN).write_text("not JSON")
    assert written(2) == files
    assert drawn == [1, 2, 2, 2]
    monkeypatch.setitem(KINDS, "curves", "Curves of training")
    assert written(2) == files
    assert drawn == [1, 2, 2, 2, 2], "its title is another"


def test_many_figures_drawn_by_several_processes_are_those_of_one(store: ResultStore, monkeypatch: pytest.MonkeyPatch):
    fill(store, [trained("plain", seed, dataset=name) for name in "abc" for seed in range(2)], 100)
    found = [drawing for several in asked_of(store).values() for drawing in several]
    folders = [store.root / "one", store.root / "many"]
    for folder, worth in zip(folders, (100, 4), strict=True):
        folder.mkdir()
        monkeypatch.setattr("reports.figures.draw.PER_PROCESS", worth)
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        start_drawing(found, folder)()
    one, many = ({path.name: path.read_bytes() for path in folder.glob("*.svg")} for folder in folders)
    assert len(one) >= 9
    assert one == many


def test_several_processes_draw_before_the_caller_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reports.figures.draw.PER_PROCESS", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    finish = start_drawing([Drawing("curves", name, _blank, ()) for name in "ab"], tmp_path)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.png"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert len(finish()["curves"]) == 2


def test_two_figures_of_one_name_have_two_files(tmp_path: Path):
    drawings = [Drawing("curves", name, _blank, ()) for name in ("a/b", "a b", "A-B")]
    (figures,) = start_drawing(drawings, tmp_path)().values()
    assert len({path for figure in figures for path in figure.paths}) == 12


def _blank() -> Figure:
    return Figure(figsize=(1, 1))
