"""What a report says first, in sentences: which method is best, which ones can't be told apart, and what is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from reports import cell_format
from reports.cell_format import SOURCES, Row
from reports.contents import Table
from reports.figures.select import BASELINE
from reports.tables.head_to_head import whole_methods
from results.record import Record
from results.settings import method_label
from results.values.text import counted

Ids = tuple[str, ...]
"""Of the Runs of an experiment."""


def summary(records: Sequence[Record], tables: Mapping[str, Table]) -> Iterator[str]:
    """Of a report's records and tables, as plain text."""
    if not records:
        yield "There is nothing yet: the results folder holds no finished or failed Run."
        return
    winners = _winners(tables["paired"].rows)
    heads: dict[str, list[Row]] = defaultdict(list)
    for row in tables["head_to_head"].rows:
        heads[row["arena"]].append(row)
    for comparison, rows in sorted(heads.items()):
        known = [row for row in whole_methods(rows) if row["last_top1"] is not None]
        if not known:
            yield f"{comparison}: no accuracy yet."
            continue
        highest = f"{comparison}: highest last-epoch top-1 in %: {_best(known)} (of {len(known)} with an accuracy)."
        yield " ".join([highest, *_standing(sorted(known, key=lambda row: -row["last_top1"]), winners)])
    verdicts = [row["better"] for row in tables["paired"].rows]
    if tested := [verdict for verdict in verdicts if verdict is not None]:
        decided = sum(verdict != cell_format.NEITHER for verdict in tested)
        yield f"{decided} of {len(tested)} pairs differ at 5 % after Holm's correction."
    if untested := len(verdicts) - len(tested):
        yield f"{counted(untested, 'pair')} could not be tested; the table of pairs says why."
    states = Counter(record.status for record in records)
    yield f"{counted(len(records), 'Run')}: {states['done']} done, {states['failed']} failed."
    if reasons := len({row["reason"] for row in tables["missing"].rows}):
        yield f"Values are missing for {counted(reasons, 'reason')}, listed below."


def _best(known: Sequence[Row]) -> str:
    """The highest accuracy and whose it is; all whose it is if several look the same, since none of them won."""
    highest = max(cell_format.rounded(row["last_top1"]) for row in known)
    best = [row for row in known if cell_format.rounded(row["last_top1"]) == highest]
    accuracy = cell_format.estimate("last_top1", "")
    told = [f"{accuracy.show(row)}, {_name(row)}" for row in best]
    return " and ".join(told) + ", no winner among them" * (len(told) > 1)


Winners = Mapping[frozenset[Ids], Ids | None]
"""Two experiments that were tested against each other -> the better one; None: no difference shown."""


def _winners(pairs: Iterable[Row]) -> Winners:
    found: dict[frozenset[Ids], Ids | None] = {}
    for row in pairs:
        if row["better"] is not None:
            by_name = dict(zip((row["first"], row["second"]), row[SOURCES], strict=True))
            found[frozenset(row[SOURCES])] = by_name.get(row["better"])
    return found


def _standing(ranked: Sequence[Row], winners: Winners) -> Iterator[str]:
    """Who is as good as the highest, who is worse than all of these, and who is better or worse than the baseline.

    `ranked`: the experiments of a comparison by their accuracy, the highest first. Those that were not tested against
    the highest are in no sentence.
    """
    top, *others = ranked
    level = [top, *(row for row in others if winners.get(_pair(top, row), _ids(row)) is None)]
    worse = [row for row in others if all(winners.get(_pair(one, row)) == _ids(one) for one in level)]
    apart = any(winners.get(_pair(one, two)) is not None for one in level for two in level if one is not two)
    sentence = ""
    if len(level) > 1:
        told = f"are not shown to be worse than {_name(top)}" if apart else "can't be told apart"
        sentence = f"{_names(level[1:] if apart else level)} {told}"
    if worse:
        every = "both" if len(level) == 2 else "all"
        beat = f"; {every} {'of these ' * apart}beat" if sentence else f"{_name(top)} beats"
        sentence += f"{beat} {_names(worse)}"
    if sentence:
        yield f"{sentence}.{_single([*level, *worse])}"
    baseline = next((row for row in ranked if _name(row) == BASELINE), None)
    if baseline is None or len(ranked) < 3:
        return
    rivals = [row for row in ranked if row is not baseline and _pair(baseline, row) in winners]
    sides = {
        f"better than {BASELINE}": [row for row in rivals if winners[_pair(baseline, row)] == _ids(row)],
        "no difference shown": [row for row in rivals if winners[_pair(baseline, row)] is None],
        f"worse than {BASELINE}": [row for row in rivals if winners[_pair(baseline, row)] == _ids(baseline)],
    }
    if rivals:
        text = "; ".join(f"{side}: {_names(rows)}" for side, rows in sides.items() if rows)
        yield f"{text[0].upper()}{text[1:]}."


def _single(rows: Sequence[Row]) -> str:
    """What one seed says less than several."""
    alone = [row for row in rows if row["seeds"] == 1]
    return f" Of {_names(alone)} one seed is there: it compares models, not methods." if alone else ""


def _ids(row: Row) -> Ids:
    ids: Ids = row[SOURCES][0]
    return ids


def _pair(one: Row, two: Row) -> frozenset[Ids]:
    return frozenset({_ids(one), _ids(two)})


def _name(row: Row) -> str:
    return method_label(row["method"], row["variant"])


def _names(rows: Sequence[Row]) -> str:
    """`a, b and c`."""
    *most, last = map(_name, rows)
    return f"{', '.join(most)} and {last}" if most else last


def untrusted(files: int) -> Iterator[str]:
    """So many stored files were left out."""
    if files:
        were, they = ("1 stored file was", "it") if files == 1 else (f"{files} stored files were", "they")
        yield f"{were} left out, since {they} can't be read or trusted: the table of what is missing says why."
