"""One sentence per comparison: which of two experiments is better, by how much, and how certain that is.

Pairs of methods are decided as in the paired table, a variant against its whole method as in the table of ablations.
Tables of steps and of backbones correct for their own rows, and may decide a pair differently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

from reports import cell_format
from reports.cell_format import Row
from reports.comparisons import WHOLE, comparison_groups, uncut
from reports.evidence import Evidence
from reports.groups import Group, named
from reports.names import Names
from reports.tables.paired import COMPARED, compared, decided, pairs, variant_pairs
from results.values.text import in_a_row, spaced

CHOOSING = ("dataset", "protocol", "backbone", "pretrained", "input", "epochs")
"""Settings by which a page chooses between several experiments with one name."""
_DIFFERENCE = cell_format.signed("difference", "difference")
_INTERVAL = cell_format.interval("difference", "interval")
_P = cell_format.probability("p_decisive", "p")


class Name(NamedTuple):
    """An experiment's method and variant."""

    method: str
    variant: str

    def __str__(self) -> str:
        return f"{self.method}:{self.variant}"


def verdicts(evidence: Evidence, first: Name, seconds: Sequence[Name], where: Mapping[str, str]) -> list[str]:
    """A sentence for `first` against each of `seconds`, as plain text, with p values corrected by Holm.

    A pair of methods is corrected for all pairs of its comparison group. A pair with a variant is corrected for the
    pairs of all variants of its method with the same other experiment, and for those of `seconds`. Variants are named
    alone where all are of one method. `evidence` has the records that the filters `where` let through; the sentence
    calls missing what is not among them. Raises `ValueError` if it has more than one experiment of a name, or some that
    can't be compared, and names the setting that distinguishes them: choosing one would be choosing the answer.
    """
    if len({first, *seconds}) <= len(seconds):
        raise ValueError(f"{first} − {', '.join(map(str, seconds))}: names an experiment twice")
    found = {name: uncut([group for group in evidence.groups if _matches(group, name)]) for name in (first, *seconds)}
    _require_one(found)
    chosen = {name: matching[0] for name, matching in found.items() if matching}
    of_one_method = len({name.method for name in found}) == 1
    labels = {name: name.variant if of_one_method else evidence.names.method(*name) for name in found}
    rows = [
        {"first": labels[first], "second": labels[second], **_comparison(first, second, chosen, evidence, where)}
        for second in seconds
    ]
    return [_sentence(row) for row in _decided(rows, first, seconds, chosen, evidence)]


def _decided(
    rows: Sequence[Row], first: Name, seconds: Sequence[Name], chosen: Mapping[Name, Group], evidence: Evidence
) -> list[dict[str, Any]]:
    """Pairs of methods among all pairs of their comparison group, as in the paired table; those with a variant among
    all that could have been asked in their place."""
    asked = [frozenset(chosen[name] for name in (first, second) if name in chosen) for second in seconds]
    families = (_distinct(pairs(members)) for members in evidence.comparisons.values())
    family = next((every for every in families if not every.keys().isdisjoint(asked)), {})
    is_of_methods = [pair in family for pair in asked]
    has_variant = [not of_methods for of_methods in is_of_methods]
    alternatives = _distinct(one for pair in compress(asked, has_variant) for one in _alternatives(pair, evidence))
    methods = iter(decided([*compress(rows, is_of_methods), *_unasked(family, asked, evidence)]))
    variants = iter(decided([*compress(rows, has_variant), *_unasked(alternatives, asked, evidence)]))
    return [next(methods if of_methods else variants) for of_methods in is_of_methods]


def _distinct(family: Iterable[tuple[Group, Group]]) -> dict[frozenset[Group], tuple[Group, Group]]:
    """The pairs of a family, each once, whichever of the two comes first."""
    return {frozenset(pair): pair for pair in family}


def _alternatives(pair: Collection[Group], evidence: Evidence) -> list[tuple[Group, Group]]:
    """The pairs among which this one, which has a variant, was chosen; none where one of the two is not measured."""
    if len(pair) < 2:
        return []
    first, second = pair
    members = next((members for members in evidence.comparisons.values() if first in members), [])
    chosen = [(one, other) for one, other in ((first, second), (second, first)) if one.run.variant != WHOLE]
    return [one for variant, other in chosen for one in variant_pairs(members, variant, other)]


