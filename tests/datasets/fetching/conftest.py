"""What the tests of downloads share."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.fetching import download
from datasets.fetching.fetch import fetch
from datasets.readers.folder import Folder
from tests.helpers.fakes.fake_archives import Get, RecordingDisplay


@pytest.fixture
def get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    """Fetches a reader into tmp_path/data, without pauses between attempts."""
    monkeypatch.setattr(download, "PAUSES", (0, 0, 0))

    def fetch_now(reader: type[Folder], put_into: Path | None = None) -> RecordingDisplay:
        notes = RecordingDisplay()
        fetch("mini", reader, tmp_path / "data", put_into, notes)
        return notes

    return fetch_now
