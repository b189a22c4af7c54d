"""`key=value` from the command line or a suite: parsed, nested, checked, and matched against Runs."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from benchmarks import yaml_text
from benchmarks.config import deep_merge, fault_in
from benchmarks.errors import UserError
from methods.tags import split_tag
from results.recipe import Recipe
from results.settings import AnyRun, ProfileRun, Run
from results.values.names import suggest
from results.values.text import shown


@dataclass(frozen=True)
class Changes:
    """Changes to a suite from the command line: `--set`, `--only`, `--seeds`."""

    set: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    seeds: int | None = None


NO_CHANGES = Changes()


def parse_assignments(assignments: Sequence[str], flag: str) -> dict[str, str]:
    """`["a=1", "b.c=x"]` -> `{"a": "1", "b.c": "x"}`. Raises `UserError`."""
    pairs = {}
    for assignment in assignments:
        key, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise UserError(f"{flag} takes key=value, not {assignment!r}")
        if key in pairs:
            several = f"; write several values as {key}=A,B" if flag == "--only" else ""
            raise UserError(f"{flag} {key} is given twice{several}")
        another = re.search(r",\s*([\w.]+=.*)", value)  # it would be read as one more pattern
        if another and flag != "--cluster-option":  # what is for sbatch may look so: export=ALL,HOME=/scratch
            first = f"{flag} {key}={value[: another.start()]}"
            raise UserError(f"{flag} takes one setting at a time: {first} {flag} {another[1]}")
        pairs[key] = value
    return pairs


def nested(assignments: Mapping[str, str]) -> dict[str, Any]:
    """Dotted keys to nested settings, values read as YAML. Keys of a recipe may omit all that only one of its settings
    needs: `lr` is `recipe.optimizer.lr`."""
    result: dict[str, Any] = {}
    for dotted, text in assignments.items():
        first, *rest = dotted.split(".")
        path = [*_place(first), *rest]
        value = yaml_value(text, f"--set {dotted}")
        if isinstance(value, str):
            value = _number(value)
        for key in reversed(path):
            value = {key: value}
        result = deep_merge(result, value)
    return result


def yaml_value(text: str, where: str) -> Any:
    """The value of an assignment. Raises `UserError`, whose message begins with `where`."""
    try:
        return yaml_text.read(text)
    except yaml_text.YamlTextError as fault:
        raise UserError(f"{where}: {shown(text)} is not a YAML value ({fault})") from fault


def _number(word: str) -> str | float:
    """The finite number that a word writes, such as 1e-5, which YAML 1.1 reads as text; else the word."""
    try:
        value = float(word)
    except ValueError:
        return word
    return value if math.isfinite(value) else word


def _place(key: str) -> tuple[str, ...]:
    """Where a change of this key belongs: `("recipe", "optimizer", "lr")` for `lr`."""
    places = [] if key in OF_TRAINING else _in_recipe(key)
    return ("recipe", *places[0]) if len(places) == 1 else (key,)


def _in_recipe(key: str) -> list[tuple[str, ...]]:
    """Where a recipe has this key: at its top, or else in each of its groups. What a single phase has is left out."""
    return [(key,)] if key in Recipe.model_fields else list(_in_groups(Recipe, key))


def _in_groups(settings: type[BaseModel], key: str) -> Iterator[tuple[str, ...]]:
    for name, one in settings.model_fields.items():
        kinds = () if get_origin(one.annotation) is dict else (one.annotation, *get_args(one.annotation))
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from [(name, key)] * (key in kind.model_fields)
                yield from ((name, *below) for below in _in_groups(kind, key))


def in_recipe(changes: Mapping[str, Any]) -> dict[str, Any]:
    """`set` of a suite file with every key of a recipe moved to its place below `recipe`."""
    placed: list[dict[str, Any]] = []
    for key, value in changes.items():
        for part in reversed(_place(key)):
            value = {part: value}  # noqa: PLW2901 - wrapped once for each part of its place
        placed.append(value)
    return deep_merge({}, *placed)


OF_TRAINING = (
    "options",
    "backbone_options",
    "dataset_options",
    "split_name",
    "pretrained",
    "allow_unfilled",
    "precision",
    "recipe",
)
"""What `--set`, or `set` in a suite, may change in a training. What identifies a Run (method, dataset, protocol …) has
options of its own."""
OF_PROFILE = ("options", "backbone_options", "pretrained", "precision", "optimizer")
"""What it may change in a profile. Of `pretrained`, only the network options of the file matter."""


def fault_of(changes: Mapping[str, Any], allowed: Sequence[str]) -> str | None:
    """Why these changes are not possible, in words; None if all keys are `allowed` and the values fit a recipe."""
    fields = {**ProfileRun.model_fields, **Run.model_fields}
    for key, value in changes.items():
        if key not in allowed:
            known = [*allowed, *(Recipe.model_fields if "recipe" in allowed else ())]
            several = sorted(".".join(place) for place in _in_recipe(key)) if "recipe" in allowed else []
            return f"can't change {key!r}; " + (f"name one of {', '.join(several)}" if several else _meant(key, known))
        grouped = key == "recipe" or get_origin(fields[key].annotation) is dict
        if grouped and not isinstance(value, Mapping):
            return f"{key} takes settings by name, {key}.NAME=VALUE; not {value!r}"
    fault = fault_in(Recipe, changes.get("recipe", {}))
    return fault and f"recipe.{fault}"


KNOWN = frozenset(
    name
    for model in (Run, ProfileRun, Recipe)
    for name, field in model.model_fields.items()
    if not field.exclude  # excluded fields give the reason for a Run, not its settings
)
"""Settings that a Run has, or its recipe."""


def matches(case: AnyRun, only: Mapping[str, str]) -> bool:
    """Whether a Run has these settings, each a pattern or several separated by commas. Keys may be dotted; keys of a
    recipe may omit `recipe.`; the pattern of a method may have a variant (`pmg:one_step`), that of a backbone a tag.

    Raises `UserError` for a setting that no Run has.
    """
    return fits(case.model_dump(mode="json"), only)


def fits(settings: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    """Like `matches`, for settings as plain values; a setting that is absent does not fit."""
    _require_known_keys(only)
    values = {**settings.get("recipe", {}), **settings}
    return all(any(_fits_one(values, dotted, one) for one in pattern.split(",")) for dotted, pattern in only.items())


PRINTED_AS = MappingProxyType({"px": "image_size", "weights": "pretrained"})
"""A plan's column -> the setting in it, where nothing in their names is alike."""


