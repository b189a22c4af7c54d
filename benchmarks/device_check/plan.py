"""Which checks there are, in order of importance, and how long each may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from benchmarks.device_check.ceilings import measure_ceilings
from benchmarks.device_check.compilation import check_compilation
from benchmarks.device_check.feeds import measure_augmentations, measure_feeds
from benchmarks.device_check.finding import Finding
from benchmarks.device_check.networks import SMALL, Network
from benchmarks.device_check.pixels import check_augmentation, check_feeds
from benchmarks.device_check.steps import PLAIN, Cell, measure_steps
from benchmarks.device_check.trainings import check_determinism, check_recovery
from benchmarks.device_check.values import check_values
from benchmarks.device_check.waits import check_augmentation_waits, check_waits
from benchmarks.errors import require_known
from benchmarks.planning import method_files
from results.device_check import Group
from results.settings import Precision

GROUPS: tuple[Group, ...] = get_args(Group)
AUGMENTATION, FEED_MODES = "augmentation", "feed modes"
NEEDS_GPU = "needs a GPU"
PATIENCE = 4
"""So many times as long as on a GPU a check may take on a CPU, which other work may slow down (measured: a minute for
the values of WS-DAN, at a load of ten for each core)."""

RESNET = Network("resnet50", {})
ON_RESNET = (PLAIN, "ws_dan", "dfl_cnn", "bilinear_cnn", "sef")
SWIN = Network("swin_base_patch4_window12_384", {})
OTHERS: tuple[tuple[Network, int, int, tuple[str, ...]], ...] = (
    (Network("vgg16", {}), 448, 64, (PLAIN, "bilinear_cnn", "dfl_cnn")),
    (Network("inception_v3", {}), 448, 64, (PLAIN, "ws_dan")),
    (SWIN, 384, 32, (PLAIN, "swinfc")),
)
"""Networks of the papers: pixels, batch, methods. Plain comes first, since the others are compared with it."""


@dataclass(frozen=True)
class PlannedCheck:
    """A check that is to be made."""

    group: Group
    seconds: float
    """At most; a hang must not take the time of the others."""
    work: Callable[..., Finding]
    """A function of a module, called with `arguments` in a process of its own."""
    arguments: tuple[Any, ...]
    method: str | None = None
    case: str = ""
    not_here: str = ""
    """Why it can't be made on this device."""

    @property
    def label(self) -> str:
        """For people."""
        return " · ".join(filter(None, (self.group, self.method, self.case)))


def planned_checks(device: str, small: bool) -> list[PlannedCheck]:
    """All checks of a device, the most important first. `small`: steps and feeds of small networks and images."""
    compiling = [
        PlannedCheck("compile", 120, check_compilation, (method, device, "fp32"), method, "fp32")
        for method in method_files.every_method()
    ]
    checks = [
        *_right(device),
        *(compiling if device == "cuda" else ()),
        *(_steps(one, device, 90) for one in (_small_cells() if small else _cells("bf16"))),
        PlannedCheck("feeds", 90, measure_feeds, (device, small), case=FEED_MODES),
        PlannedCheck("feeds", 90, measure_augmentations, (device, small), case=AUGMENTATION),
        PlannedCheck("ceilings", 60, measure_ceilings, (device,)),
        *(compiling if device == "cpu" else ()),  # a CPU's compiler takes longer than all the rest
        *(_last(device) if not small else [_steps(Cell(PLAIN, SMALL[0], 64, 8, compiled=True), device, 240)]),
    ]
    return checks if device == "cuda" else [replace(one, seconds=PATIENCE * one.seconds) for one in checks]


def _right(device: str) -> Iterator[PlannedCheck]:
    """What must be right. It is small enough for any device."""
    methods = method_files.every_method()
    precisions: tuple[Precision, ...] = ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32", "bf16")
    no_gpu = NEEDS_GPU if device == "cpu" else ""
    for method in methods:
        yield PlannedCheck("values", 90, check_values, (method, device, precisions), method)
    yield PlannedCheck("values", 60, check_augmentation, (device,), case=AUGMENTATION, not_here=no_gpu)
    yield PlannedCheck("values", 60, check_feeds, (device,), case=FEED_MODES)
    for method in methods:
        yield PlannedCheck("waits", 60, check_waits, (method,), method, not_here=no_gpu)
    yield PlannedCheck("waits", 60, check_augmentation_waits, (device,), case=AUGMENTATION, not_here=no_gpu)
    for method in methods:
        yield PlannedCheck("determinism", 90, check_determinism, (method, device), method)
    yield PlannedCheck("memory", 90, check_recovery, (device,), not_here=no_gpu)


def _last(device: str) -> Iterator[PlannedCheck]:
    """What takes long: compiled code, and the networks of the papers."""
    yield from (_steps(one, device, 120) for one in _cells("bf16", compiled=True))
    yield _steps(Cell(PLAIN, RESNET, 448, 64, "fp32"), device, 60)
    for network, size, batch, methods in OTHERS:
        yield from (_steps(Cell(method, network, size, batch, "bf16"), device, 90) for method in methods)
    for method in method_files.every_method():
        yield PlannedCheck("compile", 120, check_compilation, (method, device, "bf16"), method, "bf16")


def _cells(precision: Precision, compiled: bool = False) -> list[Cell]:
    return [Cell(method, RESNET, 448, 64, precision, compiled) for method in ON_RESNET]


def _small_cells() -> list[Cell]:
    on_resnet = [Cell(method, SMALL[0], 64, 8) for method in ON_RESNET]
    return [*on_resnet, *(Cell(method, SMALL[1], 96, 8) for method in (PLAIN, "swinfc"))]


def _steps(cell: Cell, device: str, seconds: float) -> PlannedCheck:
    return PlannedCheck("steps", seconds, measure_steps, (cell, device), cell.method, cell.case)


def chosen(checks: Sequence[PlannedCheck], names: Sequence[str]) -> list[PlannedCheck]:
    """The checks of these groups and methods; of all groups, or all methods, if none is named.

    Raises `UserError` for a name that is neither, with the nearest that there is.
    """
    methods = method_files.every_method()
    for name in names:
        require_known("check or method", name, [*GROUPS, *methods])
    groups = set(names) & set(GROUPS) or set(GROUPS)
    wanted = set(names) & set(methods)
    return [one for one in checks if one.group in groups and (not wanted or one.method in wanted)]
