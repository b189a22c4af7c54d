"""Which dataset a name means: its one name, the reader, and the folder on disk.

A name is that of a reader, or the path of a folder relative to the data root. One dataset has one name, however it was
asked for: `birds`, `birds/`, `./birds` and an absolute path below the root are all `birds`. The folder of a published
dataset is known whatever its case and punctuation (`CUB-200-2011`), and if its archive was unpacked one level deeper.
No name leads out of the data root.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from datasets.formats.class_folders import is_unsplit, split_named
from datasets.formats.image_files import IMAGE_SUFFIXES
from datasets.interface import Dataset, DatasetError
from datasets.reader_registry import name_of, needs_folder, published_as, reader_classes, recognised_by
from results.values.names import nearest
from results.values.text import can_be_path


class UnknownDataset(DatasetError):  # noqa: N818 - clear without the suffix Error
    """No reader and no folder has this name; `choices` are the names that can be opened.

    The nearest name may also be that of a published dataset whose files are not here yet.
    """

    def __init__(self, name: str, choices: list[str], searched: Path | None) -> None:
        self.choices = choices
        published = [own for own, reader in reader_classes().items() if reader.folder and own not in choices]
        near = hint(name, [*choices, *published])
        where = (
            f"below {searched}"
            if searched is not None
            else "because no data folder was given: set FGBENCH_DATA or --data"
        )
        super().__init__(f"there is no dataset {name!r} {where}{near} (what can be opened: {', '.join(choices)})")


class Found(NamedTuple):
    """What a name means."""

    name: str
    """The dataset's one name."""
    reader: type[Dataset]
    folder: Path | None
    """None for drawn images."""

    @property
    def released(self) -> bool:
        """Whether it is the published dataset of its reader, rather than another folder in the same layout."""
        return self.reader.part_of is not None or self.reader.goes_by(self.name)


def available(root: Path | None) -> list[str]:
    """Names that `find` finds: readers without files, then the folders below `root`."""
    names = {name: None for name, reader in reader_classes().items() if not needs_folder(reader)}
    for folder in _folders(root):
        own = published_as(folder.name)
        if recognised_by(folder) or (own and _nested(reader_classes()[own], folder)):
            names[own or folder.name] = None
    parts = {name: name_of(reader.part_of) for name, reader in reader_classes().items() if reader.part_of}
    return [*names, *(name for name, whole in parts.items() if whole in names and name not in names)]


def known(root: Path | None) -> list[str]:
    """All names: those of `available`, then the readers whose files are missing."""
    there = available(root)
    released = (name for name, reader in reader_classes().items() if reader.folder or reader.part_of)
    return there + [name for name in released if name not in there]


def reader_of(name: str) -> tuple[str, type[Dataset]]:
    """Name and reader of the published dataset with the files of `name`, a dataset, its folder or a part of it.

    Raises `DatasetError` with the nearest name for any other.
    """
    part = reader_classes().get(name)
    own = name_of(part.part_of) if part and part.part_of else published_as(name)
    if own is None:
        there = [key for key, reader in reader_classes().items() if reader.folder or reader.part_of]
        raise DatasetError(f"there is nothing to fetch for {name!r}{hint(name, there)}; there are: {', '.join(there)}")
    return own, reader_classes()[own]


def canonical(name: str, root: Path | None) -> str:
    """The one name of the dataset that `name` means, whether it exists or not.

    Raises `DatasetError` for a path that leads out of `root`.
    """
    if name in reader_classes():
        return name
    path = _as_on_disk(PurePosixPath(_below(name, root)), root)
    if not path.parts or path.parts[0] == "..":
        place = f"the data folder {root}" if root else "the data folder"
        raise DatasetError(f"the dataset {name!r} is not a folder below {place}; name one, or another data folder")
    own = published_as(path.parts[0])
    if own is not None and (len(path.parts) == 1 or (root and folder_of(reader_classes()[own], root) == root / path)):
        return own
    return str(path)


def split_subset(name: str) -> tuple[str, dict[str, Any]]:
    """`webfg_496:bird` -> the dataset's name and the options of that subset; `birds:box` -> `birds` and those of its
    images cut to their boxes; any other name and no options.

    Raises `DatasetError` with the dataset's subsets if it has no such one.
    """
    name, colon, word = name.partition(":")
    if not colon:
        return name, {}
    own = published_as(name) or name
    reader = reader_classes().get(own)
    subsets = {str(value): subset for subset in (reader.subsets if reader else ()) for value in subset.values()}
    if word == "box":
        return own, {"crop": "box"}
    if word not in subsets:
        has = ", ".join(f"{own}:{subset}" for subset in subsets) or "none"
        raise DatasetError(f"{own} has no subset {word!r}; it has {has}")
    return own, subsets[word]


@contextmanager
def permitted() -> Iterator[None]:
    """Raises `DatasetError` with the file or folder in place of a `PermissionError`."""
    try:
        yield
    except PermissionError as error:
        raise DatasetError(
            f"{error.filename} may not be read ({error.strerror}); permit it, or name another dataset"
        ) from error


