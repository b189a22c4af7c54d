"""What `data verify` finds beyond unreadable files: copies, classes, names, contrast, shapes, boxes; its summary."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import datasets
from datasets.boxes import box_fault
from datasets.curation.findings import Finding, Findings, by_kind
from tests.datasets.curation.conftest import Draw, verified
from tests.helpers.small_folders import draw

FOUR = ("train/apple/0.png", "train/pear/0.png", "test/apple/1.png", "test/pear/1.png")


def found_in(own: Path) -> Findings:
    return verified(datasets.open_dataset(own.name, own.parent, complete=False))


def faults(own: Path) -> dict[str, list[str]]:
    """Kind -> sentences."""
    return by_kind(found_in(own).faults)


def test_pictures_that_all_differ_are_ready(noise: Draw) -> None:
    found = found_in(noise(*FOUR))
    assert (found.faults, found.notes) == ((), ())


def test_a_test_picture_that_is_in_train_is_a_leak_whatever_its_name_and_format(noise: Draw) -> None:
    own = noise(*FOUR)
    shutil.copy(own / "train/apple/0.png", own / "test/apple/same bytes.png")
    with Image.open(own / "train/pear/0.png") as image:
        image.save(own / "test/pear/same pixels.bmp")
    (own / "test/apple/link.png").symlink_to(own / "train/pear/0.png")
    assert set(faults(own)["leak"]) == {
        "test/apple/same bytes.png is the same picture as train/apple/0.png",
        "test/pear/same pixels.bmp is the same picture as train/pear/0.png",
        "test/apple/link.png is the same file as train/pear/0.png, as 'apple' and 'pear'",
    }


def test_copies_on_one_side_are_notes_and_no_faults(noise: Draw) -> None:
    own = noise(*FOUR)
    shutil.copy(own / "train/apple/0.png", own / "train/apple/1.png")
    shutil.copy(own / "test/pear/1.png", own / "test/apple/2.png")
    found = found_in(own)
    assert found.faults == ()
    assert [note.what for note in found.notes] == [
        "train/apple/1.png is the same picture as train/apple/0.png, both in train",
        "test/pear/1.png is the same picture as test/apple/2.png, both in test, as 'pear' and 'apple'",
    ]


def test_damaged_images_do_not_keep_copies_from_being_found(noise: Draw) -> None:
    own = noise(*FOUR)
    for name in ("a.png", "b.png"):
        (own / "train/apple" / name).write_bytes((own / "train/apple/0.png").read_bytes()[:200])
    (own / "train/apple/c.png").write_bytes(b"")
    shutil.copy(own / "train/pear/0.png", own / "test/pear/2.png")
    assert {kind: len(sentences) for kind, sentences in faults(own).items()} == {"damaged": 2, "empty": 1, "leak": 1}


def test_classes_on_one_side_of_the_split_are_named_each(noise: Draw) -> None:
    own = noise(*FOUR, "train/fig/0.png", "train/kiwi/0.png", "test/plum/0.png")
    assert faults(own) == {
        "no training image": ["class 'plum' has no training image"],
        "no test image": ["class 'fig' has no test image", "class 'kiwi' has no test image"],
    }


def test_class_names_that_differ_by_spaces_or_case_are_named(noise: Draw) -> None:
    own = noise(
        *(f"{split}/{name}/{split}.png" for name in ("red pear", "Red  pear", "fig") for split in ("train", "test"))
    )
    assert faults(own) == {"class names": ["'Red  pear' and 'red pear' differ by spaces, case or Unicode form only"]}


def test_two_spellings_that_were_read_as_one_class_are_a_note(noise: Draw) -> None:
    composed, apart = (unicodedata.normalize(form, "Pájaro") for form in ("NFC", "NFD"))
    found = found_in(noise(f"train/{composed}/0.png", f"test/{apart}/1.png"))
    assert (found.classes, found.faults) == (1, ())
    (note,) = found.notes
    assert note.what == ("class 'Pájaro' is written in 2 ways, " + r"'Pa\u0301jaro', 'P\xe1jaro'" + ", and read as one")


def test_a_file_whose_name_has_another_unicode_form_than_the_table_says_is_missing_with_that_reason(
    noise: Draw,
) -> None:
    composed, apart = (unicodedata.normalize(form, "Pájaro.png") for form in ("NFC", "NFD"))
    own = noise(*FOUR, apart)
    rows = [f"{path},{path.split('/')[1]},{path.split('/')[0]}" for path in FOUR]
    (own / "images.csv").write_text("\n".join(["path,label,split", *rows, f"{composed},pear,train"]), encoding="utf-8")
    (fault,) = faults(own)["missing"]
    assert fault == f"{own}/{composed} is missing; on disk the name has the Unicode form NFD, write it so in the table"


def test_twelve_bits_in_sixteen_are_nearly_constant(noise: Draw) -> None:
    own = noise(*FOUR)
    values = np.random.default_rng(0).integers(0, 2**12, (30, 40), dtype=np.uint16)
    Image.fromarray(values).save(own / "train/apple/12.png")
    Image.fromarray(values << 4).save(own / "train/apple/16.png")
    assert faults(own) == {"constant": [f"{own}/train/apple/12.png has hardly any contrast"]}


def test_an_image_too_thin_to_be_resized_is_named(noise: Draw) -> None:
    own = noise(*FOUR)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 33, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(own / "train/apple/thin.png")
    Image.fromarray(pixels[:, :32]).save(own / "train/apple/as thin as can be.png")
    (fault,) = faults(own).pop("thin")
    assert fault.startswith(f"{own}/train/apple/thin.png is 33 × 2 pixels")


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((0, 0, 40, 30), None),
        ((1, 1, 40, 30), None),  # counted from 1
        ((39.5, 29.5, 0.5, 0.5), None),
        ((0.1, 0.2, 0.5, 0.5), "fraction"),
        ((0, 0, 1, 1), "fraction"),
        ((0, 0, 0, 0), "empty"),
        ((3, 4, 5, 0), "empty"),
        ((10, 10, -3, 4), "negative"),
        ((40, 3, 5, 5), "outside"),
        ((-8, 3, 8, 5), "outside"),
        ((-5, -5, 10, 10), "beyond"),
        ((0, 0, 999, 999), "beyond"),
        ((30, 3, 11.5, 4), "beyond"),
    ],
)
def test_a_box_that_can_be_none_is_told_by_its_kind(box: tuple[float, ...], kind: str | None) -> None:
    fault = box_fault(box, height=30, width=40)
    assert (fault.kind if fault else None) == kind


def test_faulty_boxes_of_a_table_are_counted_by_kind(noise: Draw) -> None:
    own = noise(*FOUR)
    boxes = ("0.1,0.2,0.5,0.5", "0,0,0,0", "10,10,-3,4", "1,2,3,4")
    rows = [f"{path},{path.split('/')[1]},{path.split('/')[0]},{box}" for path, box in zip(FOUR, boxes, strict=True)]
    (own / "images.csv").write_text("\n".join(["path,label,split,x,y,width,height", *rows]))
    assert faults(own) == {
        "box fraction": [f"{own}/{FOUR[0]}: box 0.1, 0.2, 0.5, 0.5 is a fraction of the image and not in pixels"],
        "box empty": [f"{own}/{FOUR[1]}: box 0, 0, 0, 0 is empty"],
        "box negative": [f"{own}/{FOUR[2]}: box 10, 10, -3, 4 has a negative side"],
    }


def test_the_summary_begins_with_a_verdict_and_fits_the_terminal(
    noise: Draw, fgbench: Callable[..., tuple[int, str]]
) -> None:
    own = noise(*FOUR)
    for number in range(5):
        draw(own / "train" / "apple" / f"{number} {'long name ' * 6}.png", (20 + number, 20))
    shutil.copy(own / "train/apple/0.png", own / "train/apple/copy.png")
    code, said = fgbench("data", "verify", "own", "--data", own.parent)
    assert code == 1
    lines = said.splitlines()
    assert lines[1] == "own: 5 faults in 10 images, 1 note"
    assert max(map(len, lines[1:])) <= 120
    assert next(line for line in lines if line.startswith("constant ")).split()[1] == "5"
    assert next(line for line in lines if line.startswith("note: copy ")).split()[2] == "1"
    assert said.count("has hardly any") == 3, "the first few of a kind"
    assert "all of them: run_all.py data verify own --all" in said
    code, said = fgbench("data", "verify", "own", "--data", own.parent, "--all")
    assert sum(line.startswith("constant: ") for line in said.splitlines()) == 5


def test_notes_alone_are_no_failure(noise: Draw, fgbench: Callable[..., tuple[int, str]]) -> None:
    own = noise(*FOUR)
    shutil.copy(own / "train/apple/0.png", own / "train/apple/copy.png")
    code, said = fgbench("data", "verify", "own", "--data", own.parent)
    assert code == 0
    assert "own: ready, 1 note; 5 images" in said


def test_findings_are_counted_by_kind_in_the_order_of_their_appearance() -> None:
    found = [Finding("leak", "a"), Finding("thin", "b"), Finding("leak", "c")]
    assert list(by_kind(found).items()) == [("leak", ["a", "c"]), ("thin", ["b"])]
