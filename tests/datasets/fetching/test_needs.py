"""What fetching a dataset would take is told before anything is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datasets import reader_classes, reader_of
from datasets.fetching.needs import needs
from datasets.readers.nabirds import NABirds
from datasets.readers.stanford_cars import StanfordCars
from tests.helpers.fakes.fake_archives import GOOD, Get, mini
from tests.helpers.fakes.file_server import Answer, FileServer


def test_what_is_here_is_not_needed_again(tmp_path: Path, server: FileServer, get: Get) -> None:
    reader, root = mini(server.serve("/mini", Answer(GOOD)), size=len(GOOD)), tmp_path / "data"
    before = needs("mini", reader, root)
    assert ([archive.name for archive in before.archives], before.bytes) == (["mini.tar.gz"], len(GOOD))
    assert (before.by_hand, before.page, before.of_unknown_size) == ((), "", ())
    assert server.requests == [], "nothing is asked of the network"
    get(reader)
    assert needs("mini", reader, root).archives == ()


def test_an_archive_that_was_put_there_is_not_needed_unless_it_is_cut(tmp_path: Path) -> None:
    reader = mini(size=len(GOOD))
    (tmp_path / "mini.tar.gz").write_bytes(GOOD[:-1])
    assert needs("mini", reader, tmp_path).by_hand == ("mini.tar.gz",)
    (tmp_path / "mini.tar.gz").write_bytes(GOOD)
    assert needs("mini", reader, tmp_path).archives == ()


def test_a_form_is_named_with_its_page(tmp_path: Path) -> None:
    asked = needs("nabirds", NABirds, tmp_path)
    assert asked.by_hand == asked.of_unknown_size == ("nabirds.tar.gz",)
    assert asked.page in asked.advice
    assert "non-commercial" in asked.terms
    assert asked.folder == tmp_path / "nabirds"


def test_sizes_are_added_and_the_unknown_ones_named(tmp_path: Path) -> None:
    cars = needs("stanford_cars", StanfordCars, tmp_path)
    assert cars.bytes == sum(archive.size or 0 for archive in StanfordCars.archives) > 1_900_000_000
    assert len(cars.by_hand) == 3
    assert "car_devkit.tgz" not in cars.by_hand
    aircraft = needs(*reader_of("fgvc_aircraft"), tmp_path)
    assert (aircraft.bytes, aircraft.of_unknown_size) == (2_750_000_000, ()), "rounded sizes count too"


def test_every_dataset_that_needs_a_hand_names_a_page() -> None:
    for reader in reader_classes().values():
        if any(not archive.urls for archive in reader.archives):
            assert reader.page.startswith("https://")
            assert reader.page in reader.by_hand


def test_wrong_names_and_no_data_folder_are_told(
    tmp_path: Path, refused: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean 'nabirds'" in refused("data", "fetch", "nabird", "--data", tmp_path)[1]
    monkeypatch.delenv("FGBENCH_DATA", raising=False)
    assert "--data" in refused("data", "fetch", "nabirds")[1]
