"""Checks of options, which are often names in a recipe or on the command line: one line says what would do."""

from __future__ import annotations

from collections.abc import Iterable


def check_word(name: str, chosen: str, known: Iterable[str]) -> None:
    """Raises `ValueError` if an option is none of the words that are known."""
    known = list(known)
    if chosen not in known:
        raise ValueError(f"{name} is {chosen!r}; it must be one of {', '.join(known)}")


def check_share(name: str, share: float) -> None:
    """Raises `ValueError` if an option is no share."""
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is {share}; it must be a share, from 0 to 1")


def check_positive(name: str, value: float) -> None:
    """Raises `ValueError` if an option is no number above 0."""
    if not value > 0:
        raise ValueError(f"{name} is {value}; it must be more than 0")
