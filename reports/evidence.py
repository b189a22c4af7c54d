"""What a report is based on: its records, and what several of its tables and figures derive from them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from reports.comparisons import ComparisonGroup, comparison_groups
from reports.groups import Group, groups
from reports.measurements import Costs, Measurement, measurements
from reports.predictions import NOTHING_STORED, PredictionCache
from results.device_check import DeviceCheck
from results.record import Record


class Evidence:
    """Records, the stored predictions of their Runs, and checks of devices. Everything derived from them is computed
    once."""

    def __init__(
        self,
        records: Iterable[Record],
        predictions: PredictionCache = NOTHING_STORED,
        device_checks: Iterable[DeviceCheck] = (),
    ) -> None:
        self.records = list(records)
        self.predictions = predictions
        self.device_checks = list(device_checks)

    @cached_property
    def groups(self) -> list[Group]:
        """The train Runs, the seeds of an experiment together."""
        return groups(self.records)

    @cached_property
    def comparisons(self) -> dict[ComparisonGroup, list[Group]]:
        """The experiments that may be compared, by what they share."""
        return comparison_groups(self.groups)

    @cached_property
    def measurements(self) -> list[Measurement]:
        """The finished profile Runs, repeats together."""
        return measurements(self.records)

    @cached_property
    def costs(self) -> Costs:
        """Which measurement says what an experiment costs."""
        return Costs(self.measurements, self.records)
