"""What every job of the command line can be asked for: which Runs, on what, and how they are carried out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from benchmarks.cli.data_commands import DataRoot
from benchmarks.environment import Environment, Execution, choose_device
from benchmarks.errors import UserError
from benchmarks.execution import torchrun
from benchmarks.execution.time_budget import TimeBudget
from benchmarks.planning import expand
from benchmarks.planning.overrides import nested, parse_assignments
from results.settings import FeedMode, Precision
from results.store import ResultStore

Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="What to compute on.")]
Weights = Annotated[Path | None, typer.Option(help="Folder of weight files.", envvar="FGBENCH_WEIGHTS")]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
NOT_OF_PROFILE = (
    "seeds",
    "accumulate",
    "data_root",
    "feed",
    "compile",
    "deterministic",
    "batch_size",
    "tensorboard",
    "in_process",
)
"""Options that have no meaning for a profile, which is drawn, single, bare, and always measured in its own process."""
OUR_RESULTS = Path(__file__).parents[2] / "results"


def stored(results: Path) -> ResultStore:
    """The results in a folder that a verb only reads. Raises `UserError` if there is no such folder: a mistyped one
    would look like one without Runs."""
    if not results.is_dir():
        raise UserError(f"{results}: there is no such folder of results")
    return ResultStore(results)


def _option(help_: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_, **more)


@dataclass(frozen=True)
class Request:
    """The options of every job."""

    only: Annotated[list[str] | None, _option("Keep Runs with key=value (patterns, commas).")] = None
    set: Annotated[
        list[str] | None,
        _option("key=value in every Run, e.g. image_size=224, epochs=5; keys as in benchmarks/common.yaml.", "--set"),
    ] = None
    seeds: Annotated[int | None, _option("How many seeds.", min=1)] = None
    precision: Annotated[Precision | None, _option("As --set precision=…; recorded with the Run.")] = None
    accumulate: Annotated[int | None, _option("As --set accumulate=…: pieces a batch is cut into.", min=1)] = None
    missing: Annotated[bool, _option("Leave out what is done, also among committed results.", "--missing")] = False
    hours: Annotated[float | None, _option("Stop after so many; what tells most is done first.", min=0.001)] = None
    dry_run: Annotated[bool, _option("Print the plan and stop.", "--dry-run")] = False
    device: Device = "auto"
    data_root: DataRoot = None
    weights: Weights = None
    results: Results = OUR_RESULTS
    feed: Annotated[FeedMode, _option("How images come to the device.")] = "auto"
    compile: Annotated[bool, _option("torch.compile.", "--compile/--no-compile")] = False
    deterministic: Annotated[bool, _option("The same bits each time, on a GPU too.", "--deterministic")] = False
    batch_size: Annotated[
        str | None, _option("Images at once, or auto: as many as fit. The recipe's batch stays, in pieces.")
    ] = None
    tensorboard: Annotated[bool, _option("Write scalars for TensorBoard.", "--tensorboard")] = False
    in_process: Annotated[
        bool, _option("All Runs in this process, or each in its own.", "--in-process/--own-process")
    ] = False
    cluster: Annotated[Literal["local", "slurm"] | None, _option("Submit the plan as jobs, and return.")] = None
    cluster_option: Annotated[
        list[str] | None,
        _option(
            "Of the jobs: partition, time (minutes), gpus, cpus, memory (GB), parallel, or sbatch.NAME; key=value."
        ),
    ] = None

    @property
    def environment(self) -> Environment:
        """This machine, as it is asked to be used. Raises `UserError` for what is not there."""
        if self.weights is not None and not self.weights.is_dir():
            raise UserError(f"{self.weights}: there is no such folder of weights (--weights or FGBENCH_WEIGHTS)")
        execution = Execution(
            compile=self.compile,
            deterministic=self.deterministic,
            micro_batch=self._micro_batch,
            tensorboard=self.tensorboard,
        )
        device = "cpu" if self.cluster == "slurm" else choose_device(self.device)  # a job chooses on its own machine
        return Environment(self.data_root, self.weights, device, self.feed, execution)

    @property
    def _micro_batch(self) -> int | Literal["auto"] | None:
        if self.batch_size is None or self.batch_size == "auto":
            return "auto" if self.batch_size else None
        if not self.batch_size.isdecimal() or int(self.batch_size) == 0:
            raise UserError(f"--batch-size takes one number, 1 or more, or auto; not {self.batch_size!r}")
        return int(self.batch_size)

    @property
    def budget(self) -> TimeBudget | None:
        """The time there is, from now on. Raises `UserError` where no one process keeps it."""
        if self.hours is None:
            return None
        if self.cluster or torchrun.world_size() > 1:
            raise UserError("--hours is for one process; give a cluster's jobs --cluster-option time=MINUTES")
        return TimeBudget(3600 * self.hours)

    @property
    def changes(self) -> expand.Changes:
        """What is asked for on top of a suite."""
        asked = list(self.set or [])
        asked += [f"precision={self.precision}"] if self.precision else []
        asked += [f"accumulate={self.accumulate}"] if self.accumulate else []
        set_ = nested(parse_assignments(asked, "--set"))
        return expand.Changes(set_, parse_assignments(self.only or [], "--only"), self.seeds)


def with_request(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A verb that takes a `request` becomes one that takes each of its options, but for those `left_out`."""
    hints = get_type_hints(Request, include_extras=True)
    options = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(Request)
        if one.name not in left_out
    ]

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @wraps(verb)
        def command(**given: Any) -> None:
            asked = {option.name: given.pop(option.name) for option in options}
            verb(**given, request=Request(**asked))

        own = inspect.signature(verb, eval_str=True).parameters.values()
        parameters = [*(one for one in own if one.name != "request"), *options]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate
