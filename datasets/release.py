"""Where a dataset comes from and what it must contain: declared by readers, used by `fetch` and `verify`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Archive:
    """One file as published: a tar or zip archive, or a plain file."""

    name: str
    """File name."""
    urls: tuple[str, ...] = ()
    """Mirrors, tried in order; empty if the file must be obtained by hand."""
    sha256: str | None = None
    md5: str | None = None
    """Used if no SHA-256 was published. With neither, the file can't be checked, and `fetch` reports that."""
    size: int | None = None
    """Bytes, compared with the file."""
    about: int | None = None
    """Bytes as others state them, rounded: to say how much there is to download where the exact size isn't known."""
    gives: tuple[str, ...] = field(kw_only=True)
    """Paths below the data root that exist once the archive is unpacked, all in one folder."""

    @property
    def into(self) -> PurePosixPath:
        """The folder below the data root to unpack into."""
        return PurePosixPath(self.gives[0]).parent

    @property
    def bytes(self) -> int | None:
        """Exact or rounded; None if nobody states it."""
        return self.about if self.size is None else self.size


@dataclass(frozen=True)
class Expected:
    """Counts of the official split as published, and the hash of its table.

    The hashes were computed from the tables of each dataset without its images; `tables` says where these came from.
    """

    classes: int
    train: int
    test: int
    split_sha256: str | None = None
    """`Dataset.split_hash` of the official table. None: counts alone are compared."""
    tables: str = ""
    """What the hash was computed from: `original`, the dataset's own files; `derived`, lists of other projects that
    agree with each other; in words where it is some of both."""
