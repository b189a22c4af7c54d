"""Where experiments meet: what those share that may be compared, and which of them a comparison of methods is about."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from reports.groups import Group, distinctions, split_hash, value_of
from results.record import Record

WHOLE = "paper"
"""The variant that is the method as published."""
_SHARED = ("dataset", "protocol", "backbone", "pretrained", "input")
_FREE = ("lr_scale", "evaluate_every")
"""Of the common recipe, what a method may set, and what changes no last epoch."""


class ComparisonGroup(NamedTuple):
    """What experiments share that may be compared."""

    dataset: Any
    protocol: Any
    backbone: Any
    pretrained: Any
    input: Any
    epochs: Any
    """None under other protocols than the common one: there the budget is part of a method's own recipe."""
    recipe: str | None
    """The rest of the common recipe, without what methods may set of it, and the precision; JSON. None as `epochs`."""
    split: str | None
    apart: str = ""
    """What sets it apart from other arenas of its name."""

    def __str__(self) -> str:
        budget = f", epochs: {self.epochs}" if self.epochs is not None else ""
        apart = f", {self.apart}" if self.apart else ""
        return f"{self.dataset}, {self.protocol} recipe, {self.backbone}, {self.input} px{budget}{apart}"


def arenas(found: Iterable[Group]) -> dict[ComparisonGroup, list[Group]]:
    """The groups by what they share. No two arenas have one name."""
    together: dict[ComparisonGroup, list[Group]] = defaultdict(list)
    for group in found:
        together[_arena(group.records[0])].append(group)
    alike: dict[str, list[ComparisonGroup]] = defaultdict(list)
    for arena in together:
        alike[str(arena)].append(arena)
    named = {
        arena: arena._replace(apart=apart)
        for namesakes in alike.values()
        for arena, apart in zip(namesakes, _distinctions(namesakes), strict=True)
    }
    return {named[arena]: members for arena, members in together.items()}


def contestants(members: Sequence[Group]) -> list[Group]:
    """Of an arena, those by which methods are compared: the whole method, its variants only where it is not there.

    What a variant gains or loses is told by the table of ablations.
    """
    whole = {group.names["method"] for group in members if group.names["variant"] == WHOLE}
    return [group for group in members if group.names["variant"] == WHOLE or group.names["method"] not in whole]


def _arena(record: Record) -> ComparisonGroup:
    shared = {key: value_of(record, key) for key in _SHARED}
    epochs, recipe = None, None
    if shared["protocol"] == "common":
        epochs = value_of(record, "epochs")
        # What is off is left out, so that a setting that is new, and off, leaves older records where they were.
        told = {key: value for key, value in (record.run.get("recipe") or {}).items() if value and key not in _FREE}
        recipe = json.dumps(told | {"precision": record.run.get("precision", "fp32")}, sort_keys=True)
    return ComparisonGroup(**shared, epochs=epochs, recipe=recipe, split=split_hash(record))


def _distinctions(namesakes: Sequence[ComparisonGroup]) -> list[str]:
    told = [
        {"pretrained": arena.pretrained, "split": str(arena.split)[:10], "recipe": json.loads(arena.recipe or "{}")}
        for arena in namesakes
    ]
    return distinctions(told, letters=60)
