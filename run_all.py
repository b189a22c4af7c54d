"""The command line of fgbench: reproduce, compare, profile, and report. `python run_all.py --help` lists the verbs."""

from __future__ import annotations

import os

# Before torch is loaded: OpenMP threads that spin while they wait lose ten to fifty times the speed on a machine that
# has anything else to do (measured on 2 cores: 8 to 35 images/s spinning, 150 to 170 sleeping).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from benchmarks import execute, jobs, plan, preview, suite
from benchmarks.data_commands import AsJson, DataRoot, data_list
from benchmarks.data_commands import app as data_app
from benchmarks.errors import REFUSED, UserError
from benchmarks.predict import find_run
from benchmarks.predict import predict as predict_images
from benchmarks.terminal import choose_device, console, numbers, show, words
from datasets.download import FetchError
from reports import readme as readme_tables
from reports.report import Report, terminal_tables, write_report
from results.store import REFERENCE, ResultsError, ResultStore

ROOT = Path(__file__).parent
app = typer.Typer(
    help="Benchmark and reproduction suite for fine-grained image classification. Alone, it runs the quick suite.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")

Only = Annotated[list[str] | None, typer.Option("--only", help="Keep Runs with key=value (patterns, commas).")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change a setting of every Run: key=value.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="How many seeds.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="What to compute on.")]
Weights = Annotated[Path | None, typer.Option("--weights", envvar="FGBENCH_WEIGHTS", help="Folder of weight files.")]
Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
OUR_RESULTS = ROOT / "results"


@dataclass(frozen=True)
class Request:
    """The options that every job takes."""

    only: list[str] | None = None
    set: list[str] | None = None
    seeds: int | None = None
    dry_run: bool = False
    device: str = "auto"
    data_root: Path | None = None
    weights: Path | None = None
    results: Path = OUR_RESULTS

    @property
    def place(self) -> plan.Place:
        if self.weights is not None and not self.weights.is_dir():
            raise UserError(f"{self.weights}: there is no such folder of weights (--weights or FGBENCH_WEIGHTS)")
        return plan.Place(self.data_root, self.weights, choose_device(self.device))

    @property
    def changes(self) -> plan.Changes:
        set_ = plan.nested(plan.parse_assignments(self.set or [], "--set"))
        return plan.Changes(set_, plan.parse_assignments(self.only or [], "--only"), self.seeds)


def _carry_out(chosen: suite.Suite, request: Request, title: str) -> None:
    """Plan -> Runs -> report -> the tables on the terminal; exit code 1 if a Run failed."""
    runs = plan.expand(chosen, request.place, request.changes)
    store = ResultStore(request.results)
    if request.dry_run:
        show(preview.rows(runs, store, request.place), f"{len(runs)} Runs")
        return
    try:
        summary = execute.execute(runs, store, request.place, console)
    except KeyboardInterrupt:
        console.print("\ninterrupted: the same command goes on from the last whole epoch", style="red")
        raise typer.Exit(130) from None
    ids = {run.id for run in runs}
    written = write_report(store, request.results / "report", title, [r for r in store.records() if r.id in ids])
    _print(written)
    if summary.failed:
        console.print(f"{len(summary.failed)} of {len(runs)} Runs failed; their records say why", style="red")
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def quick(context: typer.Context) -> None:
    """Without a verb: the quick suite on drawn images, all three jobs in small. No network, no GPU, no data."""
    if context.invoked_subcommand is None:
        _carry_out(suite.load("quick"), Request(), "Quick suite")


@app.command()
def run(
    suite_name: Annotated[str, typer.Argument(metavar="SUITE", help="Name of a suite, or a YAML file.")],
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    weights: Weights = None,
    results: Results = OUR_RESULTS,
) -> None:
    """Runs a suite file."""
    request = Request(only, set_, seeds, dry_run, device, data_root, weights, results)
    _carry_out(suite.load(suite_name), request, f"Suite {suite_name}")


@app.command()
def reproduce(
    method: Annotated[str, typer.Argument(help="Method, or method:variant.")],
    dataset: Annotated[str | None, typer.Option(help="Dataset, in place of the paper's.")] = None,
    backbone: Annotated[str | None, typer.Option(help="timm network, in place of the paper's.")] = None,
    ablation: Annotated[bool, typer.Option("--ablation", help="Every variant: the rows of the ablation.")] = False,
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    weights: Weights = None,
    results: Results = OUR_RESULTS,
) -> None:
    """Trains a method by its paper's recipe and sets our numbers beside the published ones."""
    request = Request(only, set_, seeds, dry_run, device, data_root, weights, results)
    variants = preview.variants_of(method) if ablation else []
    goals = jobs.goals(method, request.place, dataset, backbone, variants, request.changes.set)
    if dry_run:
        show(preview.goal_rows(goals), f"What is published of {method}, and what answers it here")
        notes = preview.goal_notes(goals)
    else:
        notes = [f"not run: {goal.label}: {goal.lacking}" for goal in goals if goal.lacking]
    for line in notes:
        console.print(line, markup=False, highlight=False)
    chosen = jobs.reproduce(method, goals, seeds or 3)
    if chosen.train:
        _carry_out(chosen, request, f"Reproduction of {method}")
    elif not dry_run:
        raise UserError("nothing can be run here; see the lines above for what is lacking")


@app.command()
def compare(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas; each may be method:variant.")],
    dataset: Annotated[str, typer.Option(help="Dataset.")],
    backbone: Annotated[str, typer.Option(help="timm network.")],
    only: Only = None,
    set_: Set = None,
    seeds: Seeds = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    weights: Weights = None,
    results: Results = OUR_RESULTS,
) -> None:
    """Trains methods on one backbone under one recipe, and says which is better and at what cost."""
    request = Request(only, set_, seeds, dry_run, device, data_root, weights, results)
    names = words(methods)
    chosen = jobs.compare(names, dataset, backbone, seeds or 3, request.place, request.changes.set)
    _carry_out(chosen, request, f"{', '.join(names)} on {dataset} ({backbone})")


@app.command()
def profile(
    methods: Annotated[str, typer.Option(help="Methods, separated by commas.")],
    backbone: Annotated[str, typer.Option(help="timm networks, separated by commas.")],
    image_size: Annotated[str, typer.Option(help="Input sizes in pixels, separated by commas.")] = "224",
    batch_size: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "32",
    only: Only = None,
    set_: Set = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    results: Results = OUR_RESULTS,
) -> None:
    """Measures images/s, latency, memory and FLOPs in training and inference."""
    request = Request(only, set_, None, dry_run, device, results=results)
    sizes, batches = numbers(image_size, "--image-size"), numbers(batch_size, "--batch-size")
    chosen = jobs.profile(words(methods), words(backbone), sizes, batches)
    _carry_out(chosen, request, "Profile")


@app.command()
def report(
    results: Results = OUR_RESULTS,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; default: report/ in the results.")] = None,
    readme: Annotated[Path | None, typer.Option(help="Fill the marked tables of this file instead.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="With --readme: fail if its tables are not up to date.")
    ] = False,
) -> None:
    """Writes tables and figures from stored results alone."""
    if check and readme is None:
        raise UserError("--check goes with --readme FILE")
    if readme is None:
        store = ResultStore(results)
        written = write_report(store, out or results / "report", "All results")
        _print(written)
        return
    store = ResultStore(results / REFERENCE)  # a page that is committed shows what is committed
    try:
        if not check:
            readme_tables.write_readme(readme, store)
        elif not readme_tables.check_readme(readme, store):
            console.print(f"{readme}: its tables are not what the records give; run report --readme {readme}")
            raise typer.Exit(1)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


@app.command()
def publish(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of finished Runs, or their beginnings.")],
    results: Results = OUR_RESULTS,
) -> None:
    """Copies finished Runs, without their weights, to results/reference/, which is committed."""
    store = ResultStore(results)
    for run_id in run_ids:
        record = find_run(store, run_id)
        console.print(str(store.publish(record.id)), markup=False, highlight=False)


@app.command("list")
def list_(
    what: Annotated[Literal["methods", "datasets", "suites"], typer.Argument(help="What to list.")],
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
    show(rows[what](), what, as_json)


@app.command()
def predict(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A Run's id, or its beginning.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="Classes per image.")] = 5,
    as_json: AsJson = False,
    device: Device = "auto",
    results: Results = OUR_RESULTS,
) -> None:
    """Says what a trained Run takes images for."""
    found = predict_images(ResultStore(results), run_id, images, choose_device(device), top)
    if as_json:
        print(json.dumps(found))  # noqa: T201 - the program's output
        return
    rows = [
        {"image": one["image"], "class": name, "probability": f"{100 * probability:.1f} %"}
        for one in found
        for name, probability in one["classes"]
    ]
    show(rows, run_id)


def _print(written: Report) -> None:
    """A report's compact tables, and where the whole of it lies."""
    for text in terminal_tables(written):
        console.print(f"\n{text}", markup=False, highlight=False)
    console.print(f"\nReport: {written.page}", markup=False, highlight=False)


def main() -> None:
    """Runs the command line; mistakes of the user end in one line and exit code 2."""
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
