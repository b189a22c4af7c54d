"""Display names: people read names, and no two ids look alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import cell_format
from reports.names import Names, told_apart

NAMES = Names(
    {"ws_dan": "WS-DAN", "plain": "plain"}, {"webfg_496": "WebFG-496", "cub": "CUB-200-2011"}, {"resnet50": "ResNet-50"}
)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (NAMES.method("ws_dan"), "WS-DAN"),
        (NAMES.method("ws_dan", "maps_4"), "WS-DAN:maps_4"),
        (NAMES.method("unknown"), "unknown"),
        (NAMES.dataset("cub"), "CUB-200-2011"),
        (NAMES.dataset("webfg_496:bird"), "WebFG-496:bird"),
        (NAMES.dataset("cub@seed1"), "CUB-200-2011@seed1"),
        (NAMES.dataset("cub/old"), "cub/old"),
        (NAMES.backbone("resnet50"), "ResNet-50"),
        (NAMES.label("ws_dan maps_4 resnet50 epochs=2"), "WS-DAN maps_4 ResNet-50 epochs=2"),
        (NAMES.label("ws_dan:maps_4"), "WS-DAN:maps_4"),
        (NAMES.label("plain, ws_dan (maps_4, maps_8)"), "plain, WS-DAN (maps_4, maps_8)"),
    ],
)
def test_people_read_the_display_name_and_what_has_none_keeps_its_id(shown: str, expected: str) -> None:
    assert shown == expected


def test_names_that_nobody_gave_are_ids() -> None:
    names = Names()

    assert (names.method("ws_dan"), names.dataset("cub:box"), names.backbone("vgg16")) == ("ws_dan", "cub:box", "vgg16")
    assert (names.label("ws_dan vgg16"), names.place("cub: ws_dan")) == ("ws_dan vgg16", "cub: ws_dan")


def test_a_place_says_names_but_for_the_ids_of_runs_and_files() -> None:
    assert NAMES.place("cub, common recipe, resnet50: ws_dan – plain") == (
        "CUB-200-2011, common recipe, ResNet-50: WS-DAN – plain"
    )
    for same in ("cub-common-ws_dan-paper-resnet50-seed0", "resnet50.tv_in1k", "my_ws_dan", "results/cub"):
        assert NAMES.place(same) == same


def test_two_methods_of_one_name_have_their_ids_behind_it() -> None:
    names = Names({"ours": "WS-DAN", "ws_dan": "WS-DAN", "plain": "plain"})

    assert [names.method(one) for one in ("ours", "ws_dan", "plain")] == ["WS-DAN (ours)", "WS-DAN (ws_dan)", "plain"]


def test_an_id_that_looks_like_the_name_of_another_is_told_apart() -> None:
    names = Names({"pim": "PIM"})

    assert names.method("PIM") == "PIM (PIM)"
    assert names.method("pim") == "PIM"


IDS = st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1)


@given(st.dictionaries(IDS, st.text() | st.sampled_from(["A", "A (a)", "A\n", "a"])))
def test_no_two_names_are_equal_and_each_is_one_line(names: dict[str, str]) -> None:
    shown = told_apart(names)

    assert shown.keys() == names.keys()
    assert len(set(shown.values())) == len(shown)
    assert not any("\n" in name for name in shown.values())


def test_a_column_shows_the_name_and_leaves_the_id_in_the_row() -> None:
    row = {"method": "ws_dan", "better": None}
    method, better = NAMES.column(cell_format.text("method")), NAMES.column(cell_format.words("better"))

    assert (method.show(row), better.show(row)) == ("WS-DAN", cell_format.DASH)
    assert row["method"] == "ws_dan"


def test_a_mark_behind_the_name_of_the_better_one_stays() -> None:
    column = cell_format.Column("better", lambda row: f"{row['better']} (n=1)", key="better")

    assert NAMES.column(column).show({"better": "ws_dan resnet50"}) == "WS-DAN ResNet-50 (n=1)"


def test_columns_of_other_values_stay_as_they_are() -> None:
    column = cell_format.text("variant")

    assert NAMES.column(column) is column
