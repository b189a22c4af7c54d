"""The command line of fgbench. `python run_all.py --help` lists the verbs; the verbs themselves are in benchmarks/cli.

Only what needs `reports` is here, since the rooms of benchmarks may not import it.
"""

from __future__ import annotations

import os

# Both must be set before torch is loaded, and before a process of a Run starts.
# OpenMP threads that spin while they wait slow down a machine that does anything else by a factor of ten to fifty
# (measured on 2 cores: 8 to 35 images/s spinning, 150 to 170 sleeping).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# By default glibc may return memory to the system between steps and have it zeroed again, depending on earlier
# allocations; the speed of equal work then differs by half (measured: MobileNetV2 at 160 px, inference 220 images/s
# against 396 with these settings, training 80 against 98).
TUNABLES = "mmap_threshold=33554432", "trim_threshold=4294967296", "hugetlb=1"
os.environ.setdefault("GLIBC_TUNABLES", ":".join(f"glibc.malloc.{each}" for each in TUNABLES))

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback until `watch` is there

from benchmarks import interruption, output

if __name__ == "__main__":  # not in a process of a Run, which imports this file too
    output.tolerate()
    interruption.watch()

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.cli import (
    data_commands,
    device_commands,
    list_commands,
    new_command,
    result_commands,
    run_commands,
    weights_commands,
)
from benchmarks.cli.handover import FinishedPlan, TwoMeasurements
from benchmarks.cli.inputs import path, words
from benchmarks.cli.options import OUR_RESULTS, ExistingResults, Request
from benchmarks.cli.views import terminal
from benchmarks.cli.views.terminal import line, lines
from benchmarks.errors import REFUSED, PlanError, UserError, require_known
from benchmarks.execution import torchrun
from datasets.fetching.download import FetchError
from methods.errors import HubError
from results.errors import ResultsError
from results.values.text import one_line

if TYPE_CHECKING:
    from reports.contents import Format, Report
    from reports.names import Names
    from results.record import Record
    from results.store import ResultStore

ROOT = Path(__file__).parent


def show_tables(returned: FinishedPlan | TwoMeasurements | None) -> None:
    """Reports what a verb returned. Exit code 1 if a Run failed or became slower."""
    if isinstance(returned, FinishedPlan):
        _report_plan(returned)
    elif isinstance(returned, TwoMeasurements):
        _compare(returned)


