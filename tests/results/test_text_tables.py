"""Tables as text: they fit, and no word, number or name is broken or cut, whatever the width."""

from __future__ import annotations

import pytest

from results.values.text_tables import TextColumn, pieces, table_lines, together, without_shared, wrapped

NAMES = ["plain", "bilinear_cnn:haomood_faster_classifier_only", "ws_dan:released_wvinzh"]
BACKBONES = ["tf_efficientnet_lite0.in1k", "swin_base_patch4_window7_224.ms_in22k", "vgg16.tv_in1k"]
ACCURACIES = ["84.1 ± 0.5", "89.3 ± 0.1", "7.0"]
ABOUT = ["The baseline.", "Pools outer products of 5 994 photos, see methods/bilinear_cnn/README.md.", "–"]
TABLE = [
    TextColumn("method", NAMES),
    TextColumn("backbone", BACKBONES),
    TextColumn("top-1 last epoch, %", ACCURACIES, right=True),
    TextColumn("validation-selected, %", ACCURACIES, right=True),
    TextColumn("about", ABOUT),
]


@pytest.mark.parametrize("width", range(50, 201, 10))
@pytest.mark.parametrize("columns", [TABLE, TABLE[:4], TABLE[::2], TABLE[3:], TABLE[:1]], ids=len)
def test_no_line_is_too_wide_and_every_name_and_number_stays_whole(columns: list[TextColumn], width: int) -> None:
    lines = table_lines(columns, width)
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for column in columns[:4]:
        assert all(cell in text for cell in column.cells if cell != "–")


def test_a_wide_table_has_a_line_a_row_and_numbers_below_each_other() -> None:
    assert table_lines([TABLE[0], TABLE[2]], 120) == [
        "                                             top-1 last",
        "method                                         epoch, %",
        "-------------------------------------------  ----------",
        "plain                                        84.1 ± 0.5",
        "bilinear_cnn:haomood_faster_classifier_only  89.3 ± 0.1",
        "ws_dan:released_wvinzh                              7.0",
    ]


def test_names_too_wide_to_stand_beside_the_values_stand_above_them() -> None:
    lines = table_lines([TABLE[0], TABLE[2], TABLE[3]], 60)
    assert lines[4:6] == ["plain", "  84.1 ± 0.5   84.1 ± 0.5"]


def test_a_table_of_long_texts_becomes_a_paragraph_a_row_without_what_is_missing() -> None:
    lines = table_lines(TABLE, 60)
    assert lines[:3] == [
        "plain",
        "  backbone: tf_efficientnet_lite0.in1k",
        "  top-1 last epoch, %: 84.1 ± 0.5",
    ]
    assert not any("–" in line for line in lines)


def test_a_word_wider_than_the_line_is_not_broken() -> None:
    path = "/data/" + 20 * "long_" + "/bird.jpg"
    assert path in table_lines([TextColumn("image", [path]), TextColumn("class", ["wren"])], 40)
    assert path in wrapped(f"missing: {path}", 40)[1]


def test_a_line_breaks_between_words_and_below_its_own_indent() -> None:
    text = "  missing: the folder of 5 994 photos"
    assert wrapped(text, 20) == [
        "  missing: the",
        "    folder",
        "    of 5 994 photos",
    ]
    assert wrapped("short\nlines stay", 20) == ["short", "lines stay"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5 994 train and 5 794 test", ["5 994 train", "and 5 794 test"]),
        ("plain · cub100 · seed 0 · 84.1 ± 0.5", ["plain ·", "cub100 ·", "seed 0 ·", "84.1 ± 0.5"]),
        ("seeds 0, 1, 2", ["seeds 0,", "1,", "2"]),
    ],
)
def test_numbers_stay_with_what_they_count(text: str, found: list[str]) -> None:
    assert pieces(text) == found


def test_what_all_rows_share_is_taken_out_but_for_the_first_column() -> None:
    same = [TextColumn("method", ["sef", "sef"]), TextColumn("px", ["448", "448"]), TextColumn("lr", ["0.1", "1"])]
    assert without_shared(same) == ([same[0], same[2]], ["px 448"])
    assert without_shared([TextColumn("method", ["sef"]), TextColumn("px", ["448"])])[1] == []


def test_what_belongs_together_is_not_torn_from_its_name() -> None:
    assert together(["dataset cub100", "px 448", "protocol common"], 24) == [
        "dataset cub100 · px 448",
        "protocol common",
    ]
