"""The chapters of a report and what is in them. A table or kind of figure that is not named here comes under `MORE`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

GALLERIES = "galleries"
"""The kind of figure that holds the galleries of test images."""
RUNS = "runs"
"""The table with a row per Run; `report.md` names it and does not show it."""


@dataclass(frozen=True)
class Chapter:
    """A heading and what comes below it, by the names in `Report.tables` and `Report.figures`."""

    anchor: str
    title: str
    question: str
    tables: tuple[str, ...]
    figures: tuple[str, ...] = ()
    hint: str = ""
    """The command that fills an empty chapter."""


JOBS = (
    Chapter(
        "reproduce",
        "Reproduce",
        "Does a method reach the accuracy that its paper reports?",
        ("paper", "ablation", "steps"),
        ("published", "ablation"),
        "run_all.py reproduce METHOD",
    ),
    Chapter(
        "compare",
        "Compare",
        "Which method is more accurate on the same images, and is the difference more than chance?",
        ("head_to_head", "averages", "ranks", "backbones", "pretraining", "wins", "paired", "branches", "readouts"),
        ("throughput", "training_time", "ranks", "gains", "curves", "losses", "calibration", "per_class", "confused"),
        "run_all.py compare --methods A,B --dataset NAME --backbone NAME",
    ),
    Chapter(
        "profile",
        "Profile",
        "What does a method cost in time and memory?",
        ("profile", "parts", "operations", "devices"),
        ("batch_sweep", "roofline", "memory"),
        "run_all.py profile --methods A,B --backbone NAME",
    ),
)
ATTENTION = Chapter(
    "attention",
    "Attention",
    "Does a method attend to the object and its parts, or to the background?",
    ("localisation", "part_hits"),
    (GALLERIES,),
)
RECORDS = Chapter(
    "records",
    "Records",
    "Where do the numbers come from, what is missing, and how good were the estimates?",
    ("missing", "estimates", "provenance", "runs"),
)
MORE = Chapter("more", "More", "What else was measured?", ())
ALWAYS = frozenset({"paper", "head_to_head", "profile"})
"""Tables that are mentioned even if they are empty."""


def chapters(tables: Collection[str], figures: Collection[str], empty: Collection[str] = ()) -> list[Chapter]:
    """The chapters of a report that has these tables and kinds of figures, in reading order.

    The three jobs and the records are always included; a job of which there is nothing comes last. `empty`: the tables
    without rows.
    """
    placed = (*JOBS, ATTENTION, RECORDS)
    named = {name for chapter in placed for name in chapter.tables}
    drawn = {kind for chapter in placed for kind in chapter.figures}
    more = replace(
        MORE,
        tables=tuple(name for name in tables if name not in named),
        figures=tuple(kind for kind in figures if kind not in drawn),
    )
    shown = {*tables, *figures} - {*empty}
    jobs = [each for each in JOBS if shown & {*each.tables, *each.figures}]
    optional = [each for each in (ATTENTION, more) if {*tables, *figures} & {*each.tables, *each.figures}]
    return [*jobs, *optional, RECORDS, *(each for each in JOBS if each not in jobs)]
