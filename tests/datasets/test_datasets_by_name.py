"""Finding datasets by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets import DatasetError, UnknownDataset, available, open_dataset, reader_classes
from tests.helpers.small_folders import cub_like, draw


@pytest.fixture
def cub(tmp_path: Path) -> Path:
    return cub_like(tmp_path / "birds")


def test_every_module_with_a_dataset_is_a_reader() -> None:
    assert {"synthetic", "cub_200_2011", "folder"} <= set(reader_classes())
    assert "interface" not in reader_classes()
    assert "storage" not in reader_classes()


def test_a_reader_without_files_opens_without_a_root() -> None:
    dataset = open_dataset("synthetic", None, {"classes": 2, "train_per_class": 1, "test_per_class": 1})
    assert dataset.name == "synthetic"
    assert len(dataset) == 4


def test_a_folder_is_opened_by_the_reader_that_knows_its_layout(cub: Path) -> None:
    dataset = open_dataset("birds", cub.parent)
    assert type(dataset) is reader_classes()["cub_200_2011"]
    assert dataset.name == "birds"


def test_a_reader_with_a_fixed_folder_is_opened_by_its_own_name(cub: Path) -> None:
    cub.rename(cub.with_name("CUB_200_2011"))
    assert open_dataset("cub_200_2011", cub.parent).name == "cub_200_2011"
    assert open_dataset("CUB_200_2011", cub.parent).name == "cub_200_2011", "one dataset, one name"
    assert available(cub.parent) == ["synthetic", "cub_200_2011", "cub100"]


def test_available_lists_usable_folders_alone(cub: Path) -> None:
    (cub.parent / "empty").mkdir()
    draw(cub.parent / "mine" / "train" / "a" / "1.png")
    draw(cub.parent / ".hidden" / "train" / "a" / "1.png")
    assert available(cub.parent) == ["synthetic", "birds", "mine"]
    assert available(None) == available(cub / "nowhere") == ["synthetic"]


def test_an_unknown_name_lists_the_choices_and_the_nearest(cub: Path) -> None:
    with pytest.raises(UnknownDataset, match=r"'brids'.*did you mean 'birds'\?.*synthetic, birds") as caught:
        open_dataset("brids", cub.parent)
    assert caught.value.choices == ["synthetic", "birds"]
    with pytest.raises(UnknownDataset, match="no data folder was given"):
        open_dataset("birds", None)
    with pytest.raises(UnknownDataset, match=r"'aircraft'.*did you mean 'fgvc_aircraft'\?"):  # whose files are not here
        open_dataset("aircraft", cub.parent)


def test_a_folder_of_unknown_layout_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    with pytest.raises(DatasetError, match=r"odd has a layout that no reader knows; train/<class>"):
        open_dataset("odd", tmp_path)


def test_a_folder_of_two_layouts_is_refused(cub: Path) -> None:
    draw(cub / "train" / "a" / "1.png")
    with pytest.raises(DatasetError, match="two layouts, whose splits may differ: the tables of CUB-200-2011"):
        open_dataset("birds", cub.parent)


def test_an_unknown_option_names_the_nearest(cub: Path) -> None:
    with pytest.raises(DatasetError, match=r"no option 'clases': did you mean 'classes'\?"):
        open_dataset("synthetic", None, {"clases": 3})
    with pytest.raises(DatasetError, match=r"no option 'size'; it takes classes, crop"):
        open_dataset("birds", cub.parent, {"size": 3})


@pytest.mark.parametrize(
    ("name", "classes", "train", "test"), [("cub100", 100, 2999, 2903), ("flowers17", 17, 1020, 340)]
)
def test_real_images_have_their_counts(real_data: Path, name: str, classes: int, train: int, test: int) -> None:
    dataset = open_dataset(name, real_data)
    assert len(dataset.classes) == classes
    assert dataset.is_train.sum() == train
    assert (~dataset.is_train).sum() == test
    assert dataset.image(0).shape[2] == 3
