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


def matches(case: AnyRun, only: Mapping[str, str]) -> bool:
    """Whether a Run has these settings, each a pattern or several with commas between; keys may be dotted.

    Raises `UserError` for a setting that no Run has.
    """
    values = case.model_dump(mode="json")
    for dotted, pattern in only.items():
        value: Any = values
        for key in dotted.split("."):
            if not isinstance(value, dict) or key not in value:
                known = set(Run.model_fields) | set(ProfileRun.model_fields)
                if dotted.split(".", maxsplit=1)[0] not in known:
                    raise UserError(f"--only: there is no setting {dotted!r}; {suggest(dotted, sorted(known))}")
                return False
            value = value[key]
        if not any(fnmatch.fnmatchcase(str(value), one) for one in pattern.split(",")):
            return False
    return True
