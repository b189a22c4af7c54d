"""Where a dataset comes from and what it has to hold: facts that a reader states, and `fetch` and `verify` act on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Archive:
    """One file as the dataset's site hands it out: a tar or zip archive, or a plain file."""

    name: str
    """File name."""
    urls: tuple[str, ...] = ()
    """Mirrors, tried in order; none where the file has to be got by hand."""
    sha256: str | None = None
    md5: str | None = None
    """Used where no SHA-256 was published; neither: the file can't be checked, which is said."""
    size: int | None = None
    """Bytes."""
    into: str = ""
    """Folder below the data root that the content is put into (an archive that brings its own top folder: none)."""
    gives: tuple[str, ...] = ()
    """Paths below the data root that are there once the archive is unpacked; for a plain file its own by default."""

    @property
    def given(self) -> tuple[str, ...]:
        """`gives`, or where a plain file goes."""
        return self.gives or (str(PurePosixPath(self.into, self.name)),)


@dataclass(frozen=True)
class Expected:
    """Counts of the official split as published, and the hash of its table where we know it."""

    classes: int
    train: int
    test: int
    split_sha256: str | None = None
    """None: no copy was at hand to compute it from; `verify` prints the one it finds."""
