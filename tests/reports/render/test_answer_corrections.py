"""The p values of sentences are corrected for all pairs that could have been asked for, as those of tables are."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.statistics import holm
from reports.tables.ablation import ablation
from reports.tables.paired import paired
from results.store import ResultStore
from tests.helpers.fakes.fake_results import keep
from tests.helpers.report_reader import answer, evidence_of


def test_variants_are_corrected_for_all_that_could_have_been_asked(store: ResultStore, page: Path):
    keep(store, "paper", 80, seeds=(0,))
    others = {"maps_4": 73, "maps_16": 79, "maps_64": 72}
    # 7, 1 and 8 images that only one of the two has right: McNemar's p is 2 / 2^n, and the larger of the two here.
    alone = [2 * 0.5**7, 1.0, 2 * 0.5**8]
    for (variant, right), p in zip(others.items(), alone, strict=True):
        keep(store, variant, right, seeds=(0,))
        if len(store.own()) == 2:
            assert f"p = {p:.3f}):" in answer(page, store, f"method=ws_dan first=paper second={variant}")
    said = answer(page, store, f"method=ws_dan first=paper second={','.join(others)}").splitlines()
    assert [line.partition(":")[0] for line in said] == [f"- **paper − {variant}" for variant in others]
    for line, p in zip(said, holm(alone), strict=True):
        assert f"p = {p:.3f}, Holm-corrected for 3 pairs)" in line
    assert ["paper is better" in line for line in said] == [True, False, True]
    for variant, line in zip(others, said, strict=True):
        assert answer(page, store, f"method=ws_dan first=paper second={variant}") == line.removeprefix("- ")
    rows = {row["variant"]: row for row in ablation(evidence_of(store)).rows}
    for (variant, row), p in zip(((one, rows[one]) for one in others), holm(alone), strict=True):
        assert (row["p_decisive"], row["family"]) == (pytest.approx(p), 3), variant
        assert row["better"] == ("neither" if variant == "maps_16" else "paper")


def test_two_variants_have_one_p_value_whichever_is_named_first(store: ResultStore, page: Path):
    for variant, right in {"paper": 90, "a": 73, "b": 80, "c": 75}.items():
        keep(store, variant, right, seeds=(0,))
    told = [answer(page, store, f"method=ws_dan first={first} second={second}") for first, second in ("ab", "ba")]
    # a − b, a − c and b − c: 7, 2 and 5 images.
    p = holm([2 * 0.5**7, 2 * 0.5**2, 2 * 0.5**5])[0]
    assert all(f"p = {p:.3f}, Holm-corrected for 3 pairs)" in said for said in told), told


def test_a_variant_beside_another_method_is_corrected_for_its_methods_variants(store: ResultStore, page: Path):
    keep(store, "paper", 80, seeds=(0,), method="plain")
    for variant, right in {"paper": 70, "a": 73, "b": 72, "c": 71}.items():
        keep(store, variant, right, seeds=(0,))
    said = answer(page, store, "first=plain:paper second=ws_dan:a")
    assert f"p = {holm([2 * 0.5**7, 2 * 0.5**8, 2 * 0.5**9])[0]:.3f}, Holm-corrected for 3 pairs)" in said


def test_the_correction_can_undo_a_verdict(store: ResultStore, page: Path):
    # 6 images: p = 0.031 alone, 0.094 among three.
    keep(store, "paper", 80, seeds=(0,))
    keep(store, "b", 74, seeds=(0,))
    assert "paper is better" in answer(page, store, "method=ws_dan first=paper second=b")
    for variant in "cd":
        keep(store, variant, 74, seeds=(0,))
    assert "is better" not in answer(page, store, "method=ws_dan first=paper second=b")


def test_a_pair_of_methods_is_corrected_for_all_comparable_pairs_as_in_the_table(store: ResultStore, page: Path):
    for method, right in {"plain": 80, "ws_dan": 74, "sef": 73}.items():
        keep(store, "paper", right, seeds=(0,), method=method)
    frame = paired(evidence_of(store)).frame
    (row,) = frame[(frame["first"] == "plain") & (frame["second"] == "ws_dan")].to_dict("records")
    p = max(row["p_holm"], row["p_bootstrap_holm"])
    said = answer(page, store, "first=ws_dan:paper second=plain:paper,ws_dan:no_crop").splitlines()
    assert f"p = {p:.3f}, Holm-corrected for 3 pairs)" in said[0]
    assert "not measured yet" in said[1]


def test_a_pair_that_is_missing_takes_no_part_in_the_correction(store: ResultStore, page: Path):
    keep(store, "a", 80, seeds=(0,))
    keep(store, "b", 74, seeds=(0,))
    tested, absent = answer(page, store, "method=ws_dan first=a second=b,c").splitlines()
    assert "p = 0.031): a is better" in tested
    assert absent == "- **a − c: not measured yet: no finished Run of ws_dan:c.**"
