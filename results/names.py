"""Names that are alike, and answers to a name that does not exist, in words for the end of an error message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

LISTED = 12
"""Names listed in one message."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """`did you mean 'X'?`, or None if no choice is similar."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else None


def folded(name: str) -> str:
    """Letters and digits of a name in lower case: equal for names that differ in case and punctuation alone."""
    return "".join(character for character in name.casefold() if character.isalnum())


def suggest(name: str, choices: Iterable[str]) -> str:
    """The nearest choice; if none is similar, all of them, or the nearest few of many."""
    choices = list(choices)
    few = choices if len(choices) <= LISTED else difflib.get_close_matches(name, choices, n=3, cutoff=0)
    return nearest(name, choices) or f"there are: {shortened(few, len(choices)) or 'none'}"


def shortened(names: Sequence[str], total: int | None = None) -> str:
    """The first of the names, and how many more there are (of `total`)."""
    shown = names[:LISTED]
    more = (len(names) if total is None else total) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
