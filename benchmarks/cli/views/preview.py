"""What a command would do, as rows and lines to print."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from benchmarks.environment import Environment
from benchmarks.estimates import images
from benchmarks.planning import batch_sweep, headline, left_to_do, method_files
from benchmarks.planning.expand import epochs_of
from benchmarks.planning.reference.experiments import Experiment
from benchmarks.planning.suite_builders import ReproductionTarget
from results import identity
from results.augmentation import InputScaling
from results.recipe import Recipe
from results.settings import AnyRun, Run, flat, method_label
from results.store import ResultStore
from results.values.text import counted

Row = dict[str, Any]
WEIGHTS = ("backbone", "weights", "scaling")
"""Columns on what a training starts from."""
REMARKS = 3
"""Sentences on one dataset."""


def tables(plan: Sequence[AnyRun], store: ResultStore, environment: Environment) -> list[tuple[str, list[Row]]]:
    """`(title, rows)` for the trainings of a plan, for their weights, and for its profiles.

    What a backbone starts from is in a table of its own, unless the plan has several files for one backbone.
    """
    trainings = rows([run for run in plan if isinstance(run, Run)], store, environment)
    profiles = rows([run for run in plan if not isinstance(run, Run)], store, environment)
    weights = [{key: row.get(key) for key in WEIGHTS} for row in trainings]
    weights = [row for at, row in enumerate(weights) if row not in weights[:at]]
    if len({row["backbone"] for row in weights}) == len(weights) > 1:
        trainings = [{key: row[key] for key in row if key not in WEIGHTS[1:]} for row in trainings]
    else:
        weights = []
    count = sum(run.job == "train" for run in plan)
    found = [
        (f"{counted(count, 'Run')} of {counted(len(trainings), 'training')}; images are of one Run", trainings),
        ("what they start from", weights),
        (f"{counted(len(plan) - count, 'Run')} of {counted(len(profiles), 'profile')}", profiles),
    ]
    return [(title, rows) for title, rows in found if rows]


def rows(plan: Sequence[AnyRun], store: ResultStore, environment: Environment) -> list[Row]:
    """A row per experiment of a plan: what it is, its Runs, how many images each trains on and evaluates, and which of
    them are done."""
    together: dict[str, list[AnyRun]] = {}
    for run in plan:
        together.setdefault(run.experiment, []).append(run)
    beyond = {run.id for run in left_to_do.of(plan, store).not_needed}
    return [_row(runs, store, environment, beyond) for runs in together.values()]


def _row(runs: Sequence[AnyRun], store: ResultStore, environment: Environment, beyond: Set[str]) -> Row:
    run, listed = runs[0], ", ".join(str(one.replicate) for one in runs)
    row: Row = {"method": method_label(run.method, run.variant)}
    if isinstance(run, Run):
        todo = images.of_run(run, environment)
        row |= {
            "dataset": run.task,
            "backbone": run.backbone,
            "protocol": run.protocol,
            "weights": run.pretrained,
            **({"scaling": str(run.scaling)} if run.scaling != InputScaling() else {}),
            "seeds": listed,
            "px": run.recipe.image_size,
            "stored px": run.recipe.stored_size,
            "epochs": epochs_of(run.method, run.options, run.recipe),
            "trained": todo.learnt,
            "evaluated": todo.evaluated,
        }
    else:
        row |= {"backbone": run.backbone, "precision": run.precision, "computed": ", ".join(run.ways) or None}
        row |= {"repeats": listed, "px": run.image_size, "batch": run.batch_size}
    return row | {"state": _state(runs, store, beyond)}


def _state(runs: Sequence[AnyRun], store: ResultStore, beyond: Set[str]) -> str:
    """`done`, or `1 done, 2 to do`. `beyond`: ids of batch sizes beyond the end of their sweep."""
    states = []
    for run in runs:
        if run.id in beyond:
            states.append("not needed")
            continue
        record = store.answer(run) or store.read(run.id)
        to_do = "to do until full" if batch_sweep.member(run) else "to do"
        states.append(record.status if record else to_do)
    counts = Counter(states)
    return ", ".join(f"{count} {state}" for state, count in counts.items()) if len(counts) > 1 else states[0]


def remarks(plan: Sequence[AnyRun], environment: Environment) -> list[str]:
    """What was put right or left out in reading the datasets of a plan: the first few sentences on each."""
    opened = {
        dataset.name: dataset.remarks
        for run in plan
        if isinstance(run, Run) and (dataset := environment.open(run.dataset, run.dataset_options)).remarks
    }
    more = {name: len(found) - REMARKS for name, found in opened.items() if len(found) > REMARKS}
    return [f"{name}: {remark}" for name, found in opened.items() for remark in found[:REMARKS]] + [
        f"{name}: {count} more remarks, in: data verify {name}" for name, count in more.items()
    ]


def experiment_rows(rows: Sequence[Experiment], device: str) -> list[dict[str, Any]]:
    """A row per experiment of the reference results: its Runs, and what they need that this machine does not have."""
    return [
        {name: row.names.get(name) for name in ("method", "dataset", "protocol", "backbone", "px")}
        | {"settings": _settings(row.names), "published": row.names.get("published")}
        | {"runs": _replicates(row), "needs": row.needs(device)}
        for row in rows
    ]


def experiment_counts(found: Sequence[Experiment], device: str) -> list[Row]:
    """A row per suite and method of the reference results: how many experiments and Runs, how many of these can be run
    here, and what the others need."""
    together: dict[tuple[str, str], list[Experiment]] = {}
    for row in found:
        for label in str(row.names["method"]).split(", "):
            together.setdefault((row.suite, label.partition(":")[0]), []).append(row)
    return [
        {
            "suite": suite,
            "method": method,
            "experiments": len(members),
            "Runs": sum(len(row.runs) for row in members) or None,
            "Runs here": sum(len(row.runs) for row in members if row.needs(device) is None) or None,
            "needs": ", ".join(dict.fromkeys(map(_kind, _things(row.needs(device) for row in members)))) or None,
        }
        for (suite, method), members in together.items()
    ]


def experiment_totals(found: Sequence[Experiment], device: str) -> list[str]:
    """How many experiments and Runs there are in all, and how to see each."""
    here = sum(len(row.runs) for row in found if row.needs(device) is None)
    planned = sum(bool(row.runs) for row in found)
    runs = counted(sum(len(row.runs) for row in found), "Run")
    lines = [f"{counted(planned, 'experiment')}, {runs}, of which {here} can be run here"]
    if without := len(found) - planned:
        lines.append(f"{counted(without, 'experiment')} without Runs yet: data or weights are not here")
    return [*lines, "a line for each experiment: add --all"]


def _kind(thing: str) -> str:
    """What sort of thing an experiment needs: `a GPU`, `weights` or `data`."""
    return thing if thing == "a GPU" else "weights" if thing.startswith("weights of ") else "data"


def _things(needs: Iterable[str | None]) -> list[str]:
    """Each thing that some experiment needs, once."""
    return list(dict.fromkeys(thing for one in needs if one for thing in one.split(", ")))


def _settings(names: Mapping[str, Any]) -> str | None:
    """Further settings that distinguish experiments: epochs of a training, batch size and precision of a profile."""
    words = [f"epochs {names['epochs']}"] if names.get("epochs") else []
    words += [f"batch {names['batch']}", names["precision"]] if names.get("batch") else []
    words += names.get("ways") or []
    return ", ".join(words) or None


def _replicates(row: Experiment) -> str | None:
    """The seeds of a training, or the repeats of a profile."""
    kind = "repeat" if row.names.get("job") == "profile" else "seed"
    return f"{kind}{'s' * (len(row.seeds) > 1)} {', '.join(map(str, row.seeds))}" if row.seeds else None


def left_out(rows: Sequence[Experiment], device: str) -> list[str]:
    """What can't be run on a machine that computes on `device`: a line for the GPU, one for data and weights."""
    absent = [row.lacking for row in rows if row.lacking]
    gpu = sum(row.lacking is None and row.needs(device) is not None for row in rows)
    lines = [f"left out: {counted(gpu, 'experiment')} for which a GPU is needed"] if gpu else []
    if absent:
        things = ", ".join(_things(absent))
        number = counted(len(absent), "experiment")
        lines.append(f"left out: {number} whose data or weights are not here: {things} (--dry-run lists them)")
    return lines


