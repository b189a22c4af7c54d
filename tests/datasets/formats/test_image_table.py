"""images.csv as spreadsheets write it: encodings, separators, quotes."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets import DatasetError
from datasets.formats.image_table import read_table, write_table

LINES = ("path,label,split", "a.jpg,Pájaro,train", '"b, c.jpg","red ""pear""",test')
READ = [
    (2, {"path": "a.jpg", "label": "Pájaro", "split": "train"}),
    (3, {"path": "b, c.jpg", "label": 'red "pear"', "split": "test"}),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "images.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_unambiguous_encodings_are_read(file: Path, encoding: str, end: str) -> None:
    file.write_bytes(end.join(LINES).encode(encoding))
    assert read_table(file) == READ


def test_utf_16_of_the_other_byte_order_is_read(file: Path) -> None:
    file.write_bytes(("\ufeff" + "\n".join(LINES)).encode("utf-16-be"))
    assert read_table(file) == READ


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("named", [False, True], ids=["found", "named"])
def test_the_separator_is_found_or_named_in_the_first_line(file: Path, separator: str, named: bool) -> None:
    quoted = ('"path"', '"label"', '"split"'), ('"a;b,c\td.jpg"', "pear", "train")
    lines = [f"sep={separator}"] * named + [separator.join(fields) for fields in quoted]
    file.write_text("\n".join(lines))
    assert read_table(file) == [(2 + named, {"path": "a;b,c\td.jpg", "label": "pear", "split": "train"})]


def test_names_of_columns_are_read_in_any_case(file: Path) -> None:
    file.write_text("Path, Label , SPLIT\na.jpg,pear,train")
    assert read_table(file) == [(2, {"path": "a.jpg", "label": "pear", "split": "train"})]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("\n".join(LINES).encode("cp1252"), r"line 2: is not UTF-8 but probably Windows-1252 \(cp1252\).*'Pájaro'"),
        ("\n".join(LINES).encode("utf-16-le"), r"is not UTF-8 but probably UTF-16 without its mark"),
        ("path,label,split\na,b,train".encode("utf-16-be"), r"is not UTF-8 but probably UTF-16 without its mark"),
        ("\n".join(LINES).encode("utf-16") + b"x", r"begins like UTF-16 and is damaged"),
    ],
    ids=["cp1252", "unmarked", "unmarked, ASCII alone", "cut"],
)
def test_another_encoding_is_named_with_how_to_save_the_file(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=reason + r".*; save it as UTF-8 \(in a spreadsheet: CSV UTF-8\)$") as caught:
        read_table(file)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_again(file: Path) -> None:
    rows = [("a, b.jpg", "Pájaro", "train"), ('c".jpg', "red\npear", "test")]
    write_table(file, rows)
    assert [tuple(row.values()) for _, row in read_table(file)] == rows


def test_a_table_that_cannot_be_written_leaves_the_old_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("old")

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DatasetError, match=r"can't be written \(No space left on device\)"):
        write_table(file, [("a", "b", "train")])
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]
