"""What fetching a dataset would take: told before anything is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datasets.fetching.fetch import DOWNLOADS
from datasets.interface import Dataset
from datasets.release import Archive


@dataclass(frozen=True)
class Needs:
    """The archives of a dataset that are not here yet, and what else has to be known before they are fetched."""

    name: str
    archives: tuple[Archive, ...]
    """Neither unpacked nor in the data root as files; empty if there is nothing to fetch."""
    folder: Path
    """Where the dataset will be."""
    terms: str
    """Terms of use, in words."""
    page: str
    """Address of the page with the files or the form for `by_hand`; empty if everything can be downloaded."""
    advice: str
    """One line: how to get what is `by_hand`; empty as `page`."""

    @property
    def bytes(self) -> int:
        """Of the archives whose size is known, exactly or about."""
        return sum(archive.bytes or 0 for archive in self.archives)

    @property
    def of_unknown_size(self) -> tuple[str, ...]:
        """Names of the archives whose size nobody states."""
        return tuple(archive.name for archive in self.archives if archive.bytes is None)

    @property
    def by_hand(self) -> tuple[str, ...]:
        """Names of the archives that can't be downloaded."""
        return tuple(archive.name for archive in self.archives if not archive.urls)


def needs(name: str, reader: type[Dataset], root: Path) -> Needs:
    """What `datasets.fetching.fetch.fetch` would have to get into `root`. Nothing is read but names and sizes."""
    lacking = tuple(archive for archive in reader.archives if not _is_here(archive, root))
    by_hand = any(not archive.urls for archive in lacking)
    return Needs(
        name=name,
        archives=lacking,
        folder=root / str(reader.folder),
        terms=reader.terms,
        page=reader.page if by_hand else "",
        advice=reader.by_hand if by_hand else "",
    )


def _is_here(archive: Archive, root: Path) -> bool:
    """Whether it is unpacked, or lies where `fetch` looks for it, with the size that was published."""
    if all((root / path).exists() for path in archive.gives):
        return True
    files = (folder / archive.name for folder in (root, root / DOWNLOADS))
    return any(file.is_file() and archive.size in (None, file.stat().st_size) for file in files)