def _unasked(
    family: Mapping[frozenset[Group], tuple[Group, Group]], asked: Collection[frozenset[Group]], evidence: Evidence
) -> list[dict[str, Any]]:
    """The comparisons of a family that no sentence tells."""
    rest = [pair for members, pair in family.items() if members not in asked]
    return [{"first": "", "second": ""} | compared(*map(evidence.predictions.of, pair)) for pair in rest]


def _matches(group: Group, name: Name) -> bool:
    return bool(group.done) and (group.run.method, group.run.variant) == name


def _require_one(found: Mapping[Name, Sequence[Group]]) -> None:
    """Raises `ValueError` for a name with several experiments, or if they are not all in one comparison group."""
    for name, matching in found.items():
        if len(matching) > 1:
            choice = _choice([named(group.run) for group in matching])
            settings = " / ".join(group.settings for group in matching)
            fault = choice or f"they differ in {settings}, which no filter names"
            raise ValueError(in_a_row(f"{len(matching)} experiments of {name} match: {fault}"))
    shared = comparison_groups(group for matching in found.values() for group in matching)
    if choice := _choice([one._asdict() for one in shared]):
        names = ", ".join(str(name) for name, matching in found.items() if matching)
        raise ValueError(in_a_row(f"what matches of {names} can't be compared: {choice}"))


def _choice(settings: Sequence[Mapping[str, Any]]) -> str:
    """The filter to add so that one of them remains; empty if there is none."""
    values = {key: sorted({str(each[key]) for each in settings}) for key in CHOOSING}
    several = {key: known for key, known in values.items() if len(known) > 1}
    differ = "; ".join(f"{key} is {' or '.join(known)}" for key, known in several.items())
    return f"{differ}; add {' or '.join(f'{key}=…' for key in several)}" if several else ""


def _comparison(
    first: Name, second: Name, chosen: Mapping[Name, Group], evidence: Evidence, where: Mapping[str, str]
) -> dict[str, Any]:
    """The keys of `compared`, and a `reason` in words where the two are not compared."""
    shown = {name: evidence.names.method(*name) for name in (first, second)}
    row: dict[str, Any] = dict.fromkeys(COMPARED)
    place = _place(where, evidence.names)
    if absent := [name for one, name in shown.items() if one not in chosen]:
        return row | {"reason": f"not measured yet: no finished Run of {' or '.join(absent)}{place}"}
    both = [chosen[first], chosen[second]]
    predictions = [evidence.predictions.of(group) for group in both]
    if absent := [name for name, known in zip(shown.values(), predictions, strict=True) if not known.seeds]:
        return row | {"reason": f"not measured yet: no stored predictions of {' or '.join(absent)}{place}"}
    if len(shared := comparison_groups(both)) > 1:
        return row | {"reason": f"not comparable: {' against '.join(one.distinction for one in shared)}"}
    found = compared(*predictions)
    return row | found | {"reason": found["reason"] and f"not comparable: {found['reason']}"}


def _place(where: Mapping[str, str], names: Names) -> str:
    """The filters in words: ` on CUB-100, backbone ResNet-50`."""
    dataset = f" on {names.dataset(where['dataset'])}" if "dataset" in where else ""
    return dataset + "".join(f", {key} {value}" for key, value in names.row(where).items() if key != "dataset")


def _sentence(row: Row) -> str:
    pair = f"{row['first']} − {row['second']}"
    if row["reason"]:
        return f"{pair}: {row['reason']}."
    interval = "no interval: the same difference on every image"
    if row["difference_low"] is not None:
        interval = f"95 % interval {_INTERVAL.show(row)}"
    seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    images = spaced(row["images"])
    p = _P.show(row)
    p = f"p {p}" if p.startswith("<") else f"p = {p}"
    corrected = f", Holm-corrected for {row['family']} pairs" if row["family"] > 1 else ""
    verdict = "no difference shown" if row["better"] == cell_format.NEITHER else f"{row['better']} is better"
    alone = " (1 seed: of these two models, not of the methods)" if row["seeds"] == 1 else ""
    measured = f"{_DIFFERENCE.show(row)} points ({interval}; {seeds}, {images} test images, {p}{corrected})"
    return f"{pair}: {measured}: {verdict}{alone}."
