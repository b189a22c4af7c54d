"""How methods look: one colour each in all figures of a report, and a marker and dash that tell them apart in grey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from reports.comparisons import BASELINE, WHOLE
from reports.figures.colours import PALETTE, PLAIN, SHADES, shade

Look = dict[str, Any]
"""`color`, `marker` and `linestyle`, as matplotlib names them."""
Experiment = tuple[str, str]
"""Method and variant."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
"""Colours, markers and dashes differ in number and these have no common factor, so no two of the first
`len(PALETTE) * len(DASHES)` methods have one colour and one dash, and none of the first
`len(PALETTE) * len(MARKERS)` have one colour and one marker."""


@dataclass(frozen=True)
class Looks:
    """The looks of the methods and variants of a report."""

    methods: tuple[str, ...]
    """In order. A method's place decides its colour; that of the baseline is dark grey."""
    variants: tuple[Experiment, ...] = ()
    """In order. A variant's place among those of its method decides the shade of the method's colour."""

    @classmethod
    def of(cls, experiments: Iterable[Experiment]) -> Looks:
        """Those of a report with these experiments, one for each Run: methods with most Runs, which share most figures,
        are told apart best."""
        runs = list(experiments)
        often = Counter(method for method, _ in runs)
        ordered = sorted(
            set(runs), key=lambda one: (one[0] != BASELINE, -often[one[0]], one[0], one[1] != WHOLE, one[1])
        )
        return cls(tuple(dict.fromkeys(method for method, _ in ordered)), tuple(ordered))

    def color(self, method: str) -> str:
        """The method's colour, as `#rrggbb`."""
        if method == BASELINE:
            return PLAIN
        others = [one for one in self.methods if one != BASELINE]
        return PALETTE[others.index(method) % len(PALETTE)] if method in others else PALETTE[0]

    def together(self, shown: Sequence[Experiment]) -> list[Look]:
        """The looks of what stands in one figure: no two are the same, also where one experiment stands there twice,
        unless there are more than `len(MARKERS)` of one colour."""
        found: list[Look] = []
        for method, variant in shown:
            siblings = [name for one, name in self.variants if one == method]
            step = siblings.index(variant) if variant in siblings else 0
            color = shade(self.color(method), SHADES[step % len(SHADES)])
            start = self.methods.index(method) if method in self.methods else 0
            several = [self._look(color, start + step + more) for more in range(len(MARKERS))]
            found.append(next((look for look in several if look not in found), several[0]))
        return found

    def _look(self, color: str, place: int) -> Look:
        marker, dash = MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)]
        return {"color": color, "marker": marker, "linestyle": dash}
