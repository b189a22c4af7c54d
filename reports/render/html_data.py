"""What the page knows besides its tables and figures, compressed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.names import IDS, Names
from reports.render.html_images import image_sets
from reports.render.html_records import records_data
from reports.run_files import RunFiles
from results.record import Record

IMAGES = 500_000
"""Bytes of a page that the answers to all test images may take."""


@dataclass(frozen=True)
class PageData:
    """Compressed JSON in letters that a page holds; the page's script unpacks it."""

    records: str = ""
    """`records_data` of all Runs."""
    images: tuple[str, ...] = ()
    """`ImageSet.data` of each set of test images; empty for one that is too large for a page."""

    def images_within(self, room: int) -> list[tuple[int, str]]:
        """Number and text of the sets that fit into so many bytes together; the first ones go first."""
        kept = []
        for number, text in enumerate(self.images):
            if text and len(text) <= room:
                kept.append((number, text))
                room -= len(text)
        return kept


def page_data(records: Sequence[Record], files: RunFiles, names: Names = IDS) -> PageData:
    """The Runs' records, and their answers where the page has room for them."""
    sets = image_sets(records, files)
    return PageData(
        _packed(records_data(records, files, sets, names)),
        tuple(_packed(each.data) if each.errors + len(each.images) <= IMAGES else "" for each in sets),
    )


def _packed(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()
