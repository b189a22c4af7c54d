"""Names that are alike, and answers to a name that does not exist, in words for the end of an error message."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

LISTED = 12
"""Names listed in one message."""
LONGEST = 200
"""Characters of a name that is compared: comparing takes time with their square, and nobody mistypes more."""
SHORTEST = 3
"""Letters and digits of a short name; fewer are part of too many."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """`did you mean 'X'?`, or None if no choice is similar."""
    if len(name) > LONGEST:
        return None
    choices = list(choices)
    short = [choice for choice in choices if _shortness(name, choice) is not None]
    near = sorted(short, key=lambda choice: (_shortness(name, choice), -_likeness(name, choice)))
    near = near or difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else None


def _shortness(name: str, choice: str) -> int | None:
    """In which way a name is short for a choice, the likelier the lower; None if it isn't.

    0: written otherwise (`wsdan` for `ws_dan`); 1: one of its words (`cub` for `cub_200_2011`); 2: all its words, some
    by their first letter (`bcnn` for `bilinear_cnn`); 3: a part of it (`flowers` for `oxford_flowers102`).
    """
    asked, words = folded(name), [folded(word) for word in re.findall(r"[^\W_]+", choice)]
    if len(asked) < SHORTEST:
        return None
    whole = "".join(words)
    ways = (asked == whole, asked in words, _abbreviates(asked, words), asked in whole)
    return next((rank for rank, fits in enumerate(ways) if fits), None)


def _abbreviates(asked: str, words: Sequence[str]) -> bool:
    """Whether `asked` is made of all the words, each whole or as its first letter."""
    ends = {0}
    for word in words:
        ends = {end + len(part) for end in ends for part in (word, word[:1]) if asked.startswith(part, end)}
    return len(asked) in ends


def _likeness(name: str, choice: str) -> float:
    return difflib.SequenceMatcher(None, name, choice).ratio()


def folded(name: str) -> str:
    """Letters and digits of a name in lower case: equal for names that differ in case and punctuation alone."""
    return "".join(character for character in name.casefold() if character.isalnum())


def suggest(name: str, choices: Iterable[str]) -> str:
    """The nearest choice; if none is similar, all of them, or the nearest few of many."""
    choices = list(choices)
    many = len(choices) > LISTED and len(name) <= LONGEST
    few = difflib.get_close_matches(name, choices, n=3, cutoff=0) if many else choices
    return nearest(name, choices) or f"there are: {shortened(few, len(choices)) or 'none'}"


def shortened(names: Sequence[str], total: int | None = None) -> str:
    """The first of the names, and how many more there are (of `total`)."""
    shown = names[:LISTED]
    more = (len(names) if total is None else total) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
