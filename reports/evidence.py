"""What a report is based on: its records, and what several of its tables and figures derive from them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from reports.comparisons import ComparisonGroup, across_backbones, across_datasets, comparison_groups
from reports.groups import Group, groups
from reports.measurements import Costs, Measurement, measurements
from reports.names import IDS, Names
from reports.predictions import NOTHING_STORED, PredictionCache
from results.device_check import DeviceCheck
from results.record import Record


class Evidence:
    """Records, the stored predictions of their Runs, checks of devices, and the names that people read. Everything
    derived from them is computed once."""

    def __init__(
        self,
        records: Iterable[Record],
        predictions: PredictionCache = NOTHING_STORED,
        device_checks: Iterable[DeviceCheck] = (),
        names: Names = IDS,
    ) -> None:
        self.records = list(records)
        self.predictions = predictions
        self.device_checks = list(device_checks)
        self.names = names

    @cached_property
    def groups(self) -> list[Group]:
        """The train Runs, the seeds of an experiment together."""
        return groups(self.records)

    @cached_property
    def comparisons(self) -> dict[ComparisonGroup, list[Group]]:
        """The experiments that may be compared, by what they share."""
        return comparison_groups(self.groups)

    @cached_property
    def headings(self) -> dict[str, str]:
        """Tasks, methods and comparison groups, as rows name them -> as headings do, with display names."""
        methods = {group.run.method: self.names.method(group.run.method) for group in self.groups}
        tasks = {group.run.task: self.names.dataset(group.run.task) for group in self.groups}
        every = [*self.comparisons, *across_backbones(self.comparisons), *across_datasets(self.comparisons)]
        return tasks | methods | {str(shared): str(shared.named(self.names)) for shared in every}

    @cached_property
    def arenas(self) -> dict[Group, str]:
        """The name of each experiment's comparison group, as tables have it."""
        return {group: str(shared) for shared, members in self.comparisons.items() for group in members}

    @cached_property
    def measurements(self) -> list[Measurement]:
        """The finished profile Runs, repeats together."""
        return measurements(self.records)

    @cached_property
    def costs(self) -> Costs:
        """Which measurement says what an experiment costs."""
        return Costs(self.measurements, self.records)
