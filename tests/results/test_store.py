"""The store of results by itself: files are written whole or not at all, and what can't be read is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.store import ResultsError, ResultStore, write_whole


def test_a_full_disk_leaves_what_was_there(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.prepare()
    path = store.root / "kept.txt"
    write_whole(path, lambda temporary: temporary.write_text("before", encoding="utf-8"))

    # torch wraps the system's error in one of its own
    for error in (OSError(28, "No space left on device"), RuntimeError("No space left on device")):

        def full(temporary: Path, error: Exception = error) -> None:
            temporary.write_text("half", encoding="utf-8")
            raise error

        with pytest.raises(ResultsError, match="No space left"):
            write_whole(path, full)
    assert path.read_text(encoding="utf-8") == "before"
    assert [file.name for file in store.root.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("text", "what"), [('{"id": "broken"}', "is not a record of this version"), ('{"id', "is damaged")]
)
def test_a_record_that_cannot_be_read_is_named(text: str, what: str, store: ResultStore) -> None:
    (store.folder("broken") / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match=f"{what}; move the folder broken away"):
        store.records()
