"""cub100 is read from CUB-200-2011, and a folder of that name comes first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.environment import Environment
from benchmarks.planning import shopping
from benchmarks.planning.suite import DatasetChoice
from datasets import available, known, open_dataset, reader_of
from datasets.curation.verify import findings
from datasets.fetching.needs import needs
from datasets.readers.cub100 import CUB100
from datasets.readers.cub_200_2011 import CUB
from datasets.release import Expected
from tests.helpers import true_tables
from tests.helpers.fakes.file_server import FileServer
from tests.helpers.small_folders import fails, serve_cub, small_cub, write_tables


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with a small CUB-200-2011, two of whose species pass for those of cub100."""
    boxed(small_cub(tmp_path / "data"))
    monkeypatch.setattr("datasets.readers.cub100.SPECIES", "1 3")
    monkeypatch.setattr(CUB100, "expected", Expected(classes=2, train=2, test=2))
    return tmp_path / "data"


def boxed(cub: Path) -> Path:
    write_tables(cub, {"bounding_boxes.txt": [f"{number} {number}.0 2.0 30.0 20.0" for number in range(1, 7)]})
    return cub


def test_its_split_is_the_one_of_the_true_tables_and_of_the_cuts_that_were_measured(
    metadata: Path, real_data: Path, tmp_path: Path
) -> None:
    ours = open_dataset("cub100", true_tables.without_images("cub_200_2011", metadata, tmp_path), complete=False)
    theirs = open_dataset("cub100", real_data)
    assert CUB100.expected is not None
    assert ours.split_hash == theirs.split_hash == CUB100.expected.split_sha256
    assert ours.classes_sha256 == theirs.classes_sha256
    assert ours.counts == theirs.counts == {"classes": 100, "train": 2_999, "test": 2_903}
    assert ours.departure() is None
    cuts = np.loadtxt(real_data / "cub100" / "bounding_boxes_in_original_image.txt")
    assert ours.boxes is not None
    np.testing.assert_array_equal(ours.boxes[:, 2:], cuts[:, 3:])


def test_it_is_there_once_cub_is(small: Path, tmp_path: Path) -> None:
    assert available(small) == ["synthetic", "cub_200_2011", "cub100"]
    assert "cub100" not in available(tmp_path)
    assert "cub100" in known(tmp_path)
    dataset = open_dataset("cub100", small)
    assert (dataset.name, dataset.classes) == ("cub100", ("001.Auk", "003.Owl"))
    assert dataset.image(1).shape == (20, 30, 3)
    assert dataset.departure() is None


def test_some_of_its_species_lie_in_the_same_folder(small: Path) -> None:
    some = open_dataset("cub100", small, {"classes": ["003.Owl"]})
    assert some.image(0).shape == (20, 30, 3)
    assert findings(some).folder == str(small / "CUB_200_2011" / "images")


def test_a_plan_on_it_lacks_cub(small: Path, tmp_path: Path) -> None:
    choice = DatasetChoice(name="cub100")
    (item,) = shopping.of_dataset(choice, Environment(tmp_path / "empty"))
    assert (item.name, item.bytes, item.fetchable) == ("cub_200_2011", CUB.archives[0].size, True)
    assert shopping.of_dataset(choice, Environment(small)) == []


def test_a_folder_of_that_name_is_read_as_it_is(small: Path) -> None:
    small_cub(small / "made").rename(small / "cub100")
    dataset = open_dataset("cub100", small)
    assert type(dataset) is CUB
    assert dataset.expected is None
    assert dataset.image(0).shape == (40, 50, 3)


def test_what_is_lacking_is_told(small: Path, tmp_path: Path) -> None:
    (small / "CUB_200_2011" / "bounding_boxes.txt").unlink()
    fails("cub100", small, r"bounding_boxes.txt is missing; it comes in CUB_200_2011.tgz.*data fetch cub100")
    fails("cub100", tmp_path, r"cub100: the folder .*CUB_200_2011 is missing; .* or get them: data fetch cub100")


def test_one_command_gets_it(
    small: Path,
    tmp_path: Path,
    server: FileServer,
    fgbench: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve_cub(small / "CUB_200_2011", server, monkeypatch)
    root = tmp_path / "elsewhere"
    assert "cub100" in fgbench("data", "list", "--data", root)[1]
    code, said = fgbench("data", "fetch", "cub100", "--data", root)
    assert code == 0
    assert "cub100" in said
    assert needs(*reader_of("cub100"), root).archives == ()
    assert len(open_dataset("cub100", root)) == 4
    assert len(open_dataset("cub_200_2011", root)) == 6
