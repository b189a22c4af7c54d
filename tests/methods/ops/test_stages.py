"""The two steps of bilinear networks."""

from __future__ import annotations

import pytest

from methods.ops.stages import phases_of


def test_the_stages_that_are_done_share_the_whole_training():
    first, second = phases_of(["classifier", "all"])
    assert (first.name, first.trains, first.share) == ("classifier", ("head",), 0.3)
    assert (second.name, second.trains, second.share) == ("all", None, 0.7)
    assert [phase.share for phase in phases_of(["all"])] == [1]


@pytest.mark.parametrize("stages", [[], ["classifier", "some"]])
def test_stages_that_there_are_not_are_refused(stages: list[str]):
    with pytest.raises(ValueError, match="they must be among classifier, all"):
        phases_of(stages)
