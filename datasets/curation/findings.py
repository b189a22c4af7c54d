"""What `verify` finds: faults, which have to be mended, and notes, which have to be known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One fault or note."""

    kind: str
    """In one to three words: missing, damaged, leak, box empty …"""
    what: str
    """A sentence that names the file or class."""


@dataclass(frozen=True)
class Findings:
    """The result of `verify`."""

    name: str
    images: int
    classes: int
    train: int
    test: int
    split_sha256: str
    reference: str
    """Comparison with the published split: `as published`, `differs` or `no reference known`."""
    faults: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()
    """What a result should not be spoiled by, such as copies of an image on one side of the split."""
    folder: str | None = None
    """The folder of the images, which the findings' paths begin with."""

    @property
    def as_row(self) -> dict[str, Any]:
        """One row for a program, with a dictionary for each fault and note."""
        return asdict(self)


def by_kind(found: Iterable[Finding]) -> dict[str, list[str]]:
    """Kind -> its sentences, in the order in which the kinds first appear."""
    kinds = defaultdict(list)
    for finding in found:
        kinds[finding.kind].append(finding.what)
    return dict(kinds)