def done_already(planned: Iterable[Experiment], left: Iterable[Experiment]) -> list[str]:
    """A line on the Runs without their data or weights that have an answer, and are not among those `left` to do."""
    before, after = (sum(identity.awaits(run) for row in rows for run in row.runs) for rows in (planned, left))
    if before == after:
        return []
    return [
        f"{counted(before - after, 'Run')} whose data or weights are not here: taken as done, as finished Runs have "
        "all settings that are known of them"
    ]


def target_rows(targets: Sequence[ReproductionTarget]) -> list[dict[str, Any]]:
    """A row per published value: where it is published, the Run that reproduces it, the number of its recipe in
    `target_notes`, and whether its data and weights are here."""
    numbers = list(_recipes(targets))
    with_readouts = any(row.answered_by and row.answered_by.readout for target in targets for row in target.rows)
    return [
        {
            "variant": target.variant,
            "dataset": target.dataset,
            "backbone": target.backbone,
            "published": row and row.value,
            "table": row and row.table,
            **({"read-out": row and row.answered_by and row.answered_by.readout} if with_readouts else {}),
            "verified": row and row.verified,
            "recipe": 1 + numbers.index(_key(target.recipe)),
            "data here": target.dataset_fault is None,
            "weights here": target.weights_fault is None,
        }
        for target in targets
        for row in target.rows or (None,)
    ]


