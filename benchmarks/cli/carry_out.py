"""What the verbs that carry out Runs do: suite -> plan -> Runs, or their preview, or jobs of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.cli.handover import FinishedPlan
from benchmarks.cli.options import OUR_RESULTS, Request
from benchmarks.cli.requested import budget_of, changes_of, environment_of, parallel_of
from benchmarks.cli.supplies import awaiting, fetch_or_list, foresee, require_plan, supply
from benchmarks.cli.views import forecast, preview, terminal
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.estimates import side_by_side
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import earlier_records, execute, torchrun
from benchmarks.planning import (
    checks,
    expand,
    left_to_do,
    method_checks,
    method_files,
    suite,
    suite_builders,
    support,
)
from benchmarks.planning.headline import headline
from benchmarks.planning.overrides import Changes, parse_assignments
from benchmarks.planning.reference.experiments import ALL, Experiment, experiments
from benchmarks.planning.reference.missing import in_order, missing_here, unanswered
from benchmarks.planning.suite_builders import ReproductionTarget
from benchmarks.training.checkpoints import checkpoint
from methods.tags import split_tag
from results.settings import AnyRun
from results.store import ResultStore


def run(name: str, request: Request) -> FinishedPlan | None:
    """The verb `run`, and what `run_all.py` does without a verb."""
    chosen = suite.load(name)
    lacking = supply(chosen, request)
    if request.dry_run and lacking:
        foresee(chosen, awaiting(lacking, request), request)
        return None
    return _carry_out(chosen, request, f"Suite {name}")


def reproduce(
    method: str, dataset: str | None, backbone: str | None, ablation: bool, request: Request, every: bool = False
) -> FinishedPlan | None:
    """The verb `reproduce`; `every` experiment is listed one by one in the dry run of all."""
    changes = changes_of(request)
    if method == ALL:
        if dataset or backbone or ablation or changes.set:
            raise UserError("reproduce all runs the suites as they are: narrow them with --only and --seeds")
        return _reproduce_all(request, every)
    if every:
        raise UserError("--all goes with reproduce all; the dry run of one method has a line for each experiment")
    find = partial(_targets, method, dataset, backbone, ablation, changes=changes)
    targets = find(environment=environment_of(request))
    awaited = awaiting((item for target in targets for item in target.items), request)
    later = [then for now, then in zip(targets, find(environment=awaited), strict=True) if now.lacking]
    require_plan(suite_builders.reproduce(method, later, request.seeds or 3), awaited, request)
    if request.dry_run:
        _show_targets(method, targets)
    if fetch_or_list([target.items for target in targets], request):
        targets = find(environment=environment_of(request))
    if not request.dry_run:
        terminal.lines(f"not run: {target.label}: {target.lacking}" for target in targets if target.lacking)
        if further := preview.further_commands(method, targets):
            terminal.line(f"{len(further)} further published numbers can be reproduced: --dry-run names the commands")
    chosen = suite_builders.reproduce(method, targets, request.seeds or 3)
    finished = _carry_out(chosen, request, f"Reproduction of {method}") if chosen.train else None
    if request.dry_run:
        foresee(suite_builders.reproduce(method, later, request.seeds or 3), awaited, request)
    elif not chosen.train:
        hint = "" if request.fetch else "; what can be fetched, the same command gets with --fetch"
        raise UserError(f"nothing can be run here; the lines above say what is missing{hint}")
    return finished


def _show_targets(method: str, targets: Sequence[ReproductionTarget]) -> None:
    terminal.show(preview.target_rows(targets), f"Published rows of {method}, and the Runs that reproduce them")
    terminal.lines(preview.other_rows(method, targets))
    if further := preview.further_commands(method, targets):
        terminal.lines(["further published numbers, each with the words after `reproduce` for it:", *further])
    terminal.lines(preview.target_notes(targets))


def _targets(
    method: str, dataset: str | None, backbone: str | None, ablation: bool, environment: Environment, changes: Changes
) -> list[ReproductionTarget]:
    """The headline of a method; every published row of a variant that is named, or of all variants (`ablation`)."""
    name, _ = method_files.split_name(method)
    if ablation or name != method:
        variants = method_files.variants_of(name) if ablation else []
        return suite_builders.targets(method, environment, dataset, backbone, variants, changes.set)
    asked = environment.canonical(dataset) if dataset else None
    chosen = headline(name, asked, backbone and split_tag(backbone)[0])
    return suite_builders.targets(
        f"{name}:{chosen.variant}", environment, chosen.dataset, backbone or chosen.backbone, changes=changes.set
    )


def _reproduce_all(request: Request, every: bool) -> FinishedPlan | None:
    """Everything the project publishes; what can't run on this machine is listed with what it needs."""
    environment = environment_of(request)
    device = "cuda" if request.cluster == "slurm" else environment.device
    find = partial(experiments, changes=changes_of(request))
    rows = find(environment)
    # What this device can't run is left to other machines, and so is what it needs.
    ours = [row.items for row in rows if device == "cuda" or not row.gpu]
    if request.fetch and not request.dry_run and fetch_or_list(ours, request):
        rows = find(environment)
    _tell_of_earlier((run for row in rows for run in row.runs), request)
    if request.missing:
        rows = missing_here(rows, ResultStore(request.results).records())
    runs = [run for row in rows if row.needs(device) is None for run in row.runs]
    if request.dry_run:
        _require_startable(runs, ResultStore(request.results), environment)
        title = "The project's reference results" + " that are missing" * request.missing
        _show_experiments(rows, device, title, every)
        fetch_or_list([row.items for row in rows], request)
        awaited = awaiting((item for row in rows for item in row.items), request)
        later = find(awaited) if awaited.awaited else rows
        if request.missing:
            planned, later = later, missing_here(later, ResultStore(request.results).records())
            terminal.lines(preview.done_already(planned, later))
        terminal.lines(forecast.of_experiments(rows, later, device, awaited, request))
        return None
    terminal.lines(preview.left_out(rows, device))
    return _carry_out_runs(in_order(runs), request, "The project's reference results")


