"""The command line of fgbench: reproduce, compare, profile, and report. `python run_all.py --help` lists the verbs."""

from __future__ import annotations

import os

# Before torch is loaded: OpenMP threads that spin while they wait lose ten to fifty times the speed on a machine that
# has anything else to do (measured on 2 cores: 8 to 35 images/s spinning, 150 to 170 sleeping).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# And before a Run's process begins: glibc else hands memory back to the system between steps and has it zeroed anew, or
# not, by what was allocated before, so that networks of equal work differ by half in images/s (measured: MobileNetV2 at
# 160 px, inference 220 so and 396 with these, training 80 and 98).
TUNABLES = "mmap_threshold=33554432", "trim_threshold=4294967296", "hugetlb=1"
os.environ.setdefault("GLIBC_TUNABLES", ":".join(f"glibc.malloc.{each}" for each in TUNABLES))

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from benchmarks.cli import preview
from benchmarks.cli.data_commands import AsJson, DataRoot, data_list
from benchmarks.cli.data_commands import app as data_app
from benchmarks.cli.options import NOT_OF_PROFILE, OUR_RESULTS, Request, Results, stored, with_request
from benchmarks.cli.result_commands import app as result_app
from benchmarks.cli.terminal import console, show, whole_numbers, words
from benchmarks.errors import REFUSED, UserError, require_known
from benchmarks.execution import execute, torchrun
from benchmarks.planning import expand, reference_runs, suite, suite_builders
from benchmarks.planning.overrides import parse_assignments
from datasets.fetching.download import FetchError
from reports.contents import Report
from reports.render import markdown
from reports.render import readme_blocks as readme_tables
from reports.report import terminal_tables, write_report
from reports.tables.regressions import alone, regressions, worse
from results.settings import AnyRun
from results.store import REFERENCE, ResultsError, ResultStore