@permitted()
def find(name: str, root: Path | None) -> Found:
    """What `name` means below `root`.

    Raises `UnknownDataset` with the choices, and `DatasetError` for a folder that is missing, that may not be read, or
    that no reader can read, with what it seems to be and what to do.
    """
    if not can_be_path(name):
        raise UnknownDataset(name, available(root), root)
    own = canonical(name, root)
    reader = reader_classes().get(own)
    if reader is not None and not needs_folder(reader):
        return Found(own, reader, None)
    if root is None:
        raise UnknownDataset(name, available(root), root)
    folder = root / own
    if reader is not None and reader.folder is not None:
        return Found(own, reader, _released_folder(own, reader, root))
    if reader is not None and reader.part_of is not None and not folder.is_dir():  # else it is somebody's own folder
        return Found(own, reader, _released_folder(own, reader.part_of, root))
    if not folder.is_dir():
        raise UnknownDataset(name, available(root), root)
    recognising = recognised_by(folder)
    if len(recognising) > 1:
        layouts = "; and ".join(reader_classes()[one].layout for one in recognising)
        raise DatasetError(
            f"{folder} has two layouts, whose splits may differ: {layouts}; move the files of one to another folder"
        )
    if not recognising:
        raise DatasetError(f"{folder} {_unread(folder, root)}")
    return Found(own, reader_classes()[recognising[0]], folder)


def folder_of(reader: type[Dataset], root: Path) -> Path:
    """The folder of a published dataset, whether it exists or not; the one below it if that alone has its layout.

    Raises `DatasetError` if several folders go by its name.
    """
    named = [folder for folder in _folders(root) if reader.goes_by(folder.name)]
    if len(named) > 1:
        raise DatasetError(
            f"{' and '.join(map(str, named))} both go by the name of one dataset; rename one of them, or move it away"
        )
    folder = named[0] if named else root / str(reader.folder)
    return _nested(reader, folder) or folder


def hint(word: str, choices: Iterable[str]) -> str:
    """`: did you mean 'X'?`, to follow a word that is none of `choices`; empty if none is similar."""
    near = nearest(word, choices)
    return f": {near}" if near else ""


def _below(name: str, root: Path | None) -> str:
    """A relative path as it is, an absolute one relative to `root`; without `.`, inner `..` and slashes at the end."""
    if not Path(name).is_absolute():
        return os.path.normpath(name)
    if root is not None:  # as typed, then with links followed: a folder of the root may be a link to another disk
        typed, base = Path(os.path.normpath(name)), Path(os.path.abspath(root))  # noqa: PTH100 - resolve follows links
        for place, above in ((typed, base), (typed.resolve(), base.resolve())):
            if place.is_relative_to(above):
                return str(place.relative_to(above))
    raise DatasetError(
        f"{name} is not below {root or 'a data folder'}; name the folder that holds it and the dataset apart: "
        f"--data {Path(name).parent}, and as the dataset {Path(name).name}"
    )


def _as_on_disk(path: PurePosixPath, root: Path | None) -> PurePosixPath:
    """The path in the Unicode form (NFC, NFD) in which there is a folder; as it is if there is one, or none in both."""
    forms = (path, *(PurePosixPath(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD")))
    return next((one for one in forms if root is not None and (root / one).is_dir()), path)


def _released_folder(name: str, reader: type[Dataset], root: Path) -> Path:
    folder = folder_of(reader, root)
    if not folder.is_dir():
        if reader.goes_by(root.resolve().name) and reader.has_layout(root):
            raise DatasetError(f"{root} is the folder of {name} itself; name the one above it: --data {root / '..'}")
        raise DatasetError(
            f"{name}: the folder {folder} is missing; put the dataset's files there, or get them: data fetch {name}"
        )
    if reader.has_layout(folder):
        return folder
    if another := reader.mistaken(folder):
        raise DatasetError(f"{folder} is {another}")
    if classes := _class_folders(folder):
        raise DatasetError(
            f"{folder} is a folder of classes ({', '.join(classes)}) without the dataset's own tables, so its official "
            f"split can't be known; rename it, e.g. to my_{name}, to use it as your own images, "
            f"and get the dataset itself: data fetch {name}"
        )
    return folder


def _unread(folder: Path, root: Path) -> str:
    """Why no reader reads a folder, and what to do."""
    for reader in reader_classes().values():
        if another := reader.mistaken(folder):
            return f"is {another}"
    deeper = [below for below in _folders(folder) if recognised_by(below)]
    if len(deeper) == 1:
        return f"has a layout that no reader knows, but {deeper[0].relative_to(root).as_posix()} below it can be opened"
    if is_unsplit(folder):
        name = folder.relative_to(root).as_posix()
        return f"has class folders and no split; let test images be chosen: run_all.py data split {name} --test 0.3"
    return f"has a layout that no reader knows; {reader_classes()['folder'].layout}, would be read"


def _class_folders(folder: Path) -> list[str]:
    """The first folders of images sorted by split and class, or by class alone; empty for any other folder."""
    folders = _folders(folder)
    split = [one.name for one in folders if split_named(one.name)]
    filled = (one.name for one in folders if any(file.suffix.lower() in IMAGE_SUFFIXES for file in one.iterdir()))
    classes = list(islice(filled, 3))
    return split or (classes if len(classes) == 3 else [])


def _nested(reader: type[Dataset], folder: Path) -> Path | None:
    """The only folder in `folder` with the reader's layout, if `folder` itself hasn't it."""
    deeper = [] if reader.has_layout(folder) else [below for below in _folders(folder) if reader.has_layout(below)]
    return deeper[0] if len(deeper) == 1 else None


def _folders(folder: Path | None) -> list[Path]:
    """The folders in a folder that aren't hidden and may be read (unlike `lost+found`), sorted; empty if it is none."""
    if folder is None or not folder.is_dir():
        return []
    shown = (one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    return sorted(one for one in shown if os.access(one, os.R_OK | os.X_OK))
