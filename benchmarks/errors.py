"""Mistakes of the user, answered in one line; and the nearest right name to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from datasets import DatasetError
from methods.errors import BackboneError


class UserError(Exception):
    """The command can't be done as it was asked. The message is one line that says what to do."""


REFUSED = (UserError, DatasetError, BackboneError)
"""Everything that means: what was asked for is not there, or can't serve."""


def require_known(kind: str, name: str, choices: Iterable[str]) -> str:
    """`name` if it is one of `choices`; otherwise raises `UserError` with the nearest of them."""
    choices = list(choices)
    if name in choices:
        return name
    raise UserError(f"there is no {kind} {name!r}; {suggest(name, choices)}")


LISTED = 12
"""Names that fit a line a person reads to its end."""


def suggest(name: str, choices: Iterable[str]) -> str:
    """The nearest of `choices` in words; where none is near all of them, or the nearest few where they are many."""
    choices = list(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(choices) > LISTED:
        few = difflib.get_close_matches(name, choices, n=3, cutoff=0)
        return f"there are: {shortened(few, len(choices))}"
    return f"there are: {', '.join(choices) or 'none'}"


def shortened(names: Sequence[str], total: int | None = None) -> str:
    """The first of the names, and how many more there are (of `total`)."""
    shown = names[:LISTED]
    more = (len(names) if total is None else total) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