ROOT = Path(__file__).parent
app = typer.Typer(
    help="Benchmark and reproduction suite for fine-grained image classification. Alone, it runs the quick suite.",
    no_args_is_help=False,
    add_completion=False,  # it binds to an installed program's name, which `python run_all.py` has not
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(result_app)


def _carry_out(chosen: suite.Suite, request: Request, title: str) -> None:
    """Suite -> plan -> Runs -> report -> the tables on the terminal."""
    runs = expand.expand(chosen, request.environment, request.changes)
    if request.missing:
        runs = reference_runs.unanswered(runs, ResultStore(request.results).records())
    if request.hours is not None:
        runs = reference_runs.in_order(runs)
    _carry_out_runs(runs, request, title)


def _carry_out_runs(runs: Sequence[AnyRun], request: Request, title: str) -> None:
    """Runs -> report -> the tables on the terminal; exit code 1 if a Run failed."""
    budget = request.budget
    store = ResultStore(request.results)
    if request.missing and not runs:
        console.print("nothing is missing that can be run here")
        return
    if request.dry_run:
        show(preview.rows(runs, store, request.environment), f"{len(runs)} Runs")
        return
    if request.cluster:
        _submit(runs, store, request)
        return
    torchrun.refuse_measurements(runs)
    if torchrun.is_follower():
        torchrun.follow_rank0(store, request.environment)
        return
    own_process = not request.in_process and torchrun.world_size() == 1
    try:
        summary = execute.execute(runs, store, request.environment, console, own_process, budget=budget)
    except KeyboardInterrupt:
        console.print("\ninterrupted: the same command goes on from the last checkpoint", style="red")
        raise typer.Exit(130) from None
    ids = {run.id for run in runs}
    written = write_report(store, request.results / "report", title, [r for r in store.records() if r.id in ids])
    _print(written)
    if summary.unfinished:
        left = f"{len(summary.unfinished)} of {len(runs)} Runs"
        console.print(f"the time is up, and {left} are not finished; the same command resumes them")
    if summary.failed:
        console.print(f"{len(summary.failed)} of {len(runs)} Runs failed; their records say why", style="red")
        raise typer.Exit(1)


def _submit(runs: Sequence[AnyRun], store: ResultStore, request: Request) -> None:
    """Hands the plan to a cluster and says the jobs' ids."""
    from benchmarks.execution import cluster

    assert request.cluster is not None
    options = cluster.parse_options(parse_assignments(request.cluster_option or [], "--cluster-option"))
    jobs = cluster.submit(runs, store, request.environment, request.device, request.cluster, options)
    for job in jobs:
        console.print(f"job {job.job}: {', '.join(job.runs)}", markup=False, highlight=False)
    where = f" --results {request.results}" if request.results != OUR_RESULTS else ""
    console.print(f"{len(jobs)} jobs submitted; see: run_all.py status{where}, then: run_all.py report{where}")


@app.callback(invoke_without_command=True)
def quick(context: typer.Context) -> None:
    """Without a verb: the quick suite on drawn images, all three jobs in small. No network, no GPU, no data."""
    if context.invoked_subcommand is None:
        _carry_out(suite.load("quick"), Request(), "Quick suite")


@app.command()
@with_request()
def run(
    request: Request,
    suite_name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a suite, or a YAML file.")],
) -> None:
    """Runs a suite file."""
    _carry_out(suite.load(suite_name), request, f"Suite {suite_name}")


@app.command()
@with_request()
def reproduce(
    request: Request,
    method: Annotated[str, typer.Argument(help="Method, method:variant, or all: the project's own numbers.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset, in place of the paper's.")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm network, in place of the paper's.")] = None,
    ablation: Annotated[bool, typer.Option("--ablation", help="Every variant: the rows of the ablation.")] = False,
) -> None:
    """Trains a method by its paper's recipe and sets our numbers beside the published ones."""
    if method == reference_runs.ALL:
        if dataset or backbone or ablation or request.changes.set:
            raise UserError("the numbers are what the suites say: narrow them with --only and --seeds")
        _reproduce_all(request)
        return
    variants = preview.variants_of(method) if ablation else []
    goals = suite_builders.goals(method, request.environment, dataset, backbone, variants, request.changes.set)
    if request.dry_run:
        show(preview.goal_rows(goals), f"What is published of {method}, and what answers it here")
        notes = [*preview.other_rows(method, goals), *preview.goal_notes(goals)]
    else:
        notes = [f"not run: {goal.label}: {goal.lacking}" for goal in goals if goal.lacking]
    for line in notes:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    chosen = suite_builders.reproduce(method, goals, request.seeds or 3)
    if chosen.train:
        _carry_out(chosen, request, f"Reproduction of {method}")
    elif not request.dry_run:
        raise UserError("nothing can be run here; see the lines above for what is lacking")


def _reproduce_all(request: Request) -> None:
    """Everything the project publishes: what can't be done on this machine is said, with what it needs."""
    rows = reference_runs.experiments(request.environment, request.changes)
    if request.missing:
        rows = reference_runs.missing(rows, ResultStore(request.results).records())
    device = "cuda" if request.cluster == "slurm" else request.environment.device
    if request.dry_run:
        show(preview.experiment_rows(rows, device), "The project's numbers" + " that are missing" * request.missing)
        return
    for line in preview.left_out(rows, device):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    runs = [run for row in rows if row.needs(device) is None for run in row.runs]
    _carry_out_runs(reference_runs.in_order(runs), request, "The project's numbers")


@app.command()
@with_request()
def compare(
    request: Request,
    methods: Annotated[str, typer.Option(help="Methods, separated by commas; each may be method:variant.")],
    dataset: Annotated[str, typer.Option(help="Dataset.")],
    backbone: Annotated[str, typer.Option(help="timm network.")],
) -> None:
    """Trains methods on one backbone under one recipe, and says which is better and at what cost."""
    names = words(methods)
    chosen = suite_builders.compare(
        names, dataset, backbone, request.seeds or 3, request.environment, request.changes.set
    )
    _carry_out(chosen, request, f"{', '.join(names)} on {dataset} ({backbone})")


@app.command()
@with_request(*NOT_OF_PROFILE, "precision")
def profile(
    request: Request,
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")] = "",
    backbone: Annotated[str, typer.Option(help="timm networks, separated by commas.")] = "",
    image_size: Annotated[str, typer.Option(help="Input sizes in pixels, separated by commas.")] = "224",
    batch_size: Annotated[
        str, typer.Option(help="Batch sizes, separated by commas; or sweep: doubled until full.")
    ] = "32",
    precision: Annotated[str, typer.Option(help="fp32, tf32, bf16, separated by commas.")] = "fp32",
    compiled: Annotated[Literal["no", "yes", "both"], typer.Option("--compile", help="torch.compile.")] = "no",
    repeats: Annotated[int, typer.Option(min=1, help="Measure each so often, to know the spread.")] = 1,
    dataset: Annotated[str | None, typer.Option(help="Whose images come to the device; none: no images.")] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Default: the named dataset's, or 200.")] = None,
    detail: Annotated[bool, typer.Option("--detail/--brief", help="Parts of a step, costliest operations.")] = True,
    trace: Annotated[
        bool, typer.Option("--trace", help="Write a torch.profiler trace into each Run's folder.")
    ] = False,
    largest_batch: Annotated[bool, typer.Option("--largest-batch", help="Find it, each try in a process.")] = False,
    memory_limit: Annotated[float | None, typer.Option(help="GiB that a Run may take; default: all.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="BEFORE AFTER", help="Two results folders: what became slower.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Measures speed, latency, memory and FLOPs in training and inference; or compares two measurements."""
    if compare is not None:
        _compare_profiles(*compare)
        return
    if not words(methods) or not words(backbone):
        raise UserError(
            "name what to measure, --methods and --backbone; or two results folders, --compare BEFORE AFTER"
        )
    sizes = whole_numbers(image_size, "--image-size")
    batches: Literal["sweep"] | list[int] = (
        "sweep" if batch_size == "sweep" else whole_numbers(batch_size, "--batch-size")
    )
    request = replace(request, data_root=data_root)
    chosen = suite_builders.profile(
        words(methods),
        words(backbone),
        sizes,
        batches,
        precisions=words(precision),
        compile={"no": [False], "yes": [True], "both": [False, True]}[compiled],
        repeats=repeats,
        extras=(suite_builders.DETAIL if detail else []) + ["trace"] * trace + ["largest_batch"] * largest_batch,
        memory_limit=None if memory_limit is None else round(memory_limit * 2**30),
        **suite_builders.profiled_input(dataset, classes, request.environment),
    )
    _carry_out(chosen, request, "Profile")
    if trace and not request.dry_run:
        console.print("Traces, for ui.perfetto.dev: trace-*.json.gz in the folder of each Run", highlight=False)


def _compare_profiles(before: Path, after: Path) -> None:
    """Which cells became slower from one results folder to another; exit code 1 if one did."""
    both = stored(before).records(), stored(after).records()
    found = regressions(*both)
    if found.frame.empty:
        raise UserError(f"{before} and {after} have no profile Run of the same cell on the same device in common")
    console.print(markdown.terminal(found), markup=False, highlight=False)
    for sentence in alone(*both):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    if worse(found):
        console.print(f"{worse(found)} of {len(found.frame)} cells became slower or no longer fit", style="red")
        raise typer.Exit(1)


@app.command()
def report(
    results: Results = OUR_RESULTS,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: report/ in the results.")] = None,
    readme: Annotated[Path | None, typer.Option(help="Fill the marked tables of this file instead.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if --readme, or any committed page, is not up to date."),
    ] = False,
) -> None:
    """Writes tables and figures from stored results alone."""
    if readme is None and not check:
        written = write_report(stored(results), out or results / "report", "All results")
        _print(written)
        return
    store = ResultStore(stored(results).root / REFERENCE)  # a page that is committed shows what is committed
    try:
        if readme is not None and not check:
            readme_tables.write_readme(readme, store)
            return
        pages = [readme] if readme is not None else readme_tables.pages(ROOT)
        stale = [page for page in pages if not readme_tables.check_readme(page, store)]
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    for page in stale:
        console.print(
            f"{page}: its tables are not what the records give; run report --readme {page}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if stale:
        raise typer.Exit(1)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="methods, datasets or suites.")],
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="With methods: check every recipe and published row.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Lists what there is."""
    if what == "datasets":
        data_list(as_json, data_root)
        return
    rows: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "methods": lambda: preview.method_rows(check),
        "suites": preview.suite_rows,
    }
    show(rows[require_known("list of", what, [*rows, "datasets"])](), what, as_json)


def _print(written: Report) -> None:
    """A report's compact tables, and where the whole of it lies."""
    for text in terminal_tables(written):
        console.print(f"\n{text}", markup=False, highlight=False)
    console.print(f"\nReport: {written.html} (or {written.page})", markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Runs the command line; mistakes of the user end in one line and exit code 2."""
    console.quiet = torchrun.is_follower()
    try:
        app()
    except REFUSED as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(2)
    except (ResultsError, FetchError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(1)


if __name__ == "__main__":
    main()
