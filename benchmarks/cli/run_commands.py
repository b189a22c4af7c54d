"""The verbs that carry out Runs: run, reproduce, compare, profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.cli.handover import FinishedPlan, TwoMeasurements
from benchmarks.cli.inputs import names, number, whole, whole_numbers, words
from benchmarks.cli.options import NOT_OF_PROFILE, DataRoot, Request, existing, with_request
from benchmarks.errors import UserError
from results.values.numbers import BATCH, CLASSES, GIB, PIXELS, REPLICATES

app = typer.Typer()
Methods = Annotated[str, typer.Option(help="Methods separated by commas, each METHOD or METHOD:VARIANT; or all.")]
Backbones = Annotated[
    str,
    typer.Option(help="timm networks separated by commas, each NETWORK or NETWORK.TAG for the weights to start from."),
]
CHOICES = {"no": [False], "yes": [True], "both": [False, True]}
"""What an option that can be measured without, with, or both ways stands for."""


@app.command()
@with_request()
def run(
    request: Request,
    suite_name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a suite, or a YAML file.")],
) -> FinishedPlan | None:
    """Run a suite file."""
    from benchmarks.cli import carry_out

    return carry_out.run(suite_name, request)


@app.command()
@with_request()
def reproduce(
    request: Request,
    method: Annotated[str, typer.Argument(help="METHOD or METHOD:VARIANT; or all: the project's reference results.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset to use instead of the paper's.")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm network to use instead of the paper's.")] = None,
    ablation: Annotated[bool, typer.Option("--ablation", help="Run every variant: the rows of the ablation.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="With all --dry-run: a line for each experiment, not for each method.")
    ] = False,
) -> FinishedPlan | None:
    """Train a method by its paper's recipe and compare the result with the published numbers."""
    from benchmarks.cli import carry_out

    return carry_out.reproduce(method, dataset, backbone, ablation, request, every)


@app.command()
@with_request()
def compare(
    request: Request,
    methods: Methods,
    dataset: Annotated[str, typer.Option(help="Dataset.")],
    backbone: Backbones,
) -> FinishedPlan | None:
    """Train methods by one recipe, on one backbone or several; show which is better, and at what cost."""
    if not words(backbone):
        raise UserError("--backbone takes timm networks separated by commas, and names none")
    asked, networks = names(methods, "--methods"), names(backbone, "--backbone")
    from benchmarks.cli import carry_out

    return carry_out.compare(asked, dataset, networks, request)


@app.command()
@with_request(*NOT_OF_PROFILE, "precision")
def profile(
    request: Request,
    methods: Methods = "",
    backbone: Backbones = "",
    image_size: Annotated[str, typer.Option(help="Input sizes in pixels, separated by commas.")] = "224",
    batch_size: Annotated[
        str, typer.Option(help="Batch sizes separated by commas; or sweep: 1, 2, 4 … until no larger one is faster.")
    ] = "32",
    precision: Annotated[str, typer.Option(help="Any of fp32, tf32, bf16, separated by commas.")] = "fp32",
    compiled: Annotated[
        Literal["no", "yes", "both"] | None, typer.Option("--compile", help="Use torch.compile.", show_default="no")
    ] = None,
    compile_mode: Annotated[
        str,
        typer.Option(
            help="Any of default, reduce-overhead (CUDA graphs), max-autotune, separated by commas; implies --compile."
        ),
    ] = "",
    checkpointing: Annotated[
        Literal["no", "yes", "both"], typer.Option(help="Compute activations again in the backward pass.")
    ] = "no",
    repeats: Annotated[
        int,
        typer.Option(parser=whole(REPLICATES, "--repeats"), help="Measure each cell this many times, for the spread."),
    ] = 1,
    dataset: Annotated[
        str | None, typer.Option(help="Dataset of the input pipeline; none: don't measure it. Default: drawn images.")
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            parser=whole(CLASSES, "--classes"), help="Number of classes. Default: those of --dataset, or 200."
        ),
    ] = None,
    detail: Annotated[
        bool, typer.Option("--detail/--brief", help="Also time the parts of a step and the costliest operations.")
    ] = True,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write a torch.profiler trace into each Run's folder.")
    ] = False,
    largest_batch: Annotated[
        bool, typer.Option("--largest-batch", help="Find the largest batch that fits into memory.")
    ] = False,
    memory_limit: Annotated[
        float | None, typer.Option(parser=number(GIB, "--memory-limit"), help="GiB that a Run may use. Default: all.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="BEFORE AFTER", help="Compare two results folders: which cells became slower."),
    ] = None,
    data_root: DataRoot = None,
) -> FinishedPlan | TwoMeasurements | None:
    """Measure speed, latency, memory and FLOPs in training and inference; or compare two measurements."""
    if compare is not None:
        return TwoMeasurements(*map(existing, compare))
    if not words(methods) or not words(backbone):
        raise UserError(
            "name what to measure, --methods and --backbone; or two results folders, --compare BEFORE AFTER"
        )
    asked, networks = names(methods, "--methods"), names(backbone, "--backbone")
    sizes = whole_numbers(image_size, "--image-size", PIXELS)
    batches: Literal["sweep"] | list[int] = (
        "sweep" if batch_size == "sweep" else whole_numbers(batch_size, "--batch-size", BATCH)
    )
    if compile_mode and compiled == "no":
        raise UserError("--compile-mode compiles and --compile no does not: leave one of them out")
    from benchmarks.cli import carry_out

    return carry_out.profile(
        replace(request, data_root=data_root),
        dataset=dataset,
        classes=classes,
        methods=asked,
        backbones=networks,
        image_sizes=sizes,
        batch_sizes=batches,
        precisions=words(precision),
        compile=CHOICES[compiled or ("yes" if compile_mode else "no")],
        compile_mode=words(compile_mode) or ["default"],
        checkpointing=CHOICES[checkpointing],
        repeats=repeats,
        extras=["breakdown", "operations"] * detail + ["trace"] * trace + ["largest_batch"] * largest_batch,
        memory_limit=None if memory_limit is None else round(memory_limit * 2**30),
    )
