"""What a comparison settles, in a sentence: which of two experiments is better, by how much, and how sure that is.

A table leaves its reader to weigh difference, interval and p; a question as "does normalising the centres matter?" has
an answer, and it is decided by the rule of the paired table, so that page and table can't disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from reports import cell_format
from reports.comparisons import arenas
from reports.groups import Group, groups, value_of
from reports.predictions import PredictionCache
from reports.tables.paired import COMPARED, compared, decided, pairs
from results.record import Record

APART = ("dataset", "protocol", "backbone", "pretrained", "input", "epochs")
"""Settings by which a page says which of several experiments with one name it means."""
_DIFFERENCE = cell_format.signed("difference", "difference")
_INTERVAL = cell_format.interval("difference", "interval")
_P = cell_format.probability("decisive", "p")


class Name(NamedTuple):
    """Whose experiment is meant."""

    method: str
    variant: str

    def __str__(self) -> str:
        return f"{self.method}:{self.variant}"


def verdicts(
    records: Iterable[Record], answers: PredictionCache, first: Name, seconds: Sequence[Name], where: Mapping[str, str]
) -> list[str]:
    """A sentence for `first` against each of `seconds`, as plain text, with p values corrected by Holm.

    A pair of methods is corrected for all pairs of its arena, variants of one method for those that are asked for.
    `records` are those that `where` (setting -> value) lets through; what is not among them the sentence calls missing.
    Raises `ValueError` if they hold more than one experiment of a name, or some that can't be compared, and says which
    setting would tell them apart: to pick one would be to choose the answer.
    """
    if len({first, *seconds}) <= len(seconds):
        raise ValueError(f"{first} − {', '.join(map(str, seconds))}: names an experiment twice")
    known = groups(records)
    found = {name: [group for group in known if group.done and _named(group, name)] for name in (first, *seconds)}
    _demand_one(found)
    rows = [_row(first, second, found, answers, where) for second in seconds]
    return [_sentence(row) for row in _decided(rows, first, seconds, found, known, answers)]


def _decided(
    rows: Sequence[dict[str, Any]],
    first: Name,
    seconds: Sequence[Name],
    found: Mapping[Name, Sequence[Group]],
    known: Sequence[Group],
    answers: PredictionCache,
) -> list[dict[str, Any]]:
    """Pairs of methods with all pairs of their arena, as in the paired table; those of variants with each other."""
    asked = [{id(group) for name in (first, second) for group in found[name]} for second in seconds]
    family = next((every for members in arenas(known).values() if _has(every := pairs(members), asked)), [])
    rivals = [{id(one), id(other)} for one, other in family]
    methods = [row for row, pair in zip(rows, asked, strict=True) if pair in rivals]
    others = [pair for pair, ids in zip(family, rivals, strict=True) if ids not in asked]
    nameless = {"first": "", "second": ""}
    whole = [*methods, *(nameless | compared(answers.of(one), answers.of(other)) for one, other in others)]
    among_methods = iter(decided(whole))
    among_variants = iter(decided([row for row, pair in zip(rows, asked, strict=True) if pair not in rivals]))
    return [next(among_methods if pair in rivals else among_variants) for pair in asked]


def _has(family: Sequence[tuple[Group, Group]], asked: Sequence[set[int]]) -> bool:
    return any({id(one), id(other)} in asked for one, other in family)


def _named(group: Group, name: Name) -> bool:
    return (str(group.names["method"]), str(group.names["variant"])) == name


def _demand_one(found: Mapping[Name, Sequence[Group]]) -> None:
    """One experiment per name, all in one arena; raises `ValueError` otherwise. Names without any are let through."""
    for name, matching in found.items():
        if len(matching) > 1:
            apart = _apart([{key: value_of(group.records[0], key) for key in APART} for group in matching])
            told = apart or f"they differ in {' / '.join(group.settings for group in matching)}, which no filter names"
            raise ValueError(cell_format.one_line(f"{len(matching)} experiments of {name} match: {told}"))
    every = arenas(group for matching in found.values() for group in matching)
    if apart := _apart([arena._asdict() for arena in every]):
        names = ", ".join(str(name) for name, matching in found.items() if matching)
        raise ValueError(cell_format.one_line(f"what matches of {names} can't be compared: {apart}"))


def _apart(settings: Sequence[Mapping[str, Any]]) -> str:
    """What to add so that one of them remains; empty if no filter does it."""
    values = {key: sorted({str(each[key]) for each in settings}) for key in APART}
    several = {key: known for key, known in values.items() if len(known) > 1}
    differ = "; ".join(f"{key} is {' or '.join(known)}" for key, known in several.items())
    return f"{differ}; add {' or '.join(f'{key}=…' for key in several)}" if several else ""


def _row(
    first: Name, second: Name, found: Mapping[Name, Sequence[Group]], answers: PredictionCache, where: Mapping[str, str]
) -> dict[str, Any]:
    """The names as the sentence says them and what `compared` tells, or the `reason` why there is nothing to tell."""
    one_method = first.method == second.method
    row: dict[str, Any] = {"first": first.variant, "second": second.variant} if one_method else {}
    row = {"first": str(first), "second": str(second)} | row | dict.fromkeys(COMPARED)
    pair = {name: group for name in (first, second) for group in found[name]}
    if absent := [str(name) for name in (first, second) if name not in pair]:
        return row | {"reason": f"not measured yet: no finished Run of {' or '.join(absent)}{_told(where)}"}
    if silent := [str(name) for name, group in pair.items() if not answers.of(group).seeds]:
        return row | {"reason": f"not measured yet: no stored predictions of {' or '.join(silent)}{_told(where)}"}
    if len(apart := [arena.apart for arena in arenas(pair.values())]) > 1:
        return row | {"reason": f"not comparable: {' against '.join(apart)}"}
    told = compared(*(answers.of(group) for group in pair.values()))
    return row | told | {"reason": told["reason"] and f"not comparable: {told['reason']}"}


def _told(where: Mapping[str, str]) -> str:
    """` on cub100, backbone resnet50`: where a page looked."""
    dataset = f" on {where['dataset']}" if "dataset" in where else ""
    return dataset + "".join(f", {key} {value}" for key, value in where.items() if key != "dataset")


def _sentence(row: Mapping[str, Any]) -> str:
    pair = f"{row['first']} − {row['second']}"
    if row["reason"]:
        return f"{pair}: {row['reason']}."
    interval = "no interval: the same difference on every image"
    if not cell_format.absent(row["difference_low"]):
        interval = f"95 % interval {_INTERVAL.show(row)}"
    seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    images = f"{row['images']:,}".replace(",", " ")
    # Both tests have to say so, hence the larger p is the one that decides.
    p = _P.show({"decisive": max(row["p_holm"], row["p_bootstrap_holm"])})
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    corrected = f", Holm-corrected for {row['family']} pairs" if row["family"] > 1 else ""
    verdict = "no difference shown" if row["better"] == cell_format.NEITHER else f"{row['better']} is better"
    alone = " (1 seed: of these two models, not of the methods)" if row["seeds"] == 1 else ""
    measured = f"{_DIFFERENCE.show(row)} points ({interval}; {seeds}, {images} test images, {p}{corrected})"
    return f"{pair}: {measured}: {verdict}{alone}."
