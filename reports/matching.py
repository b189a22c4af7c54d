"""Which measurement tells what an experiment costs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from reports.groups import Group, hardware_name, value_of
from reports.profile_cells import Cell, cells_of
from results.record import Record
from results.speed import Mode

Profiled = Mapping[Mode, Cell]
"""One measurement with its repeats, by mode; empty if there is none."""


def matching_profile(group: Group, profiles: Sequence[Record], hardware: str | None) -> Profiled:
    """The measurement that tells the group's cost: same network and input size, `hardware` before any other.

    Of several (a sweep over batch sizes or precisions) the one with the highest inference rate, so that each method
    is shown at its best and all of its numbers come from one measurement. Its rate is the median of its repeats, as in
    the table of profiles: the fastest of them would be luck.
    """
    together: dict[str, dict[Mode, Cell]] = defaultdict(dict)
    for key, cell in cells_of(record for record in profiles if _same_network(group, record)).items():
        together[key.removesuffix(f" {cell.mode}")][cell.mode] = cell
    return max(together.values(), key=lambda found: (_hardware(found) == hardware, _rates(found)), default={})


def common_hardware(profiles: Iterable[Record]) -> str | None:
    """The device that most profile Runs were measured on: rates of one table should come from one device."""
    counts = Counter(hardware_name(record) for record in profiles if record.status == "done")
    return max(sorted(counts, key=str), key=counts.__getitem__, default=None)


def _hardware(found: Profiled) -> str | None:
    return next(hardware_name(cell.records[0]) for cell in found.values())


def _rates(found: Profiled) -> tuple[float, float]:
    inference, train = ((cell.rate if (cell := found.get(mode)) else None) for mode in ("inference", "train"))
    return (inference or 0.0, train or 0.0)


def _same_network(group: Group, profile: Record) -> bool:
    train = group.records[0]
    if any(train.run.get(key) != profile.run.get(key) for key in ("method", "variant", "options", "backbone")):
        return False
    # A weight file may add options to a trained backbone; those that the profile names have to agree.
    trained, asked = (run.get("backbone_options") or {} for run in (train.run, profile.run))
    if any(trained.get(key) != value for key, value in asked.items()):
        return False
    classes = profile.run.get("classes")
    if classes is not None and classes != train.split.get("classes", classes):
        return False
    size = value_of(profile, "input")
    return size is None or size == value_of(train, "input")
