"""How many images a training processes, and what is done with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from benchmarks.environment import Environment
from benchmarks.planning import method_checks
from benchmarks.planning.phases import FORWARD_COST, PhasePlan, batches_of, phase_plans
from datasets.interface import Dataset
from results.settings import Run


@dataclass(frozen=True)
class Images:
    """Images of a training, over all of its epochs."""

    trained: int
    """In epochs in which the whole network learns."""
    forwarded: int
    """In epochs in which only what is behind the backbone learns: little more than a forward pass each."""
    evaluated: int

    @property
    def learnt(self) -> int:
        """Images of all phases."""
        return self.trained + self.forwarded

    @property
    def work(self) -> float:
        """All of them, in images that the whole network is trained on."""
        return self.trained + FORWARD_COST * (self.forwarded + self.evaluated)


def of_run(run: Run, environment: Environment) -> Images:
    """Raises `DatasetError` if the dataset is not here, and `UserError` if the phases don't fit the recipe."""
    return of_sizes(run, _sizes(environment.open(run.dataset, run.dataset_options), run.recipe.validation))


def of_sizes(run: Run, sizes: Mapping[str, int]) -> Images:
    """The same from the number of images in `train`, `validation` and `test`."""
    method = method_checks.stand_in(run.label, run.method, run.options)
    plans = phase_plans(method, run.recipe)
    if not plans:  # each image passes once through the frozen network, unless its features are kept
        return Images(0, sizes["train"], sizes.get("validation", 0) + sizes.get("test", 0))
    epochs, images = sum(plan.epochs for plan in plans), sizes["train"]
    learnt = epochs * images
    if run.recipe.steps is not None:
        size = plans[0].batch_size
        of_last = run.recipe.steps - (epochs - 1) * batches_of(method, size, images)
        learnt = (epochs - 1) * images + min(of_last * size, images)
    forwarded = min(images * sum(map(_without_backbone, plans)), learnt)
    evaluations = -(-epochs // run.recipe.evaluate_every)
    tested = sizes.get("validation", 0) + sizes.get("test", 0)
    return Images(learnt - forwarded, forwarded, evaluations * tested)


def _without_backbone(plan: PhasePlan) -> int:
    """Epochs of a phase in which the backbone does not learn."""
    if plan.trains is not None and "backbone" not in plan.trains:
        return plan.epochs
    return min(max(plan.freeze.get("backbone", 0) - plan.first, 0), plan.epochs)


@cache
def _sizes(dataset: Dataset, validation: float) -> dict[str, int]:
    return {name: len(rows) for name, rows in dataset.split(validation).items()}
