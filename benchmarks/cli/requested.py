"""What the options of a verb that carries out Runs ask for: the machine, changes to the plan, the time."""

from __future__ import annotations

from typing import Literal

from benchmarks.cli.options import Request
from benchmarks.environment import Environment, Execution, choose_device
from benchmarks.errors import UserError
from benchmarks.execution import torchrun
from benchmarks.execution.time_budget import TimeBudget
from benchmarks.planning.overrides import Changes, nested, parse_assignments
from results.values.numbers import BATCH, COUNT


def environment_of(request: Request) -> Environment:
    """This machine, used as requested. Raises `UserError` for what it does not have."""
    if request.weights is not None and not request.weights.is_dir():
        raise UserError(f"{request.weights}: there is no such folder of weights (--weights or FGBENCH_WEIGHTS)")
    execution = Execution(
        compile=request.compile,
        deterministic=request.deterministic,
        micro_batch=_micro_batch(request.batch_size),
        tensorboard=request.tensorboard,
    )
    # A Slurm job chooses its device on its own machine.
    device = "cpu" if request.cluster == "slurm" else choose_device(request.device)
    return Environment(request.data_root, request.weights, device, request.feed, execution)


def _micro_batch(asked: str | None) -> int | Literal["auto"] | None:
    if asked is None or asked == "auto":
        return "auto" if asked else None
    try:
        return BATCH.whole(asked)
    except ValueError as error:
        raise UserError(f"--batch-size takes auto or {error}") from error


def parallel_of(request: Request) -> int | Literal["auto"]:
    """How many trainings at a time. Raises `UserError` where others decide that."""
    try:
        asked: int | Literal["auto"] = "auto" if request.parallel == "auto" else COUNT.whole(request.parallel)
    except ValueError as error:
        raise UserError(f"--parallel takes auto or {error}") from error
    if asked == 1:
        return asked
    if torchrun.world_size() > 1:
        raise UserError("--parallel is for trainings of one process each; start them without torchrun")
    if request.cluster:
        raise UserError("--parallel is for this device; say how many jobs run at a time: --cluster-option parallel=N")
    if request.in_process:
        raise UserError("--parallel needs a process for each training; leave out --in-process")
    return asked


def changes_of(request: Request) -> Changes:
    """The requested changes to a suite."""
    asked = list(request.set or [])
    asked += [f"precision={request.precision}"] if request.precision else []
    asked += [f"accumulate={request.accumulate}"] if request.accumulate else []
    only = parse_assignments(request.only or [], "--only")
    return Changes(nested(parse_assignments(asked, "--set")), only, request.seeds)


def budget_of(request: Request) -> TimeBudget | None:
    """The time that is left, counted from now. Raises `UserError` if several processes would have to share it."""
    if request.hours is None:
        return None
    if request.cluster or torchrun.world_size() > 1:
        raise UserError("--hours is for one process; give a cluster's jobs --cluster-option time=MINUTES")
    return TimeBudget(3600 * request.hours)
