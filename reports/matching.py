"""Which profile Run tells what an experiment costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from reports.groups import Group, hardware_name, value_of
from results.record import Record


def matching_profile(group: Group, profiles: Sequence[Record], hardware: str | None) -> Record | None:
    """The profile Run that tells the group's cost: same network and input size, `hardware` before any other.

    Of several (a sweep over batch sizes or precisions) the one with the highest inference rate, so that each method
    is shown at its best and all of its numbers come from one measurement.
    """
    fitting = [record for record in profiles if record.status == "done" and _same_network(group, record)]
    return max(fitting, key=lambda record: (hardware_name(record) == hardware, _rates(record)), default=None)


def common_hardware(profiles: Iterable[Record]) -> str | None:
    """The device that most profile Runs were measured on: rates of one table should come from one device."""
    counts = Counter(hardware_name(record) for record in profiles if record.status == "done")
    return max(sorted(counts, key=str), key=counts.__getitem__, default=None)


def _rates(record: Record) -> tuple[float, float]:
    inference, train = record.speed.get("inference"), record.speed.get("train")
    return (inference.images_per_s if inference else 0.0, train.images_per_s if train else 0.0)


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
