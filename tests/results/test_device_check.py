"""What check-device stored is read again as it was written, and anything else is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from results.device_check import FOLDER, Check, read_check, stored_checks, write_check
from results.errors import ResultsError
from results.publish import is_device_check, publish_device_check
from results.store import ResultStore
from tests.helpers.fakes.planted_checks import device_check

SOUND = Check(group="values", method="sef", status="ok", numbers={"fp32_logits": 3e-7}, seconds=1.25)
WRONG = Check(group="waits", method="ws_dan", status="wrong", finding="the host waits in train", traceback="line\n")


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = write_check(tmp_path, device_check(SOUND, WRONG, hardware={"driver_version": "580.1"}))
    read = read_check(written)
    assert read.checks == [SOUND, WRONG]
    assert read.hardware == {"driver_version": "580.1"}
    assert written.parent == tmp_path / FOLDER
    assert written.name == f"paper_gpu_9000-{read.started:%Y%m%d}-{read.sha256[:10]}.json"


def test_its_faults_are_what_is_wrong_or_broke_off() -> None:
    statuses = ["not run", "failed", "ok", "slow", "wrong"]
    record = device_check(*(SOUND.model_copy(update={"status": status}) for status in statuses))
    assert [check.status for check in record.wrong] == ["failed", "wrong"]
    assert record.counts == "1 ok, 1 slow, 1 wrong, 1 failed, 1 not run"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace('"ok"', '"wrong"'), "checksum"),
        (lambda text: text.replace('"ok"', '"fine"'), "no check of a device"),
        (lambda text: text.replace("1.25", "NaN"), "no check of a device"),
        (lambda text: text.replace('"small"', '"large"'), "no check of a device"),
        (lambda text: text[:-20], "is damaged"),
        (lambda text: "", "is damaged"),
        (lambda text: "[" * 100_000, "is damaged"),
        (lambda text: "[]", "no check of a device"),
        (lambda text: json.dumps({"schema_version": 2}), "no check of a device"),
    ],
    ids=["edited", "status", "NaN", "field", "cut", "empty", "deep", "list", "newer"],
)
def test_another_file_is_refused_in_one_line(damage: object, reason: str, tmp_path: Path) -> None:
    path = write_check(tmp_path, device_check(SOUND))
    assert callable(damage)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ResultsError, match=reason) as refused:
        read_check(path)
    assert "\n" not in str(refused.value)
    assert stored_checks([tmp_path]) == ([], {path.name: str(refused.value)})


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = write_check(tmp_path, device_check(SOUND))
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(ResultsError):
        read_check(path)


def test_a_published_check_is_found_once(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    path = write_check(tmp_path, device_check(SOUND))
    assert is_device_check(store, path.name)
    assert not is_device_check(store, "plain-paper-cub100.json")
    published = publish_device_check(store, path.name)
    assert published == tmp_path / "reference" / FOLDER / path.name
    assert published.read_bytes() == path.read_bytes()
    assert [len(part) for part in store.device_checks()] == [1, 0]


def test_a_damaged_check_is_not_published(tmp_path: Path) -> None:
    path = write_check(tmp_path, device_check(SOUND))
    path.write_text(path.read_text(encoding="utf-8").replace("sef", "fes"), encoding="utf-8")
    with pytest.raises(ResultsError, match="checksum"):
        publish_device_check(ResultStore(tmp_path), path.name)
    assert not list(tmp_path.glob("reference/*/*"))
