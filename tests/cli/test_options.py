"""Options of the command line that are wrong are answered in one line."""

from __future__ import annotations

import pytest

from benchmarks.cli.carry_out import environment_of
from benchmarks.cli.options import Request
from benchmarks.cli.terminal import whole_numbers
from benchmarks.errors import UserError


@pytest.mark.parametrize("wrong", ["8,16", "0", "-4", "", "many", "1.5"])
def test_images_at_once_are_one_number_or_auto(wrong: str) -> None:
    with pytest.raises(UserError, match="--batch-size takes one number, 1 or more, or auto"):
        environment_of(Request(batch_size=wrong))


@pytest.mark.parametrize(("asked", "known"), [("auto", "auto"), ("8", 8), (None, None)])
def test_images_at_once_come_into_the_execution(asked: str | None, known: object) -> None:
    assert environment_of(Request(batch_size=asked, device="cpu")).execution.micro_batch == known


@pytest.mark.parametrize("wrong", [",", "", "1,x"])
def test_a_list_of_numbers_has_one_at_the_least(wrong: str) -> None:
    with pytest.raises(UserError, match="--batch-size takes numbers"):
        whole_numbers(wrong, "--batch-size")
    assert whole_numbers("1, 2", "--batch-size") == [1, 2]
