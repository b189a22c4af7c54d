"""`key=value` as people write it on the command line or in a suite: read, laid out as settings, checked, matched."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_origin

import yaml

from benchmarks.config import deep_merge, fault_in
from benchmarks.errors import UserError, suggest
from results.settings import AnyRun, ProfileRun, Recipe, Run


def parse_assignments(assignments: Sequence[str], flag: str) -> dict[str, str]:
    """`["a=1", "b.c=x"]` -> `{"a": "1", "b.c": "x"}`. Raises `UserError`."""
    pairs = {}
    for assignment in assignments:
        key, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise UserError(f"{flag} takes key=value, not {assignment!r}")
        if key in pairs:
            raise UserError(f"{flag} {key} is given twice; several values stand as {key}=A,B")
        if another := re.search(r",\s*([\w.]+=.*)", value):  # it would be one more pattern, which fits nothing
            first = f"{flag} {key}={value[: another.start()]}"
            raise UserError(f"{flag} takes one setting at a time: {first} {flag} {another[1]}")
        pairs[key] = value
    return pairs


def nested(assignments: Mapping[str, str]) -> dict[str, Any]:
    """Dotted keys to nested settings, values read as YAML; a recipe's key may stand without `recipe.` before it."""
    result: dict[str, Any] = {}
    for dotted, text in assignments.items():
        path = dotted.split(".")
        if of_recipe(path[0]):
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
        result = deep_merge(result, value)
    return result


def of_recipe(key: str) -> bool:
    """Whether a setting is a recipe's alone, so that it may stand without `recipe.` before it."""
    return key not in Run.model_fields and key in Recipe.model_fields


def in_recipe(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a suite file sets, each recipe's key below `recipe`, wherever it stood."""
    own = {key: value for key, value in changes.items() if of_recipe(key)}
    rest = {key: value for key, value in changes.items() if key not in own}
    return deep_merge({"recipe": own}, rest) if own else rest


OF_TRAINING = (
    "options",
    "backbone_options",
    "dataset_options",
    "pretrained",
    "allow_unfilled",
    "precision",
    "recipe",
)
"""What `--set`, or `set` in a suite, may change of a training. What names a Run (method, dataset, protocol …) is asked
for by name."""
OF_PROFILE = ("options", "backbone_options", "pretrained", "precision", "optimizer")
"""What it may change of a profile; of `pretrained`, only the network's options that the file asks for come into it."""


def fault_of(changes: Mapping[str, Any], allowed: Sequence[str]) -> str | None:
    """Why a plan can't be changed so, in words; None if its keys are among those `allowed` and fit a recipe."""
    fields = {**ProfileRun.model_fields, **Run.model_fields}
    for key, value in changes.items():
        if key not in allowed:
            known = [*allowed, *(Recipe.model_fields if "recipe" in allowed else ())]
            return f"can't change {key!r}; {suggest(key, known)}"
        grouped = key == "recipe" or get_origin(fields[key].annotation) is dict
        if grouped and not isinstance(value, Mapping):
            return f"{key} takes settings by name, {key}.NAME=VALUE; not {value!r}"
    fault = fault_in(Recipe, changes.get("recipe", {}))
    return fault and f"recipe.{fault}"


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
    return fits(case.model_dump(mode="json"), only)


def fits(settings: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    """As `matches`, of settings as plain values; one that is not among them does not fit."""
    values = {**settings.get("recipe", {}), **settings}
    for dotted in only:
        if dotted.partition(".")[0] not in KNOWN:
            raise UserError(f"--only: there is no setting {dotted!r}; {suggest(dotted, sorted(KNOWN))}")
    return all(_fits(values, dotted.split("."), pattern.split(",")) for dotted, pattern in only.items())


def _fits(values: Any, path: Sequence[str], patterns: Sequence[str]) -> bool:
    value = _value(values, path)
    if value is ABSENT:
        return False
    if isinstance(value, bool):  # people write them as YAML does
        return any(fnmatch.fnmatchcase(str(value).lower(), one.lower()) for one in patterns)
    return any(fnmatch.fnmatchcase(str(value), one) for one in patterns)


ABSENT = object()
"""In place of a value: there is no such setting."""


def _value(values: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return ABSENT
        values = values[key]
    return values


def none_fits(planned: Iterable[Mapping[str, Any]], only: Mapping[str, str]) -> str:
    """Says that `--only` leaves nothing of what is planned, and what comes nearest to a value that nothing has."""
    flat = [{**one.get("recipe", {}), **one} for one in planned]
    for key, pattern in only.items():
        values = [value for one in flat if (value := _value(one, key.split("."))) is not ABSENT]
        if not any(fits(one, {key: pattern}) for one in flat):
            there = dict.fromkeys(str(value) for value in values if not isinstance(value, dict))
            return f"no Run of the plan has {key}={pattern}; {suggest(pattern, there)}"
    return f"no Run of the plan has {' and '.join(f'{key}={pattern}' for key, pattern in only.items())}"
