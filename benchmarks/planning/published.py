"""What a Run answers of what is published, and in which settings it departs from that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.planning import recipes
from results.settings import Run, differences

IN_PLACE = "{} in place of {}"
DEFAULTS = ("precision", "allow_unfilled")
"""What no paper's recipe says: it is meant at its default."""


def rows(run: Run) -> list[dict[str, Any]]:
    """The paper's rows that a Run's number stands beside, be its recipe shortened or not; `changed` says if it is.

    None where the constructor options are not the variant's: that is another method.
    """
    if run.protocol != "paper" or run.options != recipes.options_of(run.method, run.variant):
        return []
    found = recipes.published_answered(run.method, variant=run.variant, dataset=run.task, backbone=run.backbone)
    return [row.model_dump() for row in found]


def deviations(run: Run) -> list[str]:
    """What the paper's sources leave open or contradict, and what was chosen."""
    return recipes.method_file(run.method).unspecified if run.protocol == "paper" else []


def changed(run: Run) -> list[str]:
    """Each setting that is not that of the paper's recipe: `epochs: 2 in place of 160`."""
    if run.protocol != "paper":
        return []
    recipe = recipes.recipe_for(run.method, run.variant, "paper", run.dataset, run.backbone, {})
    paper = run.model_copy(update={"recipe": recipe, **{name: Run.model_fields[name].default for name in DEFAULTS}})
    here, there = (one.model_dump(include={"recipe", *DEFAULTS}) for one in (run, paper))
    found = differences(here, there, IN_PLACE)
    stem = Path(run.pretrained).stem
    if stem != run.backbone and not stem.startswith(f"{run.backbone}_to_"):
        found.append(f"pretrained: {IN_PLACE.format(run.pretrained, f'weights named after {run.backbone}')}")
    return found
