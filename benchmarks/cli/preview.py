"""What a command would do, or could be given, as rows to print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import methods
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import batch_sweep, recipes, suite
from benchmarks.planning.expand import epochs_of, images_to_process, split_name
from benchmarks.planning.reference_runs import Experiment
from benchmarks.planning.suite_builders import ReproductionTarget
from results.settings import AnyRun, Recipe, Run, flat
from results.store import ResultStore


def rows(plan: Sequence[AnyRun], store: ResultStore, environment: Environment) -> list[dict[str, Any]]:
    """A row per Run of a plan: what, how many images it trains on and evaluates, and whether it is done already."""
    return [_row(run, store, environment) for run in plan]


def _row(run: AnyRun, store: ResultStore, environment: Environment) -> dict[str, Any]:
    known = store.read(run.id)
    row: dict[str, Any] = {"job": run.job, "run": run.label}
    if isinstance(run, Run):
        trained, evaluated = images_to_process(run, environment)
        row |= {
            "protocol": run.protocol,
            "weights": run.pretrained,
            "px": run.recipe.image_size,
            "stored px": run.recipe.stored_size,
            "epochs": epochs_of(run.method, run.options, run.recipe),
            "trained": trained,
            "evaluated": evaluated,
        }
    to_do = "to do until full" if batch_sweep.member(run) else "to do"
    return row | {"state": known.status if known else to_do}


def experiment_rows(rows: Sequence[Experiment], device: str) -> list[dict[str, Any]]:
    """A row per experiment of the project's numbers: which Runs are to be done, and what they need that is not here."""
    return [
        {"suite": row.suite}
        | {name: row.names.get(name) for name in ("method", "dataset", "protocol", "backbone", "px")}
        | {"settings": _settings(row.names), "published": row.names.get("published")}
        | {"runs": _numbered(row), "needs": row.needs(device)}
        for row in rows
    ]


def _settings(names: Mapping[str, Any]) -> str | None:
    """What else distinguishes an experiment: the budget of a training, how a profile computes."""
    words = [f"epochs {names['epochs']}"] if names.get("epochs") else []
    words += [f"batch {names['batch']}", names["precision"]] if names.get("batch") else []
    words += ["compiled"] if names.get("compiled") else []
    return ", ".join(words) or None


def _numbered(row: Experiment) -> str | None:
    """The seeds of a training, or the numbers of a profile's repeats."""
    kind = "repeat" if row.names.get("job") == "profile" else "seed"
    return f"{kind} {', '.join(map(str, row.seeds))}" if row.seeds else None


def left_out(rows: Sequence[Experiment], device: str) -> list[str]:
    """What can't be done on a machine that computes on `device`: a line for the GPU, one for data and weights."""
    absent = [row.lacking for row in rows if row.lacking]
    gpu = sum(row.lacking is None and row.needs(device) is not None for row in rows)
    lines = [f"left out: {gpu} experiments that need a GPU"] if gpu else []
    if absent:
        things = ", ".join(dict.fromkeys(thing for lacking in absent for thing in lacking.split(", ")))
        lines.append(f"left out: {len(absent)} experiments that need what is not here: {things} (--dry-run: which)")
    return lines


def goal_rows(goals: Sequence[ReproductionTarget]) -> list[dict[str, Any]]:
    """Row by row: the published value, where it stands, what answers it here, by which of `goal_notes`' recipes, and
    whether what it needs is here."""
    numbers = list(_recipes(goals))
    return [
        {
            "published": row and row.value,
            "table": row and row.table,
            "verified": row and row.verified,
            "variant": goal.variant,
            "dataset": goal.dataset,
            "backbone": goal.backbone,
            "recipe": 1 + numbers.index(_key(goal.recipe)),
            "data here": goal.dataset_fault is None,
            "weights here": goal.weights_fault is None,
        }
        for goal in goals
        for row in goal.rows or (None,)
    ]


def goal_notes(goals: Sequence[ReproductionTarget]) -> list[str]:
    """The recipes by number, in words that `--set` takes, each shortened by what it has in common with the first; then
    everything that is lacking, once."""
    lines = []
    first: dict[str, Any] = {}
    for number, recipe in enumerate(_recipes(goals).values(), start=1):
        whole = flat(recipe.model_dump(mode="json"))
        values = flat(recipe.model_dump(mode="json", exclude_defaults=True))
        # What the first departs from its default in is told, though this one is at its default.
        values |= {key: whole[key] for key in first if key not in values and key in whole}
        different = {key: value for key, value in values.items() if first.get(key, ...) != value}
        gone = [f"without {key}" for key in first if key not in values]
        told = ", ".join([" ".join(f"{key}={pasteable(value)}" for key, value in different.items()), *gone])
        lines.append(f"recipe {number}: {'as 1, but ' if first else ''}{told.removeprefix(', ')}")
        first = first or values
    faults = [fault for goal in goals for fault in (goal.dataset_fault, goal.weights_fault) if fault]
    return lines + [f"lacking: {fault}" for fault in dict.fromkeys(faults)]


def pasteable(value: Any) -> str:
    """A value as `--set` takes it, without blanks, at which a shell would cut it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def other_rows(method: str, goals: Sequence[ReproductionTarget]) -> list[str]:
    """How many of the published rows these goals answer, and where the others stand; no line if there are no others."""
    name, _ = split_name(method)
    published = recipes.published(name)
    here = sum(row in published for goal in goals for row in goal.rows)
    if here == len(published):
        return []
    elsewhere = sum(row.answered_by is not None and row.value is not None for row in published) - here
    more = f", {elsewhere} more by other variants (--ablation), datasets or networks" if elsewhere else ""
    return [
        f"{here} of {len(published)} published rows are answered here{more}; the rest have no number that was "
        f"found, or no Run that answers them: methods/{name}/published.yaml"
    ]


def _recipes(goals: Sequence[ReproductionTarget]) -> dict[str, Recipe]:
    """The different recipes, in order of appearance."""
    return {_key(goal.recipe): goal.recipe for goal in goals}


def _key(recipe: Recipe) -> str:
    return recipe.model_dump_json()


def variants_of(name: str) -> list[str]:
    """All variants of a method, the paper's own first."""
    method, _ = split_name(name)
    return sorted(recipes.method_file(method).variants, key=lambda variant: variant != "paper")


def method_rows(check: bool = False) -> list[dict[str, Any]]:
    """A row per method. With `check`, raises `UserError` naming every method with an unsound recipe or row."""
    if check:
        check_methods()
    found = []
    for name in methods.available():
        file = recipes.method_file(name)
        found.append(
            {
                "name": name,
                "paper": f"{file.paper.title} ({file.paper.venue} {file.paper.year})" if file.paper else None,
                "summary": file.summary,
                "variants": ", ".join(variants_of(name)),
                "published rows": len(recipes.published(name)),
            }
        )
    return found


def check_methods() -> None:
    """Raises `UserError` with the first fault of every method that has one."""
    faults = []
    for name in methods.available():
        try:
            recipes.check(name)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("; ".join(faults))


def suite_rows() -> list[dict[str, Any]]:
    """A row per suite."""
    return [{"name": name, "about": suite.load(name).about} for name in suite.available()]