def target_notes(targets: Sequence[ReproductionTarget]) -> list[str]:
    """The numbered recipes as `--set` takes them, all but the first as differences from it; then what is missing
    and can't be got, once."""
    lines = []
    first: dict[str, Any] = {}
    for number, recipe in enumerate(_recipes(targets).values(), start=1):
        whole = flat(recipe.model_dump(mode="json"))
        values = flat(recipe.model_dump(mode="json", exclude_defaults=True))
        # Where the first deviates from a default, this one's value is shown even if it is the default.
        values |= {key: whole[key] for key in first if key not in values and key in whole}
        different = {key: value for key, value in values.items() if first.get(key, ...) != value}
        gone = [f"without {key}" for key in first if key not in values]
        text = ", ".join([" ".join(f"{key}={pasteable(value)}" for key, value in different.items()), *gone])
        lines.append(f"recipe {number}: {'as 1, but ' if first else ''}{text.removeprefix(', ')}")
        first = first or values
    faults = [fault for target in targets for fault in target.faults]
    return lines + [f"missing: {fault}" for fault in dict.fromkeys(faults)]


def pasteable(value: Any) -> str:
    """A value as `--set` takes it, without spaces, which a shell would split."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def other_rows(method: str, targets: Sequence[ReproductionTarget]) -> list[str]:
    """How many of the published rows these targets reproduce, and what about the others; no line if they are all."""
    name, _ = method_files.split_name(method)
    published = method_files.published(name)
    here = sum(row in published for target in targets for row in target.rows)
    if here == len(published):
        return []
    elsewhere = sum(row.answered_by is not None and row.value is not None for row in published) - here
    more = f", {elsewhere} more by other variants (--ablation), datasets or backbones" if elsewhere else ""
    return [
        f"{here} of {len(published)} published rows are reproduced here{more}; for the rest no number "
        f"was found, or no Run reproduces them: methods/{name}/published.yaml"
    ]


def further_commands(method: str, targets: Sequence[ReproductionTarget]) -> list[str]:
    """A line for each published number that other Runs reproduce: the number, and the words after `reproduce`."""
    name, _ = method_files.split_name(method)
    here = {(target.variant, target.dataset, target.backbone) for target in targets}
    found = []
    for run in headline.answered(name):
        if (run.variant, run.dataset, run.backbone) not in here:
            rows = method_files.published_answered(name, run.variant, run.dataset, run.backbone)
            values = ", ".join(dict.fromkeys(str(row.value) for row in rows))
            found.append(f"  {values}: {name}:{run.variant} --dataset {run.dataset} --backbone {run.backbone}")
    return found


def _recipes(targets: Sequence[ReproductionTarget]) -> dict[str, Recipe]:
    """The distinct recipes, in order of appearance."""
    return {_key(target.recipe): target.recipe for target in targets}


def _key(recipe: Recipe) -> str:
    return recipe.model_dump_json()
