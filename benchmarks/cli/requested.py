"""What the options of a verb that carries out Runs ask for: the machine, changes to the plan, the time."""

from __future__ import annotations

from typing import Literal

from benchmarks.cli.options import Request
from benchmarks.environment import Environment, Execution, choose_device
from benchmarks.errors import UserError
from benchmarks.execution import torchrun
from benchmarks.execution.time_budget import TimeBudget
from benchmarks.planning.overrides import Changes, nested, parse_assignments
from results.settings import Precision
from results.values.numbers import BATCH, COUNT

FAST: Precision = "bf16"
"""Of --fast."""


def environment_of(request: Request) -> Environment:
    """This machine, used as requested. Raises `UserError` for what it does not have."""
    if request.weights is not None and not request.weights.is_dir():
        raise UserError(f"{request.weights}: there is no such folder of weights (--weights or FGBENCH_WEIGHTS)")
    execution = Execution(
        compile=_compiles(request),
        compile_mode=request.compile_mode or "default",
        checkpointing=request.checkpointing,
        checkpoint_seconds=request.checkpoint_seconds,
        deterministic=request.deterministic,
        micro_batch=_micro_batch(request.batch_size),
        tensorboard=request.tensorboard,
    )
    # A Slurm job chooses its device on its own machine.
    device = "cpu" if request.cluster == "slurm" else choose_device(request.device)
    return Environment(request.data_root, request.weights, device, request.feed, execution)


def _compiles(request: Request) -> bool:
    """Whether torch.compile is to be used. Raises `UserError` if another option asks for the contrary."""
    for option, given in (("--fast", request.fast), ("--compile-mode", request.compile_mode)):
        if given and request.compile is False:
            raise UserError(f"{option} compiles and --no-compile does not: leave one of them out")
    return bool(request.compile or request.compile_mode or request.fast)


def _precision(request: Request) -> Precision | None:
    """The precision asked for. Raises `UserError` if two options ask for two."""
    if request.fast and request.precision not in (None, FAST):
        other = f"--precision {request.precision}"
        raise UserError(f"--fast computes in {FAST}: leave {other} out, or write --compile {other}")
    return FAST if request.fast else request.precision


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
    precision = _precision(request)
    asked += [f"precision={precision}"] if precision else []
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
