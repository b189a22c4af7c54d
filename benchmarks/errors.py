"""Mistakes of the user, each answered in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datasets import DatasetError
from methods.errors import BackboneError
from results.values.names import suggest


class UserError(Exception):
    """The command can't be carried out as requested. The message is one line that says what to do."""


class PlanError(UserError):
    """Several faults of a plan, each one line."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.lines = (f"{len(faults)} faults; nothing was started", *faults)
        super().__init__("\n".join(self.lines))


REFUSED = (UserError, DatasetError, BackboneError)
"""Every error that means: what was requested does not exist, or can't be used."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its type's name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require_known(kind: str, name: str, choices: Iterable[str]) -> str:
    """`name` if it is one of `choices`; otherwise raises `UserError` with the nearest of them."""
    choices = list(choices)
    if name in choices:
        return name
    raise UserError(f"there is no {kind} {name!r}; {suggest(name, choices)}")
