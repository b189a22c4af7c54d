"""Compiled code lies in the cache folder, where it is counted and removed when it was long unused."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.training.compiling import kept_code
from benchmarks.training.compiling.compile import CompiledMethod
from tests.helpers.methods_under_test import build

DAY = 86400


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv(kept_code.VARIABLE, "")  # so that it is as before afterwards
    monkeypatch.delenv(kept_code.VARIABLE)
    return tmp_path / "compiled"


def test_methods_are_compiled_into_the_cache_folder_unless_torch_was_told_another(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CompiledMethod(build("plain"))
    assert os.environ[kept_code.VARIABLE] == str(folder)
    monkeypatch.setenv(kept_code.VARIABLE, str(tmp_path / "own"))
    CompiledMethod(build("plain"))
    assert os.environ[kept_code.VARIABLE] == str(tmp_path / "own")


def test_what_was_long_unused_is_removed(folder: Path) -> None:
    assert kept_code.described() is None
    for name, days in (("old", 40), ("new", 1)):
        file = folder / "fxgraph" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(100))
        os.utime(file, (time.time() - days * DAY,) * 2)
    before = kept_code.described()
    assert before is not None
    assert (before.folder, before.bytes) == (folder, 200)
    assert kept_code.remove_unused(timedelta(days=30)) == 100
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["new"]
