"""Options that are names, shares or positive numbers: what is right passes, and one line says what else would do."""

from __future__ import annotations

import pytest

from methods.ops.options import check_positive, check_share, check_word


def test_a_word_must_be_known() -> None:
    check_word("pairs", "all", ("different", "all"))
    with pytest.raises(ValueError, match="pairs is 'some'; it must be one of different, all"):
        check_word("pairs", "some", ("different", "all"))


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_share_may_be_anything_from_0_to_1(share: float) -> None:
    check_share("probability", share)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"probability is .*; it must be a share, from 0 to 1"):
        check_share("probability", share)


@pytest.mark.parametrize("value", [0, -1e-9, float("nan")])
def test_what_is_not_above_0_is_refused(value: float) -> None:
    check_positive("epsilon", 1e-9)
    with pytest.raises(ValueError, match=r"epsilon is .*; it must be more than 0"):
        check_positive("epsilon", value)
