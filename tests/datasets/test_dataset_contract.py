"""What every reader in datasets/ has to state, checked over all that are found by being there."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path, PurePosixPath

import pytest

from datasets import Dataset, DatasetError, open_dataset, reader_classes
from datasets.release import Archive

READERS = reader_classes()
RELEASES = sorted(name for name, reader in READERS.items() if reader.folder)
"""Those of published datasets, which lie in a folder of their own."""

all_readers = pytest.mark.parametrize("name", sorted(READERS))
releases = pytest.mark.parametrize("name", RELEASES)


all_archives = pytest.mark.parametrize(
    ("reader", "archive"),
    [
        pytest.param(reader, archive, id=f"{name}-{archive.name}")
        for name, reader in READERS.items()
        for archive in reader.archives
    ],
)


def is_one_line(text: str) -> bool:
    return bool(text) and text == text.strip() and text.isprintable()


@all_readers
def test_a_reader_says_what_it_is_and_on_what_terms(name: str) -> None:
    reader = READERS[name]
    assert is_one_line(reader.title)
    assert is_one_line(reader.terms)
    assert reader.__doc__ not in (None, Dataset.__doc__)
    assert sys.modules[reader.__module__].__doc__


@all_readers
def test_a_reader_is_opened_with_its_folder_and_options_that_may_be_left_out(name: str) -> None:
    folder, *options = inspect.signature(READERS[name]).parameters.values()
    assert folder.name == "folder"
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    assert all(option.kind in named for option in options), "options come by name"
    assert all(option.default is not option.empty for option in options), "an option has a default"


def test_no_two_releases_share_a_folder() -> None:
    folders = [READERS[name].folder for name in RELEASES]
    assert len(set(folders)) == len(folders)
    assert all(folder == PurePosixPath(folder).name for folder in folders if folder)


@releases
def test_a_release_states_its_counts_and_where_it_comes_from(name: str) -> None:
    reader = READERS[name]
    assert reader.archives
    assert reader.by_hand == "" or is_one_line(reader.by_hand)
    assert reader.by_hand or all(archive.urls for archive in reader.archives), "no way to get it is told"
    names = [archive.name for archive in reader.archives]
    assert len(set(names)) == len(names)
    if reader.subsets:
        return  # each subset has counts of its own, which its test looks at
    expected = reader.expected
    assert 1 < expected.classes <= expected.train
    assert expected.test > 0
    assert expected.split_sha256 is None or re.fullmatch("[0-9a-f]{64}", expected.split_sha256)


@all_archives
def test_an_archive_can_be_fetched_and_checked(reader: type[Dataset], archive: Archive) -> None:
    assert archive.name == PurePosixPath(archive.name).name
    assert archive.sha256 is None or re.fullmatch("[0-9a-f]{64}", archive.sha256)
    assert archive.md5 is None or re.fullmatch("[0-9a-f]{32}", archive.md5)
    assert archive.size is None or archive.size > 0
    assert len(set(archive.urls)) == len(archive.urls)
    for url in archive.urls:
        assert url.startswith("https://") or (url.startswith("http://") and archive.sha256), "or anyone could change it"
        assert PurePosixPath(url).name == archive.name


@all_archives
def test_an_archive_goes_below_its_datasets_folder(reader: type[Dataset], archive: Archive) -> None:
    assert archive.gives
    for path in map(PurePosixPath, archive.gives):
        assert path.parts[0] == reader.folder
        assert ".." not in path.parts
        assert path.parent == archive.into


@releases
def test_an_absent_or_empty_release_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    folder = tmp_path / str(READERS[name].folder)
    options = READERS[name].subsets[0] if READERS[name].subsets else {}
    with pytest.raises(DatasetError, match=re.escape(f"{folder} is missing; put")) as absent:
        open_dataset(name, tmp_path, options)
    folder.mkdir()
    with pytest.raises(DatasetError, match=re.escape(str(folder))) as empty:
        open_dataset(name, tmp_path, options)
    assert all(is_one_line(str(error.value)) for error in (absent, empty))
    sources = [archive.name for archive in READERS[name].archives] + [READERS[name].by_hand]
    assert any(source and source in str(empty.value) for source in sources), "where the missing file comes from"


@releases
def test_a_release_is_known_by_its_marker_and_an_empty_folder_is_nobodys(name: str, tmp_path: Path) -> None:
    def recognising() -> list[str]:
        return [other for other, reader in READERS.items() if reader.recognises(folder)]

    folder = tmp_path / str(READERS[name].folder)
    folder.mkdir()
    assert recognising() == []
    if READERS[name].marker:
        (folder / READERS[name].marker).mkdir(parents=True)
        assert recognising() == [name]