app = typer.Typer(
    help="Benchmark and reproduction suite for fine-grained image classification. Without a verb: the quick suite.",
    result_callback=show_tables,
    no_args_is_help=False,
    add_completion=False,  # completion needs an installed program, and `python run_all.py` is none
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def quick(context: typer.Context) -> FinishedPlan | None:
    """Run the quick suite on drawn images, without network, GPU or data."""
    if context.invoked_subcommand is not None:
        return None
    from benchmarks.cli import carry_out

    return carry_out.run("quick", Request())


for verbs in run_commands, result_commands, device_commands, list_commands:
    app.add_typer(verbs.app)
app.add_typer(data_commands.app, name="data")
app.add_typer(weights_commands.app, name="weights")
app.add_typer(new_command.app, name="new")


@app.command()
def report(
    results: ExistingResults = OUR_RESULTS,
    out: Annotated[
        Path | None, typer.Option(parser=path("--out"), help="Folder of the report. Default: report/ in the results.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Report on Runs with this setting alone: KEY=VALUE. Repeatable.")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Write only these: any of html, md, csv, latex, separated by commas.")
    ] = "html,md,csv,latex",
    readme: Annotated[
        Path | None, typer.Option(parser=path("--readme"), help="Fill in the marked tables of this file instead.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; fail if --readme, or any committed page, is out of date."),
    ] = False,
) -> None:
    """Write tables and figures from stored results; nothing is measured.

    Exit code 1 if a stored file can't be read or trusted: it is named and left out.
    """
    from reports.render import readme_blocks
    from reports.report import write_report
    from results.files import make_folder
    from results.store import REFERENCE, ResultStore

    if readme is None and not check:
        store, title = ResultStore(results), ", ".join(only or []) or "All results"
        records = _with_settings(store, only or [])
        folder = out or make_folder(results, "report", "--results")
        written = write_report(store, folder, title, records, _formats(formats), _names(records))
        _print(written)
        if written.left_out:
            raise typer.Exit(1)
        return
    store = ResultStore(results / REFERENCE)  # a committed page shows committed results only
    if not store.root.is_dir():
        raise UserError(_unpublished(results))
    try:
        names = _names(store.records(), store.planned())
        if readme is not None and not check:
            readme_blocks.write_readme(readme, store, names)
            return
        pages = [readme] if readme is not None else readme_blocks.pages(ROOT)
        stale = [page for page in pages if not readme_blocks.check_readme(page, store, names)]
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    lines(f"{page}: its tables are out of date; run report --readme {page}" for page in stale)
    if stale:
        raise typer.Exit(1)


def _unpublished(results: Path) -> str:
    """Why a page can't be filled in from these results, and what to do, in words."""
    from results.store import REFERENCE

    if results.name == REFERENCE:
        return f"a page shows the Runs in {REFERENCE}/ below the results; give --results {results.parent}"
    return f"nothing is published in {results}, and a page shows published Runs alone: publish all --results {results}"


def _formats(text: str) -> list[Format]:
    """The formats that `--format` names, each once. Raises `UserError` for another, or for none."""
    from reports.contents import FORMATS

    asked = words(text)
    for one in asked:
        require_known("format of a report", one, FORMATS)
    if not asked:
        raise UserError(f"--format names none; it takes any of {', '.join(FORMATS)}, separated by commas")
    return [one for one in FORMATS if one in asked]


def _with_settings(store: ResultStore, only: list[str]) -> list[Record]:
    """The records that fit `--only`. Profile Runs have no dataset; what they lack does not leave them out."""
    from benchmarks.planning.overrides import matches, none_fits, parse_assignments

    records, wanted = store.records(), parse_assignments(only, "--only")
    if wanted and not records and (faults := list(store.left_out.values())):
        raise ResultsError(f"none of the {len(faults)} records below {store.root} can be used; first: {faults[0]}")
    fits = []
    for record in records:
        has = {key for key in wanted if record.run.job == "train" or hasattr(record.run, key.partition(".")[0])}
        if matches(record.run, {key: value for key, value in wanted.items() if key in has}):
            fits.append(record)
    if wanted and not any(matches(record.run, wanted) for record in fits):
        raise UserError(none_fits((record.run.model_dump(mode="json") for record in records), wanted, "with a record"))
    return fits


def _names(records: Sequence[Record], planned: Sequence[Mapping[str, Any]] = ()) -> Names:
    """What people read in the place of ids, in reports on these records and planned experiments."""
    from benchmarks.cli import display_names
    from reports.names import Names

    networks = [record.run.backbone for record in records] + [str(one.get("backbone")) for one in planned]
    return Names(display_names.of_methods(), display_names.of_datasets(), display_names.of_backbones(networks))


def _print(written: Report) -> None:
    """Prints a report's compact tables, and where to find all of it."""
    from reports.report import terminal_tables

    lines(f"\n{text}" for text in terminal_tables(written, terminal.console.width))
    first, *others = written.paths[:2]
    line(f"\nReport: {first}" + f" (or {others[0]})" * bool(others))
    lines(written.left_out.values(), style="red")


def _report_plan(plan: FinishedPlan) -> None:
    from reports.report import write_report
    from results.files import make_folder
    from results.store import ResultStore

    store = ResultStore(plan.results)
    records = [record for record in store.records() if record.id in plan.runs]
    folder = make_folder(plan.results, "report", "--results")
    written = write_report(store, folder, plan.title, records, names=_names(records))
    _print(written)
    if plan.unfinished:
        left = f"{plan.unfinished} of {len(plan.runs)} Runs"
        line(f"the time is up, and {left} are not finished; the same command resumes them")
    if plan.failed:
        line(f"{plan.failed} of {len(plan.runs)} Runs failed; their records say why", style="red")
    if plan.failed or any(run_id in plan.runs for run_id, _ in written.left_out):
        raise typer.Exit(1)


def _compare(folders: TwoMeasurements) -> None:
    from reports.render import markdown
    from reports.tables.regressions import not_compared, regressions, worse
    from results.store import ResultStore

    stores = ResultStore(folders.before), ResultStore(folders.after)
    both = stores[0].records(), stores[1].records()
    lines((reason for store in stores for reason in store.left_out.values()), style="red")
    table = regressions(*both)
    if table.frame.empty:
        raise UserError(
            f"{folders.before} and {folders.after} have no profile Run of the same cell on the same device in common"
        )
    lines([markdown.terminal(table, terminal.console.width), *not_compared(*both)])
    if worse(table):
        line(f"{worse(table)} of {len(table.frame)} cells became slower or no longer fit", style="red")
        raise typer.Exit(1)


def main() -> None:
    """Runs the command line. A mistake of the user is one line and exit code 2, several of a plan a line each; what
    can't be stored, fetched or printed is one line and exit code 1."""
    interruption.loaded()
    # Of several processes under torchrun, only the first prints.
    terminal.console.quiet = torchrun.is_follower()
    try:
        app()
    except REFUSED as error:
        faults = error.lines if isinstance(error, PlanError) else (str(error),)
        print("error: " + "\n".join(map(one_line, faults)), file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(2)
    except (ResultsError, FetchError, HubError) as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(1)
    finally:
        if interruption.happened():
            sys.stdout.flush()
            interruption.end()
        if reason := output.lost():
            print(f"error: some of the output could not be written ({reason})", file=sys.stderr)  # noqa: T201
            sys.exit(1)


if __name__ == "__main__":
    main()
