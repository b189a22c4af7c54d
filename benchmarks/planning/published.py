"""Which published rows a Run reproduces, and where its settings deviate from the paper's."""

from __future__ import annotations

from typing import Any

from benchmarks.planning import method_files, recipes
from benchmarks.planning.method_files import PublishedRow
from methods.tags import split_tag
from methods.weight_files import stem
from results.settings import Run, differences

IN_PLACE = "{} in place of {}"
DEFAULTS = ("precision", "allow_unfilled")
"""Settings that no paper's recipe has; the paper is taken to use their defaults."""


def rows(run: Run) -> list[dict[str, Any]]:
    """The published rows to show next to a Run, even if its recipe was shortened (`changed` says so).

    Empty if the constructor options are not the variant's, which makes it a different method.
    """
    if run.protocol != "paper" or run.options != method_files.options_of(run.method, run.variant):
        return []
    answered = method_files.published_answered(run.method, run.variant, run.task, run.backbone)
    return [_plain(row) for row in answered]


def _plain(row: PublishedRow) -> dict[str, Any]:
    """As records from before read-outs have it, unless a read-out answers it: seeds of both share a row of a table."""
    without = {"answered_by": {"readout"}} if row.answered_by and row.answered_by.readout is None else None
    return row.model_dump(exclude=without)


def deviations(run: Run) -> list[str]:
    """What the paper's sources leave open or contradict, and what was chosen."""
    return method_files.method_file(run.method).unspecified if run.protocol == "paper" else []


def changed(run: Run) -> list[str]:
    """Each setting that differs from the paper's recipe: `epochs: 2 in place of 160`."""
    if run.protocol != "paper":
        return []
    recipe = recipes.recipe_for(run.method, run.variant, "paper", run.dataset, run.backbone, {})
    if recipe.epochs is None and recipe.steps == run.recipe.steps:
        recipe = recipe.model_copy(update={"epochs": run.recipe.epochs})
    paper = run.model_copy(update={"recipe": recipe, **{name: Run.model_fields[name].default for name in DEFAULTS}})
    here, there = (one.model_dump(include={"recipe", *DEFAULTS}) for one in (run, paper))
    network = recipes.backbone_options(run.method, run.variant, "paper", run.backbone)
    here["backbone_options"] = {key: run.backbone_options.get(key, "timm's default") for key in network}
    found = differences(here, there | {"backbone_options": network}, IN_PLACE)
    weights = recipes.weights(run.method, run.variant, "paper", run.backbone)
    used, _, _ = stem(run.pretrained).partition("_to_")  # a file may end with some layer
    if weights == "auto" and split_tag(used)[0] != run.backbone:
        found.append(f"pretrained: {IN_PLACE.format(run.pretrained, f'weights named after {run.backbone}')}")
    if weights not in ("auto", used):
        found.append(f"pretrained: {IN_PLACE.format(run.pretrained, weights)}")
    return found