def _meant(key: str, known: Iterable[str]) -> str:
    """The setting that an unknown key probably means, in words for the end of a message."""
    known = list(known)
    printed = PRINTED_AS.get(key)
    return f"did you mean {printed!r}?" if printed in known else suggest(key, known)


def _require_known_keys(only: Iterable[str]) -> None:
    for dotted in only:
        first = dotted.partition(".")[0]
        if first not in KNOWN:
            raise UserError(f"--only: there is no setting {dotted!r}; {_meant(first, sorted(KNOWN))}")


def _fits_one(values: Mapping[str, Any], dotted: str, pattern: str) -> bool:
    if dotted == "backbone":
        return _fits_backbone(values, pattern)
    return _fits(_compared(values, dotted, pattern), pattern)


def _compared(values: Mapping[str, Any], dotted: str, pattern: str) -> Any:
    """What a pattern is compared with: the setting, or the method with its variant as plans print them."""
    if dotted == "method" and ":" in pattern:
        return f"{values.get('method')}:{values.get('variant')}"
    return _value(values, dotted.split("."))


def _fits_backbone(values: Mapping[str, Any], pattern: str) -> bool:
    """A tag is compared with the weights that a Run starts from; a measurement of speed has none."""
    network, tag = split_tag(pattern)
    started = values.get("pretrained") if tag else None
    return _fits(values.get("backbone", ABSENT), network) and (
        started is None or fnmatch.fnmatchcase(started, f"{pattern}.*")
    )


def may_fit(model: type[AnyRun], names: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    """Whether a Run of this kind may fit that has these settings (nested, as in a Run) and others, not known yet."""
    _require_known_keys(only)
    has = {*model.model_fields, *(Recipe.model_fields if model is Run else ())}
    known = {"job": model.model_fields["job"].default, **names}
    values = {**known.get("recipe", {}), **known}
    asked = {key: pattern for key, pattern in only.items() if _value(values, key.split(".")) is not ABSENT}
    return all(key.partition(".")[0] in has for key in only) and fits(known, asked)


def _fits(value: Any, pattern: str) -> bool:
    if value is ABSENT:
        return False
    if isinstance(value, bool):  # written as in YAML: true, false
        return fnmatch.fnmatchcase(str(value).lower(), pattern.lower())
    return fnmatch.fnmatchcase(str(value), pattern)


ABSENT = object()
"""Marks a setting that does not exist."""


def _value(values: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return ABSENT
        values = values[key]
    return values


def none_fits(settings: Iterable[Mapping[str, Any]], only: Mapping[str, str], of: str = "of the plan") -> str:
    """The message that `--only` leaves no Run, with the nearest value to one that no Run has."""
    flat = [{**one.get("recipe", {}), **one} for one in settings]
    for key, pattern in only.items():
        if not any(fits(one, {key: pattern}) for one in flat):
            found = [_compared(one, key, pattern) for one in flat]
            there = dict.fromkeys(str(value) for value in found if value is not ABSENT and not isinstance(value, dict))
            return f"no Run {of} has {key}={pattern}; {suggest(pattern, there)}"
    return f"no Run {of} has {' and '.join(f'{key}={pattern}' for key, pattern in only.items())}"