def _show_experiments(rows: Sequence[Experiment], device: str, title: str, every: bool) -> None:
    """A table for each suite with `every` experiment, or one with their numbers."""
    if not every:
        terminal.show(preview.experiment_counts(rows, device), title)
        terminal.lines(preview.experiment_totals(rows, device))
        return
    for name in dict.fromkeys(row.suite for row in rows):
        members = [row for row in rows if row.suite == name]
        terminal.show(preview.experiment_rows(members, device), f"{title}: {name}, {len(members)} experiments")


def compare(methods: Sequence[str], dataset: str, backbones: Sequence[str], request: Request) -> FinishedPlan | None:
    """The verb `compare`."""
    changes, environment, seeds = changes_of(request), environment_of(request), request.seeds or 3
    lacking = supply(suite_builders.trainings(methods, dataset, backbones, seeds, environment, changes.set), request)
    if request.dry_run and lacking:
        environment = awaiting(lacking, request)
    chosen = suite_builders.compare(methods, dataset, backbones, seeds, environment, changes.set)
    if environment.awaited:
        foresee(chosen, environment, request)
        return None
    return _carry_out(chosen, request, f"{', '.join(methods)} on {dataset} ({', '.join(backbones)})")


def profile(request: Request, dataset: str | None, classes: int | None, **asked: Any) -> FinishedPlan | None:
    """The verb `profile`; `asked` are further fields of `Profiling`."""
    inputs = suite_builders.profiled_input(dataset, classes, environment_of(request))
    chosen = suite_builders.profile(changes=changes_of(request).set, **asked, **inputs)
    finished = _carry_out(chosen, request, "Profile")
    if finished and "trace" in asked["extras"]:
        terminal.line("Traces, for ui.perfetto.dev: trace-*.json.gz in the folder of each Run")
    return finished


