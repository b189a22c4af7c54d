"""Mistakes of the user, each answered in one line."""

from __future__ import annotations

from collections.abc import Iterable

from datasets import DatasetError
from methods.errors import BackboneError
from results.names import suggest


class UserError(Exception):
    """The command can't be carried out as requested. The message is one line that says what to do, or, of a plan, one
    for each of several faults."""


REFUSED = (UserError, DatasetError, BackboneError)
"""Every error that means: what was requested does not exist, or can't be used."""


def require_known(kind: str, name: str, choices: Iterable[str]) -> str:
    """`name` if it is one of `choices`; otherwise raises `UserError` with the nearest of them."""
    choices = list(choices)
    if name in choices:
        return name
    raise UserError(f"there is no {kind} {name!r}; {suggest(name, choices)}")
