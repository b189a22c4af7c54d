"""What a report says first, in sentences: what it can show, which method is best, which ones can't be told apart, and
what is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reports import cell_format
from reports.cell_format import Row
from reports.comparisons import BASELINE, WHOLE
from reports.contents import Table
from reports.names import IDS, Names
from reports.tables.head_to_head import trained_ids, whole_methods
from reports.tables.paired import Ids, Winners, decisions
from results.identity import DRAWN
from results.record import Record
from results.settings import Run
from results.values.text import counted

LEARN = "accuracies say that methods learn, not which one is better on photographs"
"""Of drawn images."""


def summary(records: Sequence[Record], tables: Mapping[str, Table], names: Names = IDS) -> Iterator[str]:
    """Of a report's records and tables, as plain text with `names` in the place of ids."""
    if not records:
        yield "There is nothing yet: the results folder holds no finished or failed Run."
        return
    datasets = {record.run.dataset for record in records if isinstance(record.run, Run)}
    drawn = sorted(datasets & DRAWN)
    if drawn and datasets <= DRAWN:
        yield from _only_drawn()
    winners = decisions(tables["paired"].rows)
    sentences = Sentences(names, winners)
    headings = tables["head_to_head"].headings
    heads: dict[str, list[Row]] = defaultdict(list)
    for row in tables["head_to_head"].rows:
        heads[row["arena"]].append(row)
    for comparison, rows in sorted(heads.items()):
        known = [row for row in whole_methods(rows) if row["last_top1"] is not None]
        heading = headings.get(comparison, comparison)
        if not known:
            yield f"{heading}: no accuracy yet."
            continue
        highest = f"{heading}: {sentences.best(known)}"
        yield " ".join([highest, *sentences.standing(sorted(known, key=lambda row: -row["last_top1"]))])
    if drawn and not datasets <= DRAWN:
        yield f"The images of {' and '.join(map(names.dataset, drawn))} are drawn by fgbench itself: there, {LEARN}."
    verdicts = [row["better"] for row in tables["paired"].rows]
    if tested := [verdict for verdict in verdicts if verdict is not None]:
        decided = sum(verdict != cell_format.NEITHER for verdict in tested)
        rule = "after Holm's correction for all pairs of a comparison"
        yield f"{decided} of {len(tested)} pairs differ at 5 % {rule}.{_other_family(tables)}"
    if untested := len(verdicts) - len(tested):
        yield f"{counted(untested, 'pair')} could not be tested; the table of pairs says why."
    states = Counter(record.status for record in records)
    yield f"{counted(len(records), 'Run')}: {states['done']} done, {states['failed']} failed."
    if reasons := len({row["reason"] for row in tables["missing"].rows}):
        yield f"Values are missing for {counted(reasons, 'reason')}, listed below."


def _in_percent(row: Row) -> str:
    """`90.2 ± 0.2 %`, and `90.2 % (n=1)`."""
    number, mark, seeds = cell_format.estimate("last_top1", "").show(row).partition(" (n=")
    return f"{number} %{mark}{seeds}"


def _only_drawn() -> Iterator[str]:
    """What a report on images can show that fgbench draws itself, and what to measure next."""
    yield f"All images are drawn by fgbench itself: this report shows whether it works, and {LEARN}."
    yield (
        "What to run next, on your own images or a published dataset: run_all.py compare --methods A,B --dataset NAME "
        "--backbone NAME; by a paper's own recipe: run_all.py reproduce METHOD. With --dry-run each shows its plan and "
        "what it takes; run_all.py list datasets shows what is there."
    )


def _other_family(tables: Mapping[str, Table]) -> str:
    """That another table decides by another correction, if there is one."""
    if not tables["backbones"].rows:
        return ""
    return (
        f" The table of methods by backbone corrects for its pairs with {BASELINE} alone, so the two may "
        "decide a pair differently."
    )