def _carry_out(chosen: suite.Suite, request: Request, title: str) -> FinishedPlan | None:
    changes = changes_of(request)
    terminal.lines(support.left_out(chosen, changes))
    runs = expand.expand(chosen, environment_of(request), changes)
    _tell_of_earlier(runs, request)
    if request.missing:
        runs = unanswered(runs, ResultStore(request.results).records())
    if request.hours is not None:
        runs = in_order(runs)
    return _carry_out_runs(runs, request, title)


def _tell_of_earlier(runs: Iterable[AnyRun], request: Request) -> None:
    """Prints what stored results have to do with these Runs, beyond answering them."""
    terminal.lines(earlier_records.notes(runs, ResultStore(request.results), committed=request.missing))


def _carry_out_runs(runs: Sequence[AnyRun], request: Request, title: str) -> FinishedPlan | None:
    """None where there is nothing to report: a preview, jobs that were submitted, a process that only helps."""
    budget = budget_of(request)
    parallel_of(request)  # refuses what can't be, before anything is shown
    store, environment = ResultStore(request.results), environment_of(request)
    if request.missing and not runs:
        terminal.line("nothing is missing that can be run here")
        return None
    _require_startable(runs, store, environment)
    terminal.lines([*preview.remarks(runs, environment), *method_checks.notes(runs)])
    if request.dry_run:
        for heading, rows in preview.tables(runs, store, environment):
            terminal.show(rows, heading)
        known = forecast.estimator(environment, request)
        terminal.lines([*forecast.of_runs(runs, known, request), *forecast.of_fast(runs, known, request)])
        return None
    if request.cluster:
        _submit(runs, store, environment, request)
        return None
    torchrun.refuse_measurements(runs)
    if torchrun.is_follower():
        torchrun.follow_rank0(store, environment)
        return None
    own_process = not request.in_process and torchrun.world_size() == 1
    try:
        estimator = forecast.estimator(environment, request)
        terminal.lines(forecast.of_fast(runs, estimator, request))
        environment = _side_by_side(left_to_do.of(runs, store).to_do, estimator, request)
        summary = execute.execute(
            runs, store, environment, terminal.console, own_process, budget=budget, estimator=estimator
        )
    except KeyboardInterrupt:
        terminal.interrupted("the same command resumes from the last checkpoint")
    ids = frozenset(record.id if (record := store.answer(run)) else run.id for run in runs)
    return FinishedPlan(title, request.results, ids, len(summary.failed), len(summary.unfinished))


def _side_by_side(to_do: Sequence[AnyRun], estimator: Estimator, request: Request) -> Environment:
    """The machine with as many trainings at a time as requested, or as fit; says how many if that is not 1."""
    number = forecast.at_a_time(to_do, estimator, request)
    terminal.lines(side_by_side.line(number))
    environment = estimator.environment
    return replace(environment, execution=replace(environment.execution, parallel=number))


def _require_startable(runs: Sequence[AnyRun], store: ResultStore, environment: Environment) -> None:
    """Raises `UserError` if some Run that is to do would fail at once."""
    to_do = left_to_do.of(runs, store).to_do
    checks.require_startable(to_do, environment, torchrun.world_size())
    micro_batch = environment.execution.micro_batch
    if isinstance(micro_batch, int):
        for run in to_do:
            checkpoint.require_micro_batch(store.root / run.id, micro_batch)


def _submit(runs: Sequence[AnyRun], store: ResultStore, environment: Environment, request: Request) -> None:
    """Submits the plan to a cluster and prints the ids of the jobs."""
    from benchmarks.execution import cluster  # raises `UserError` where submitit, an optional package, is missing

    assert request.cluster is not None
    options = cluster.parse_options(parse_assignments(request.cluster_option or [], "--cluster-option"))
    jobs = cluster.submit(runs, store, environment, request.device, request.cluster, options)
    terminal.lines(f"job {job.job}: {', '.join(job.runs)}" for job in jobs)
    where = f" --results {request.results}" if request.results != OUR_RESULTS else ""
    terminal.line(f"{len(jobs)} jobs submitted; see: run_all.py status{where}, then: run_all.py report{where}")
