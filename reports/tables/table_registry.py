"""Every table by its name: a report builds all of them, a README those it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from reports.contents import Table
from reports.evidence import Evidence
from reports.groups import Group, all_conditions
from reports.tables.ablation import ablation, steps
from reports.tables.across.backbones import backbones
from reports.tables.across.pretraining import pretraining
from reports.tables.across.ranks import ranks
from reports.tables.across.subset_means import averages
from reports.tables.branches import branches
from reports.tables.cost import profiles
from reports.tables.cost.devices import devices
from reports.tables.cost.estimates import estimates
from reports.tables.head_to_head import head_to_head
from reports.tables.localisation import localisation, part_hits
from reports.tables.missing import missing
from reports.tables.paired import paired
from reports.tables.published import published
from reports.tables.readouts import readouts
from reports.tables.runs import provenance, runs
from reports.tables.win_matrix import wins


class Tables:
    """The tables of some evidence; each is built when it is first used.

    Pairs are shown only of experiments that are `shown`.
    """

    def __init__(self, evidence: Evidence, shown: Callable[[Group], bool] = lambda group: True) -> None:
        self.evidence, self.shown = evidence, shown
        self._built: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        """Raises `KeyError` for a name that is not in `BUILDERS`."""
        if name not in self._built:
            built = BUILDERS[name](self)
            note = all_conditions(self.evidence.groups, self.evidence.names) if name in WITHOUT_SETTINGS else ""
            columns = tuple(map(self.evidence.names.column, built.columns))
            headings = {**self.evidence.headings, **built.headings}
            self._built[name] = replace(built, note=built.note + note, columns=columns, headings=headings)
        return self._built[name]


WITH_REASONS = ("head_to_head", "paired", "averages", "backbones", "ranks")
"""Tables whose dashes are told in the table of missing values, in the order of its parameters."""
BUILDERS: Mapping[str, Callable[[Tables], Table]] = {
    "paper": lambda tables: published(tables.evidence),
    "ablation": lambda tables: ablation(tables.evidence),
    "steps": lambda tables: steps(tables.evidence),
    "head_to_head": lambda tables: head_to_head(tables.evidence, tables["paired"].rows, tables.shown),
    "branches": lambda tables: branches(tables.evidence),
    "readouts": lambda tables: readouts(tables.evidence),
    "averages": lambda tables: averages(tables.evidence),
    "ranks": lambda tables: ranks(tables.evidence),
    "backbones": lambda tables: backbones(tables.evidence, tables.shown),
    "pretraining": lambda tables: pretraining(tables.evidence),
    "wins": lambda tables: wins(tables["paired"], tables.evidence.names),
    "paired": lambda tables: paired(tables.evidence, tables.shown),
    "localisation": lambda tables: localisation(tables.evidence),
    "part_hits": lambda tables: part_hits(tables.evidence),
    "profile": lambda tables: profiles.profile(tables.evidence),
    "parts": lambda tables: profiles.parts(tables.evidence),
    "operations": lambda tables: profiles.operations(tables.evidence),
    "devices": lambda tables: devices(tables.evidence),
    "missing": lambda tables: missing(tables.evidence, *(tables[name] for name in WITH_REASONS)),
    "estimates": lambda tables: estimates(tables.evidence),
    "provenance": lambda tables: provenance(tables.evidence),
    "runs": lambda tables: runs(tables.evidence),
}


WITHOUT_SETTINGS = ("steps", "backbones", "ranks", "wins", "paired")
"""Tables over seeds whose rows don't show an experiment's settings: their notes say in what its seeds differ."""


def build_tables(evidence: Evidence) -> dict[str, Table]:
    """All of them, in the order of reading."""
    tables = Tables(evidence)
    return {name: tables[name] for name in BUILDERS}
