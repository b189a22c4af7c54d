"""Options that several verbs share, and `Request`: the options of every verb that carries out Runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from benchmarks.cli.inputs import number, path, whole
from benchmarks.errors import UserError
from results.settings import CompileMode, FeedMode, Precision
from results.values.numbers import BATCH, HOURS, REPLICATES, SECONDS

OUR_RESULTS = Path(__file__).parents[2] / "results"


def existing(results: Path) -> Path:
    """The folder of results that a verb only reads. Raises `UserError` if it is not there: a mistyped name would look
    like a folder without Runs."""
    if not results.is_dir():
        raise UserError(f"{results}: there is no such folder of results")
    return results


DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", "--data", parser=path("--data-root"), envvar="FGBENCH_DATA", help="Folder of the datasets."
    ),
]
Weights = Annotated[
    Path | None, typer.Option(parser=path("--weights"), help="Folder of weight files.", envvar="FGBENCH_WEIGHTS")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Device to compute on.")]
Results = Annotated[Path, typer.Option("--results", parser=path("--results"), help="Folder of the results.")]
ExistingResults = Annotated[
    Path, typer.Option("--results", parser=path("--results"), help="Folder of the results.", callback=existing)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
NOT_OF_PROFILE = (
    "seeds",
    "fetch",
    "accumulate",
    "data_root",
    "feed",
    "fast",
    "compile",
    "compile_mode",
    "checkpointing",
    "checkpoint_seconds",
    "deterministic",
    "batch_size",
    "tensorboard",
    "in_process",
    "parallel",
)
"""Options without a meaning for a profile, or that the verb `profile` replaces by its own."""


def _option(help_: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_, **more)


@dataclass(frozen=True)
class Request:
    """The options of every verb that carries out Runs, as they were typed."""

    only: Annotated[
        list[str] | None,
        _option("Keep only Runs with this setting: KEY=VALUE, e.g. method=plain,sef or variant=maps_*. Repeatable."),
    ] = None
    set: Annotated[
        list[str] | None,
        _option(
            "Change a setting of every Run: KEY=VALUE, e.g. epochs=5 or optimizer.lr=0.01; keys as in "
            "benchmarks/common.yaml. Repeatable.",
            "--set",
        ),
    ] = None
    seeds: Annotated[
        int | None,
        _option(
            "Number of seeds. Where nothing is drawn, as in probes of frozen networks, it is one.",
            parser=whole(REPLICATES, "--seeds"),
        ),
    ] = None
    precision: Annotated[Precision | None, _option("Same as --set precision=PRECISION.")] = None
    accumulate: Annotated[
        int | None,
        _option("Same as --set accumulate=N: split each batch into N pieces.", parser=whole(BATCH, "--accumulate")),
    ] = None
    missing: Annotated[
        bool, _option("Skip Runs that have a finished record, here or in results/reference.", "--missing")
    ] = False
    fetch: Annotated[
        bool, _option("First get the datasets and weights that are not here; --dry-run lists them.", "--fetch")
    ] = False
    hours: Annotated[
        float | None,
        _option(
            "Stop after this many hours. The first seed of every experiment is run before any second.",
            parser=number(HOURS, "--hours"),
        ),
    ] = None
    dry_run: Annotated[bool, _option("Print the plan and stop.", "--dry-run")] = False
    device: Device = "auto"
    data_root: DataRoot = None
    weights: Weights = None
    results: Results = OUR_RESULTS
    feed: Annotated[FeedMode, _option("How images are brought to the device.")] = "auto"
    fast: Annotated[
        bool, _option("Same as --precision bf16 --compile: faster on a GPU, rounded more coarsely.", "--fast")
    ] = False
    compile: Annotated[bool | None, _option("Use torch.compile.", "--compile/--no-compile", show_default="no")] = None
    compile_mode: Annotated[
        CompileMode | None, _option("How to compile; implies --compile. reduce-overhead: with CUDA graphs.")
    ] = None
    checkpointing: Annotated[
        bool,
        _option("Compute activations again in the backward pass: less memory, about a third more time."),
    ] = False
    checkpoint_seconds: Annotated[
        float,
        _option(
            "Seconds of a training between two checkpoints; more where they would take over 1 % of its time.",
            parser=number(SECONDS, "--checkpoint-seconds"),
        ),
    ] = 60.0
    deterministic: Annotated[
        bool,
        _option("Require bit-identical results on a GPU too; an operation that can't is an error.", "--deterministic"),
    ] = False
    batch_size: Annotated[
        str | None,
        _option("Images processed at once, or auto for as many as fit. The recipe's batch is split, not changed."),
    ] = None
    tensorboard: Annotated[bool, _option("Also write scalars for TensorBoard.", "--tensorboard")] = False
    in_process: Annotated[
        bool,
        _option("Carry out all Runs in this process, or each in a process of its own.", "--in-process/--own-process"),
    ] = False
    parallel: Annotated[
        str,
        _option(
            "How many trainings at a time on this device, each in a process of its own; or auto: as many as memory and "
            "cores allow. (Jobs of a cluster: --cluster-option parallel=N.)"
        ),
    ] = "1"
    cluster: Annotated[Literal["local", "slurm"] | None, _option("Submit the plan as jobs and return.")] = None
    cluster_option: Annotated[
        list[str] | None,
        _option(
            "Option of the jobs, KEY=VALUE: partition, time (minutes), gpus, cpus, memory (GB), parallel or "
            "sbatch.NAME. Repeatable."
        ),
    ] = None


def with_request(*left_out: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turns a verb that takes a `request` into one that takes each of its options, except those `left_out`."""
    hints = get_type_hints(Request, include_extras=True)
    options = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(Request)
        if one.name not in left_out
    ]

    def decorate(verb: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(verb)
        def command(**given: Any) -> Any:
            asked = {option.name: given.pop(option.name) for option in options}
            return verb(**given, request=Request(**asked))

        own = inspect.signature(verb, eval_str=True).parameters.values()
        parameters = [*(one for one in own if one.name != "request"), *options]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate
