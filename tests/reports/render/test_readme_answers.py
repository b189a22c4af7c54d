"""A page states which of two variants is better, with the interval, from the records, and never picks among several."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reports.names import Names
from reports.render import markdown
from reports.render.readme_blocks import check_readme, render_readme, write_readme
from reports.tables.paired import paired
from results.store import ResultStore
from tests.helpers.fakes.fake_results import HOSTILE, failed, keep, trained
from tests.helpers.report_reader import answer, evidence_of

ALONE = " (1 seed: of these two models, not of the methods)"


# The sentence


@pytest.mark.parametrize(
    ("first", "second", "difference", "verdict"),
    [
        (90, 60, r"\+30\.0", "a is better"),
        (60, 90, r"−30\.0", "b is better"),
        (80, 79, r"\+1\.0", "no difference shown"),
    ],
)
def test_the_sentence_gives_the_better_variant_the_difference_and_its_uncertainty(
    store: ResultStore, page: Path, first: int, second: int, difference: str, verdict: str
):
    keep(store, "a", first)
    keep(store, "b", second)
    said = answer(page, store, "method=ws_dan first=a second=b dataset=cub100")
    number = r"[+−]?\d+\.\d"
    assert re.fullmatch(
        rf"\*\*a − b: {difference} points \(95 % interval {number} … {number}; 3 seeds, 100 test images, "
        rf"p (&lt; 0\.001|= \d\.\d\d\d)\): {verdict}\.\*\*",
        said,
    ), said


def test_sentence_and_paired_table_have_the_same_numbers_and_verdict(store: ResultStore, page: Path):
    # McNemar says that the models differ, the bootstrap over two seeds is not so sure: 40 and 8 points.
    keep(store, "paper", 50, seeds=(0,), method="plain")
    keep(store, "paper", 50, seeds=(1,), method="plain")
    keep(store, "paper", 90, seeds=(0,))
    keep(store, "paper", 58, seeds=(1,))
    (row,) = paired(evidence_of(store)).rows
    assert row["p"] < 0.05 < row["p_bootstrap"]
    assert row["better"] == "neither"
    said = answer(page, store, "first=plain:paper second=ws_dan:paper")
    low, high = (f"{row[f'difference_{end}']:.1f}".replace("-", "−") for end in ("low", "high"))
    assert f"interval {low} … {high};" in said
    assert f"p = {row['p_bootstrap']:.3f}): no difference shown." in said


def test_one_seed_is_said_to_be_of_two_models(store: ResultStore, page: Path):
    keep(store, "a", 90, seeds=(0,), images=2000)
    keep(store, "b", 60, seeds=(0,), images=2000)
    said = answer(page, store, "method=ws_dan first=a second=b")
    assert "1 seed, 2 000 test images" in said
    assert said.endswith(f"a is better{ALONE}.**")
    keep(store, "a", 90, seeds=(1,), images=2000)
    assert ALONE in answer(page, store, "method=ws_dan first=a second=b"), "b has one seed still"
    keep(store, "b", 60, seeds=(1,), images=2000)
    assert ALONE not in answer(page, store, "method=ws_dan first=a second=b")


def test_models_with_equal_predictions_have_no_made_up_interval(store: ResultStore, page: Path):
    keep(store, "a", 80)
    keep(store, "b", 80)
    said = answer(page, store, "method=ws_dan first=a second=b")
    assert "+0.0 points (no interval: the same difference on every image; 3 seeds" in said
    assert said.endswith("no difference shown.**")


def test_the_other_side_may_be_another_method(store: ResultStore, page: Path):
    keep(store, "paper", 90)
    keep(store, "paper", 60, method="plain")
    said = answer(page, store, "method=ws_dan first=paper second=plain:paper")
    assert said.startswith("**ws_dan − plain: +30.0")
    assert said.endswith("ws_dan is better.**")


def test_a_variant_in_a_list_of_methods_is_named_with_its_method(store: ResultStore, page: Path):
    keep(store, "paper", 70)
    keep(store, "a", 60)
    keep(store, "paper", 50, method="sef")
    said = answer(page, store, "first=ws_dan:paper second=sef:paper,ws_dan:a dataset=cub100").splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        "- **ws_dan − sef",
        "- **ws_dan − ws_dan:a",
    ]


# What is missing


def test_the_sentence_names_what_is_not_measured_and_under_which_conditions(store: ResultStore, page: Path):
    asked = "method=ws_dan first=a second=b dataset=cub100 input=448"
    said = answer(page, store, asked)
    assert said == ("**a − b: not measured yet: no finished Run of ws_dan:a or ws_dan:b on cub100, input 448.**")
    keep(store, "a", 80)
    store.write(failed("ws_dan", variant="b"))
    keep(store, "b", 70, dataset="cars")
    assert answer(page, store, asked).endswith("no finished Run of ws_dan:b on cub100, input 448.**")


def test_without_predictions_the_sentence_names_whose_are_missing(store: ResultStore, page: Path):
    keep(store, "a", 80)
    store.write(trained("ws_dan", variant="b"))
    said = answer(page, store, "method=ws_dan first=a second=b dataset=cub100")
    assert said == "**a − b: not measured yet: no stored predictions of ws_dan:b on cub100.**"


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"seeds": (7,)}, "no seed in common"),
        ({"images": 90}, "predictions are not of the same test images"),
        ({"split_sha256": "other"}, "split=5555555555 against split=other"),
    ],
)
def test_pairs_that_no_filter_makes_comparable_give_a_sentence(
    store: ResultStore, page: Path, second: dict, reason: str
):
    keep(store, "a", 80)
    keep(store, "b", 70, **second)
    assert answer(page, store, "method=ws_dan first=a second=b") == f"**a − b: not comparable: {reason}.**"


# What is ambiguous


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        ({"recipe": {"image_size": 96}}, "input is 448 or 96; add input=…"),
        ({"recipe": {"epochs": 3}}, "epochs is 10 or 3; add epochs=…"),
        (
            {"dataset": "cars", "backbone": "vgg16"},
            "dataset is cars or cub100; backbone is resnet50 or vgg16; add dataset=… or backbone=…",
        ),
    ],
)
def test_several_experiments_of_one_name_are_an_error(store: ResultStore, page: Path, change: dict, differ: str):
    keep(store, "a", 90)
    keep(store, "b", 60)
    keep(store, "a", 50, **change)
    with pytest.raises(ValueError, match=re.escape(f"2 experiments of ws_dan:a match: {differ}")) as raised:
        answer(page, store, "method=ws_dan first=a second=b")
    assert str(page) in str(raised.value), "which page, of all that are checked"
    added = {"input": 448, "epochs": 10, "dataset": "cub100"}
    (key,) = re.findall(r"add (\w+)=", str(raised.value))
    assert "+30.0 points" in answer(page, store, f"method=ws_dan first=a second=b {key}={added[key]}")


def test_experiments_under_different_conditions_are_not_compared(store: ResultStore, page: Path):
    keep(store, "a", 90)
    keep(store, "b", 60, recipe={"image_size": 96})
    with pytest.raises(ValueError, match=r"ws_dan:a, ws_dan:b can't be compared: input is 448 or 96; add input="):
        answer(page, store, "method=ws_dan first=a second=b")
    assert "no finished Run of ws_dan:b, input 448" in answer(page, store, "method=ws_dan first=a second=b input=448")


def test_methods_with_their_papers_own_epochs_are_comparable(store: ResultStore, page: Path):
    keep(store, "paper", 90, protocol="paper")
    keep(store, "paper", 60, method="plain", protocol="paper", recipe={"epochs": 3})
    assert "is better" in answer(page, store, "method=ws_dan first=paper second=plain:paper")


def test_experiments_that_no_filter_separates_are_named_by_their_settings(store: ResultStore, page: Path):
    keep(store, "a", 90)
    keep(store, "b", 60)
    keep(store, "a", 50, recipe={"clip_norm": 0.5}, id="other")
    with pytest.raises(ValueError, match=r"2 experiments of ws_dan:a match: they differ in .*clip_norm=0\.5"):
        answer(page, store, "method=ws_dan first=a second=b")


@pytest.mark.parametrize(
    ("asked", "mistake"),
    [
        ("method=ws_dan second=b", "names no variant"),
        ("method=ws_dan first=a", "names no variant"),
        ("first=a second=b", "names no variant"),
        ("method=ws_dan first=a second=b,", "names no variant"),
        ("method=ws_dan first=a,b second=c", "names no variant"),
        ("method=ws_dan first=a second=ws_dan:a", "twice"),
        ("method=ws_dan first=a second=b,b", "twice"),
        ("method=ws_dan first=a secnod=b", "'second'"),
        ("method=ws_dan first=a second=b variant=c", "no filter"),
    ],
)
def test_a_mistake_in_the_marker_is_an_error(store: ResultStore, page: Path, asked: str, mistake: str):
    with pytest.raises(ValueError, match=mistake):
        answer(page, store, asked)


# Pages


def test_check_finds_an_answer_that_the_records_no_longer_give(store: ResultStore, page: Path):
    keep(store, "a", 90)
    keep(store, "b", 60)
    page.write_text("<!-- answer: method=ws_dan first=a second=b -->\n<!-- /answer -->\n")
    assert not check_readme(page, store)
    write_readme(page, store)
    assert check_readme(page, store)
    keep(store, "b", 90, seeds=(3, 4))
    keep(store, "a", 90, seeds=(3, 4))
    assert not check_readme(page, store)


def test_tables_and_answers_stand_side_by_side(store: ResultStore, page: Path):
    keep(store, "a", 90)
    table = "<!-- table: head_to_head compact -->\n<!-- /table -->\n"
    page.write_text(f"{table}between\n<!-- answer: method=ws_dan first=a second=b -->\n<!-- /answer -->\n{table}end\n")
    text = render_readme(page, store)
    assert text.count("| ws_dan") == 2
    assert "\nbetween\n<!-- answer: method=ws_dan first=a second=b -->\n**a − b: not measured yet" in text
    assert text.endswith("<!-- /table -->\nend\n")


def test_tables_too_are_chosen_by_their_epochs(store: ResultStore, page: Path):
    keep(store, "long", 90)
    keep(store, "short", 60, recipe={"epochs": 3})
    page.write_text("<!-- table: runs epochs=3 -->\n<!-- /table -->\n")
    text = render_readme(page, store)
    assert "short" in text
    assert "long" not in text


def test_hostile_names_stay_text(store: ResultStore, page: Path):
    keep(store, "a", 90, dataset=HOSTILE, backbone=HOSTILE)
    keep(store, "b", 60, dataset=HOSTILE, backbone="vgg16")
    with pytest.raises(ValueError, match="can't be compared: backbone is") as apart:
        answer(page, store, "method=ws_dan first=a second=b dataset=a*")
    keep(store, "b", 60, dataset=HOSTILE, backbone=HOSTILE)
    with pytest.raises(ValueError, match="2 experiments of ws_dan:b match: backbone is") as several:
        answer(page, store, "method=ws_dan first=a second=b dataset=a*")
    assert not any("\x1b" in str(raised.value) for raised in (apart, several))
    said = answer(page, store, "method=<script>*x* first=a second=[z](u) dataset=<b>")
    sentence = "a − [z](u): not measured yet: no finished Run of <script>*x*:a or <script>*x*:[z](u) on <b>."
    assert said == f"**{markdown.markdown_text(sentence)}**"
    assert "<" not in said
    assert r"\[z\](u)" in said


def test_answers_in_latex_files_are_rendered_between_their_comments(store: ResultStore, tmp_path: Path):
    keep(store, "no_crop", 60)
    keep(store, "paper", 90)
    page = tmp_path / "paper.tex"
    asked = "% answer: method=ws_dan first=paper second=no_crop"
    page.write_text(f"before\n{asked}\nold\n% /answer\nafter\n{asked},no_drop\n% /answer\n")
    write_readme(page, store)
    one, several = page.read_text().split("after\n")
    assert one.startswith(f"before\n{asked}\n\\textbf{{paper $-$ no\\_crop: +30.0 points (95 \\% interval ")
    assert one.endswith("paper is better.}\n% /answer\n")
    lines = several.splitlines()
    assert lines[1] == r"\begin{itemize}"
    assert [line.partition(":")[0] for line in lines[2:4]] == [
        r"\item \textbf{paper $-$ no\_crop",
        r"\item \textbf{paper $-$ no\_drop",
    ]
    assert lines[4:] == [r"\end{itemize}", "% /answer"]
    assert check_readme(page, store)


def test_an_answer_names_methods_as_papers_write_them(store: ResultStore, page: Path) -> None:
    keep(store, "paper", 90)
    keep(store, "paper", 60, method="plain")
    names = Names({"ws_dan": "WS-DAN"}, {"cub100": "CUB-100"})
    for query, said in (
        ("first=ws_dan:paper second=plain:paper", "WS-DAN is better."),
        ("first=ws_dan:paper second=sef:maxent dataset=cub100", "no finished Run of sef:maxent on CUB-100"),
    ):
        page.write_text(f"<!-- answer: {query} -->\n<!-- /answer -->\n", encoding="utf-8")
        assert said in render_readme(page, store, names)
