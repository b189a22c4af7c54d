"""What a plan will take, as the last lines of a dry run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cli.options import Request
from benchmarks.environment import Environment
from benchmarks.estimates import totals
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import torchrun
from benchmarks.planning.overrides import parse_assignments
from benchmarks.planning.reference_runs import Experiment
from results.settings import AnyRun
from results.store import ResultStore


def estimator(environment: Environment, request: Request) -> Estimator:
    """From all stored Runs, the committed ones included."""
    return Estimator(ResultStore(request.results).records(), environment, torchrun.world_size())


def of_runs(runs: Sequence[AnyRun], environment: Environment, request: Request) -> list[str]:
    """The totals of a plan."""
    return _of_runs(runs, estimator(environment, request), request)


def of_experiments(rows: Sequence[Experiment], device: str, environment: Environment, request: Request) -> list[str]:
    """The totals of the reference results: what a machine that computes on `device` can run, and what it leaves."""
    here = [run for row in rows if row.needs(device) is None for run in row.runs]
    gpu = [run for row in rows if row.needs(device) is not None for run in row.runs]
    absent = sum(not row.runs for row in rows)
    known = estimator(environment, request)
    found = _of_runs(here, known, request) + totals.elsewhere(gpu, known)
    return found + [f"not counted: {absent} experiments whose data or weights are not here"] * bool(absent)


def _of_runs(runs: Sequence[AnyRun], known: Estimator, request: Request) -> list[str]:
    store = ResultStore(request.results)
    done = {run.id for run in runs if store.answer(run) is not None}
    return totals.lines(runs, done, known, _jobs(request))


def _jobs(request: Request) -> int:
    """How many jobs of a cluster run at a time; 1 without one."""
    if request.cluster is None:
        return 1
    from benchmarks.execution import cluster  # raises `UserError` where submitit, an optional package, is missing

    options = cluster.parse_options(parse_assignments(request.cluster_option or [], "--cluster-option"))
    return options.jobs(request.cluster)
