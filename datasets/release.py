"""Where a dataset comes from and what it must contain: declared by readers, used by `fetch` and `verify`."""

from __future__ import annotations

from dataclasses import dataclass
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
    """Bytes."""
    into: str = ""
    """Folder below the data root to unpack into; empty for an archive with its own top folder."""
    gives: tuple[str, ...] = ()
    """Paths below the data root that exist once the archive is unpacked; by default the plain file itself."""

    @property
    def given(self) -> tuple[str, ...]:
        """`gives`, or the path of the plain file."""
        return self.gives or (str(PurePosixPath(self.into, self.name)),)


@dataclass(frozen=True)
class Expected:
    """Counts of the official split as published, and the hash of its table if known."""

    classes: int
    train: int
    test: int
    split_sha256: str | None = None
    """None: no copy was available to compute it from. `verify` prints the hash it finds."""
