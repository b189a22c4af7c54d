"""The verbs of `run_all.py data`: list, fetch, verify, prepare, cache."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console

from benchmarks.cli import data_rows
from benchmarks.cli.terminal import console, show
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning.overrides import parse_assignments
from datasets.loading import cache as decoded

app = typer.Typer(help="Datasets on this machine.")

DataRoot = Annotated[
    Path | None, typer.Option("--data-root", "--data", envvar="FGBENCH_DATA", help="Folder of the datasets.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Options = Annotated[list[str] | None, typer.Option("--option", help="Option of the dataset: key=value.")]


@app.command("list")
def data_list(as_json: AsJson = False, data_root: DataRoot = None) -> None:
    """Every dataset, here or not, with its counts and how to get it; terms and the rest with --json."""
    rows = data_rows.rows(Environment(data_root))
    show(rows if as_json else data_rows.short_rows(rows), "datasets", as_json)


@app.command("fetch")
def data_fetch(
    name: str,
    put_into: Annotated[Path | None, typer.Option("--from", help="Folder where archives lie already.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Downloads, checks and unpacks a dataset; interrupted, the same command goes on from there."""
    try:
        with data_rows.FetchDisplay(console) as display:
            found = data_rows.fetch(name, data_root, put_into, display)
    except KeyboardInterrupt:
        console.print("\ninterrupted: the same command goes on from there", style="red")
        raise typer.Exit(130) from None
    _tell_findings(found, as_json=False)


@app.command("verify")
def data_verify(
    name: str,
    option: Options = None,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Reads every image; names each that is missing, empty, damaged or not in the table; compares counts and split."""
    with data_rows.CountDisplay(Console(quiet=True) if as_json else console, f"verifying {name}") as display:
        found = data_rows.verify(name, data_root, _options(option), display)
    _tell_findings(found, as_json)


@app.command("prepare")
def data_prepare(
    name: str,
    size: Annotated[int, typer.Option(min=1, help="Pixels.")],
    resize: Annotated[Literal["squash", "short_side"], typer.Option(help="Both sides, or the short one.")] = "squash",
    option: Options = None,
    data_root: DataRoot = None,
) -> None:
    """Decodes every image once, so that training does not have to; interrupted, it goes on from there."""
    dataset = Environment(data_root).open(name, _options(option))
    with data_rows.CountDisplay(console, f"decoding {name}") as display:
        row = data_rows.prepare(dataset, size, resize, display)
    show([row], name)


@app.command("cache")
def cache(
    remove_unused: Annotated[
        int | None, typer.Option(min=0, metavar="DAYS", help="Remove what nobody opened for DAYS days, or can open.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The decoded images on this machine: where, how much, last used; and tidying them up."""
    found = decoded.stores()
    if remove_unused is not None:
        _remove(decoded.superfluous(found, timedelta(days=remove_unused)))
        found = decoded.stores()
    rows = [
        {"store": store.folder.name, "state": store.state, "MB": round(store.bytes / 1e6)}
        | {"last used": f"{store.last_used:%Y-%m-%d %H:%M}"}
        for store in found
    ]
    show(rows, f"decoded images in {decoded.default_cache()}", as_json)


def _remove(superfluous: Sequence[decoded.CachedStore]) -> None:
    """All that can be. Raises `UserError` that names the others, each with its reason."""
    kept = []
    for store in superfluous:
        try:
            for gone in decoded.remove([store]):
                console.print(f"removed {gone.folder}", markup=False, highlight=False, soft_wrap=True)
        except OSError as error:
            kept.append(f"{store.folder} ({error.strerror or error})")
    if kept:
        raise UserError(f"can't be removed: {', '.join(kept)}; ask the owner, or look at the folder's permissions")


def _options(assignments: Sequence[str] | None) -> dict[str, Any]:
    """`["subset=bird"]` -> `{"subset": "bird"}`, values read as YAML."""
    pairs = parse_assignments(assignments or [], "--option")
    return {key: yaml.safe_load(value) for key, value in pairs.items()}


def _tell_findings(found: Sequence[data_rows.Findings], as_json: bool) -> None:
    """The faults, each a line, then the counts; exit code 1 if there are faults."""
    if as_json:
        show([one.as_row for one in found], "", as_json)
    else:
        for fault in [fault for one in found for fault in one.faults]:
            console.print(fault.what, markup=False, highlight=False, soft_wrap=True)
        show([one.as_row | {"faults": len(one.faults)} for one in found], found[0].name)
    if any(one.faults for one in found):
        raise typer.Exit(1)