@dataclass(frozen=True)
class Sentences:
    """On the experiments of one comparison, rows of the table `head_to_head`."""

    names: Names
    winners: Winners

    def best(self, known: Sequence[Row]) -> str:
        """The highest accuracy and whose it is; all whose it is if several look the same, since none of them won."""
        highest = max(cell_format.rounded(row["last_top1"]) for row in known)
        best = [row for row in known if cell_format.rounded(row["last_top1"]) == highest]
        if len(best) > 1:
            told = " and ".join(f"{self._name(row)} at {_in_percent(row)}" for row in best)
            return f"{told} share the highest last-epoch top-1 of {len(known)}; none of them is a winner."
        if len(known) == 1:
            return f"{self._name(best[0])} has a last-epoch top-1 of {_in_percent(best[0])}."
        return f"{self._name(best[0])} has the highest last-epoch top-1 of {len(known)}, {_in_percent(best[0])}."

    def standing(self, ranked: Sequence[Row]) -> Iterator[str]:
        """Who is as good as the highest, who is worse than all of these, and who is better or worse than the baseline.

        `ranked`: by their accuracy, the highest first. Those that were not tested against the highest are in no
        sentence.
        """
        top, *others = ranked
        level = [top, *(row for row in others if self._winner(top, row, untested=trained_ids(row)) is None)]
        worse = [row for row in others if all(self._winner(one, row) == trained_ids(one) for one in level)]
        apart = any(self._winner(one, two) is not None for one in level for two in level if one is not two)
        sentence = ""
        if len(level) > 1:
            told = f"are not shown to be worse than {self._name(top)}" if apart else "can't be told apart"
            sentence = f"{self._names(level[1:] if apart else level)} {told}"
        if worse:
            every = "both" if len(level) == 2 else "all"
            beat = f"; {every} {'of these ' * apart}beat" if sentence else f"{self._name(top)} beats"
            sentence += f"{beat} {self._names(worse)}"
        if sentence:
            yield f"{sentence}.{self._single([*level, *worse])}"
        yield from self._against_baseline(ranked)

    def _against_baseline(self, ranked: Sequence[Row]) -> Iterator[str]:
        baseline = next((row for row in ranked if (row["method"], row["variant"]) == (BASELINE, WHOLE)), None)
        if baseline is None or len(ranked) < 3:
            return
        tested = [row for row in ranked if row is not baseline and _pair(baseline, row) in self.winners]
        better = [row for row in tested if self._winner(baseline, row) == trained_ids(row)]
        level = [row for row in tested if self._winner(baseline, row) is None]
        worse = [row for row in tested if self._winner(baseline, row) == trained_ids(baseline)]
        name = self._name(baseline)
        sides = {f"better than {name}": better, f"no difference to {name} shown": level, f"worse than {name}": worse}
        if tested:
            text = "; ".join(f"{side}: {self._names(rows)}" for side, rows in sides.items() if rows)
            yield f"{text[0].upper()}{text[1:]}."

    def _single(self, rows: Sequence[Row]) -> str:
        """What one seed says less than several."""
        alone = [row for row in rows if row["seeds"] == 1]
        return f" Of {self._names(alone)} one seed is there: it compares models, not methods." if alone else ""

    def _winner(self, one: Row, two: Row, untested: Ids | None = None) -> Ids | None:
        return self.winners.get(_pair(one, two), untested)

    def _name(self, row: Row) -> str:
        return self.names.method(row["method"], row["variant"])

    def _names(self, rows: Sequence[Row]) -> str:
        """`a, b and c`."""
        *most, last = map(self._name, rows)
        return f"{', '.join(most)} and {last}" if most else last


def _pair(one: Row, two: Row) -> frozenset[Ids]:
    return frozenset({trained_ids(one), trained_ids(two)})


def untrusted(files: int) -> Iterator[str]:
    """So many stored files were left out."""
    if files:
        were, they = ("1 stored file was", "it") if files == 1 else (f"{files} stored files were", "they")
        yield f"{were} left out, since {they} can't be read or trusted: the table of what is missing says why."
