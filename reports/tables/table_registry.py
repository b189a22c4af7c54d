"""Every table there is, by its name: a report builds all of them, a README those it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reports.contents import Table
from reports.groups import Group
from reports.predictions import PredictionCache
from reports.tables import head_to_head, profiles
from reports.tables.ablation import ablation, steps
from reports.tables.localisation import localisation, part_hits
from reports.tables.missing import missing
from reports.tables.paired import paired
from reports.tables.provenance import provenance
from reports.tables.subset_means import averages
from reports.tables.win_matrix import wins
from results.record import Record


class Tables:
    """The tables of some records; each is built when it is first asked for."""

    def __init__(
        self, records: Sequence[Record], answers: PredictionCache, shown: Callable[[Group], bool] = lambda group: True
    ) -> None:
        self.records, self.answers, self.shown = records, answers, shown
        self._built: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        """Raises `KeyError` for a name that is not in `BUILDERS`."""
        if name not in self._built:
            self._built[name] = BUILDERS[name](self)
        return self._built[name]


BUILDERS: Mapping[str, Callable[[Tables], Table]] = {
    "paper": lambda of: head_to_head.paper(of.records, of.answers),
    "ablation": lambda of: ablation(of.records, of.answers),
    "steps": lambda of: steps(of.records, of.answers),
    "head_to_head": lambda of: head_to_head.head_to_head(of.records, of.answers),
    "averages": lambda of: averages(of.records),
    "wins": lambda of: wins(of["paired"]),
    "paired": lambda of: paired(of.records, of.answers, of.shown),
    "localisation": lambda of: localisation(of.records),
    "part_hits": lambda of: part_hits(of.records),
    "profile": lambda of: profiles.profile(of.records),
    "parts": lambda of: profiles.parts(of.records),
    "operations": lambda of: profiles.operations(of.records),
    "missing": lambda of: missing(of.records, of["head_to_head"], of["paired"]),
    "provenance": lambda of: provenance(of.records),
    "runs": lambda of: head_to_head.runs(of.records),
}


def build_tables(records: Sequence[Record], answers: PredictionCache) -> dict[str, Table]:
    """All of them, in the order of reading."""
    built = Tables(records, answers)
    return {name: built[name] for name in BUILDERS}
