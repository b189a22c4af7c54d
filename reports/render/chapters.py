"""What a report shows in which order. A table or kind of figure that is not named here comes under `MORE`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

GALLERIES = "galleries"
"""Of the kinds of figures, the photos."""


@dataclass(frozen=True)
class Chapter:
    """A heading and what stands below it, by the names in `Report.tables` and `Report.figures`."""

    anchor: str
    title: str
    question: str
    tables: tuple[str, ...]
    figures: tuple[str, ...] = ()
    hint: str = ""
    """What to do if there is nothing to show."""


JOBS = (
    Chapter(
        "reproduce",
        "Reproduce",
        "Does a method reach what its paper reports?",
        ("paper", "ablation", "steps"),
        ("ablation",),
        "run_all.py reproduce METHOD",
    ),
    Chapter(
        "compare",
        "Compare",
        "Which method is better on the same images, and is the difference more than chance?",
        ("head_to_head", "averages", "wins", "paired"),
        ("throughput", "curves", "calibration", "per_class", "confused"),
        "run_all.py compare --methods A,B --dataset NAME --backbone NAME",
    ),
    Chapter(
        "profile",
        "Profile",
        "What does a method cost in time and memory?",
        ("profile", "parts", "operations"),
        ("batch_sweep", "roofline", "memory"),
        "run_all.py profile --methods A,B --backbone NAME",
    ),
)
SEE = Chapter(
    "see",
    "See",
    "Does a method look at what tells the classes apart?",
    ("localisation", "part_hits"),
    (GALLERIES,),
)
RECORDS = Chapter(
    "records",
    "Records",
    "Where do the numbers come from, and what is not there?",
    ("missing", "provenance", "runs"),
)
MORE = Chapter("more", "More", "What else was measured.", ())
ALWAYS = frozenset({"paper", "head_to_head", "profile"})
"""Tables that are spoken of even where they are empty."""


def chapters(tables: Collection[str], figures: Collection[str]) -> list[Chapter]:
    """The chapters of a report with something in these tables and kinds of figures, in the order of reading.

    The three jobs are always there; `ALWAYS` need not be named.
    """
    placed = (*JOBS, SEE, RECORDS)
    named = {name for chapter in placed for name in chapter.tables}
    drawn = {kind for chapter in placed for kind in chapter.figures}
    more = replace(
        MORE,
        tables=tuple(name for name in tables if name not in named),
        figures=tuple(kind for kind in figures if kind not in drawn),
    )
    optional = [each for each in (SEE, more) if {*tables, *figures} & {*each.tables, *each.figures}]
    return [*JOBS, *optional, RECORDS]
