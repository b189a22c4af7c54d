"""`key=value` as people write it on the command line: read, laid out as settings, matched against a Run's."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from benchmarks.errors import UserError, merged, suggest
from benchmarks.settings import AnyRun, ProfileRun, Recipe, Run


def parse_assignments(assignments: Sequence[str], flag: str) -> dict[str, str]:
    """`["a=1", "b.c=x"]` -> `{"a": "1", "b.c": "x"}`. Raises `UserError`."""
    pairs = {}
    for assignment in assignments:
        key, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise UserError(f"{flag} takes key=value, not {assignment!r}")
        if key in pairs:
            raise UserError(f"{flag} {key} is given twice; several values stand as {key}=A,B")
        pairs[key] = value
    return pairs


def nested(assignments: Mapping[str, str]) -> dict[str, Any]:
    """Dotted keys to nested settings, values read as YAML; a recipe's key may stand without `recipe.` before it."""
    result: dict[str, Any] = {}
    for dotted, text in assignments.items():
        path = dotted.split(".")
        if path[0] not in Run.model_fields and path[0] in Recipe.model_fields:
            path = ["recipe", *path]
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {dotted}: {text!r} is not a YAML value") from error
        if isinstance(value, str):
            with contextlib.suppress(ValueError):  # YAML 1.1 takes 1e-5 for a word
                value = float(value)
        for key in reversed(path):
            value = {key: value}
        result = merged(result, value)
    return result


KNOWN = frozenset(
    name
    for model in (Run, ProfileRun, Recipe)
    for name, field in model.model_fields.items()
    if not field.exclude  # what says why a Run is in a plan, not what it is
)
"""Settings that a Run has, or its recipe."""


def matches(case: AnyRun, only: Mapping[str, str]) -> bool:
    """Whether a Run has these settings, each a pattern or several with commas between; keys may be dotted, and a
    recipe's key may stand without `recipe.` before it.

    Raises `UserError` for a setting that no Run has.
    """
    values = case.model_dump(mode="json")
    values = {**values.get("recipe", {}), **values}
    for dotted in only:
        if dotted.partition(".")[0] not in KNOWN:
            raise UserError(f"--only: there is no setting {dotted!r}; {suggest(dotted, sorted(KNOWN))}")
    return all(_fits(values, dotted.split("."), pattern.split(",")) for dotted, pattern in only.items())


def _fits(values: Any, path: Sequence[str], patterns: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    if isinstance(values, bool):  # people write them as YAML does
        return any(fnmatch.fnmatchcase(str(values).lower(), one.lower()) for one in patterns)
    return any(fnmatch.fnmatchcase(str(values), one) for one in patterns)
