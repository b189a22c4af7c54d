"""What a plan will take, as the last lines of a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from benchmarks.cli.options import Request
from benchmarks.cli.requested import parallel_of
from benchmarks.cli.views import terminal
from benchmarks.environment import Environment
from benchmarks.estimates import fast, side_by_side, totals
from benchmarks.estimates.estimator import Estimator
from benchmarks.execution import torchrun
from benchmarks.planning import left_to_do
from benchmarks.planning.overrides import parse_assignments
from benchmarks.planning.reference.experiments import Experiment
from results.settings import AnyRun, Run
from results.store import ResultStore
from results.values.text import counted

ONCE_HERE = "Once what is lacking is here:"
"""Heading of what a plan will take beyond what can be run now."""


def estimator(environment: Environment, request: Request) -> Estimator:
    """From all stored Runs, the committed ones included."""
    return Estimator(ResultStore(request.results).records(), environment, torchrun.world_size())


def of_runs(runs: Sequence[AnyRun], known: Estimator, request: Request) -> list[str]:
    """The totals of a plan."""
    found = left_to_do.of(runs, ResultStore(request.results))
    done, not_needed = ({run.id for run in some} for some in (found.done, found.not_needed))
    with _patience():
        number = at_a_time(found.to_do, known, request)
        return totals.lines(runs, done, known, _jobs(request), not_needed) + side_by_side.line(number)


def of_fast(runs: Sequence[AnyRun], known: Estimator, request: Request) -> list[str]:
    """What `--fast` gains, or would gain, in a plan's Runs that are to do."""
    to_do = left_to_do.of(runs, ResultStore(request.results)).to_do
    return fast.lines(to_do, known.environment, known.profiles)


def of_experiments(
    now: Sequence[Experiment], later: Sequence[Experiment], device: str, awaiting: Environment, request: Request
) -> list[str]:
    """The totals of the reference results: what a machine that computes on `device` can run, and what it leaves; then
    the same of what there is beyond that `later`, once everything is here that `awaiting` waits for."""
    known, planned = estimator(awaiting, request), {run.hash for row in now for run in row.runs}
    found = _here_and_elsewhere([(row, run) for row in now for run in row.runs], device, known, request)
    added = [(row, run) for row in later for run in row.runs if run.hash not in planned]
    if added:
        found += [ONCE_HERE, *_here_and_elsewhere(added, device, known, request)]
    unknown = [row for row in later if not row.runs]
    things = ", ".join(dict.fromkeys(str(row.lacking) for row in unknown))
    return found + [f"not counted: {counted(len(unknown), 'experiment')}, as nothing is known of {things}"] * bool(
        unknown
    )


def _here_and_elsewhere(
    planned: Sequence[tuple[Experiment, AnyRun]], device: str, known: Estimator, request: Request
) -> list[str]:
    here = [run for row, run in planned if row.needs(device) is None]
    gpu = [run for row, run in planned if row.needs(device) is not None]
    found = of_runs(here, known, request)
    with _patience():
        return found + totals.elsewhere(gpu, known)


def _patience() -> AbstractContextManager[object]:
    """On a terminal, says meanwhile why nothing is printed: work that was never counted here takes half a second for
    each method and network."""
    return terminal.console.status("estimating; what is counted now is kept for the next time")


def at_a_time(to_do: Sequence[AnyRun], known: Estimator, request: Request) -> int:
    """How many trainings are carried out at a time, no more than there are."""
    asked = parallel_of(request)
    trainings = sum(isinstance(run, Run) for run in to_do)
    return side_by_side.fitting(to_do, known) if asked == "auto" else max(min(asked, trainings), 1)


def _jobs(request: Request) -> int:
    """How many jobs of a cluster run at a time; 1 without one."""
    if request.cluster is None:
        return 1
    from benchmarks.execution import cluster  # raises `UserError` where submitit, an optional package, is missing

    options = cluster.parse_options(parse_assignments(request.cluster_option or [], "--cluster-option"))
    return options.jobs(request.cluster)
