"""Published datasets as far as they are known before their files are here."""

from __future__ import annotations

from typing import Any

import pytest

from datasets import DatasetError, announced, reader_classes
from datasets.readers.fgvc_aircraft import RELEASED

PUBLISHED = [name for name, reader in reader_classes().items() if (reader.part_of or reader).archives]


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_has_the_counts_of_its_release(name: str) -> None:
    for options in reader_classes()[name].subsets or ({},):
        release = reader_classes()[name].release(options)
        assert release is not None
        found = announced(name, options)
        found.check()
        found.check_classes()
        found.require_split(None)
        assert found.counts == {"classes": release.classes, "train": release.train, "test": release.test}


@pytest.mark.parametrize(
    ("name", "options", "counts"),
    [
        ("fgvc_aircraft", {"level": "family"}, vars(RELEASED["family"])),
        ("fgvc_aircraft", {"banner": True}, vars(RELEASED["variant"])),
        ("oxford_flowers102", {"train": "train"}, {"classes": 102, "train": 1020, "test": 6149}),
        ("webfg_496", {"subset": "bird"}, {"classes": 200, "train": 18_388, "test": 5_794}),
        ("cub_200_2011", {"crop": "box"}, {"classes": 200, "train": 5_994, "test": 5_794}),
        ("cub_200_2011", {"classes": ["one", "other"]}, {"classes": 2, "train": 60, "test": 58}),
    ],
)
def test_options_change_the_counts_as_they_do_in_the_dataset(
    name: str, options: dict[str, Any], counts: dict[str, int]
) -> None:
    assert announced(name, options).counts.items() <= counts.items()


@pytest.mark.parametrize(
    ("name", "options", "fault"),
    [
        ("cub_200_2011", {"crops": "box"}, "did you mean 'crop'"),
        ("webfg_496", {}, "nobody states how many images"),
        ("fgvc_aircraft", {"level": "wing"}, "nobody states how many images"),
        ("folder", {}, "nobody states how many images"),
    ],
)
def test_what_is_not_known_is_refused(name: str, options: dict[str, Any], fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        announced(name, options)


def test_there_is_no_image_to_read() -> None:
    with pytest.raises(DatasetError, match="cub_200_2011 is not here; get it: data fetch cub_200_2011"):
        announced("cub_200_2011").image(0)
