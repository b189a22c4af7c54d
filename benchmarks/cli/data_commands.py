"""The verbs of `run_all.py data`: list, fetch, split, verify, prepare, cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from benchmarks.cli.inputs import path, whole
from benchmarks.cli.options import AsJson, DataRoot
from benchmarks.cli.views import terminal
from benchmarks.cli.views.terminal import lines, show
from benchmarks.console import PlainConsole
from benchmarks.errors import UserError
from results.values.numbers import DAYS, PIXELS, SEED

if TYPE_CHECKING:
    from benchmarks.cli.data_rows import Findings

app = typer.Typer(help="List, fetch, check and prepare datasets.")
Options = Annotated[list[str] | None, typer.Option("--option", help="Option of the dataset, KEY=VALUE. Repeatable.")]


@app.command("list")
def data_list(as_json: AsJson = False, data_root: DataRoot = None) -> None:
    """List every dataset, whether it is here, and how to get it; --json adds terms of use and more."""
    from benchmarks.cli import data_rows
    from benchmarks.environment import Environment

    rows = data_rows.rows(Environment(data_root))
    show(rows if as_json else data_rows.short_rows(rows), "datasets", as_json)
    if not as_json:
        lines(data_rows.advice(rows))


@app.command("fetch")
def data_fetch(
    name: str,
    put_into: Annotated[
        Path | None, typer.Option("--from", parser=path("--from"), help="Folder with archives you have already.")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Download, check and unpack a dataset. After an interruption, the same command resumes."""
    from benchmarks.cli import data_rows
    from benchmarks.cli.views.displays import FetchDisplay

    try:
        with FetchDisplay(terminal.console) as display:
            findings = data_rows.fetch(name, data_root, put_into, display)
    except KeyboardInterrupt:
        terminal.interrupted("the same command resumes the download")
    _show_findings(findings)


@app.command("verify")
def data_verify(
    name: str,
    option: Options = None,
    every: Annotated[bool, typer.Option("--all", help="Name every fault, not the first few of each kind.")] = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Read every image and say what is wrong: files, copies in train and test, classes, boxes, counts, split.

    Exit code 1 if there is a fault; notes alone give 0.
    """
    from benchmarks.cli import data_rows
    from benchmarks.cli.views.displays import CountDisplay

    with CountDisplay(PlainConsole(quiet=True) if as_json else terminal.console, f"verifying {name}") as display:
        findings = data_rows.verify(name, data_root, _parsed(option), display)
    _show_findings(findings, as_json, every)


@app.command("split")
def data_split(
    name: str,
    test: Annotated[float, typer.Option(help="Share of each class's images to test on, between 0 and 1.")] = 0.3,
    seed: Annotated[
        int, typer.Option(parser=whole(SEED, "--seed"), help="Another seed chooses other test images.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace images.csv if there is one.")] = False,
    data_root: DataRoot = None,
) -> None:
    """Split a folder of class folders: choose test images in each class and write images.csv."""
    from benchmarks.cli import data_rows
    from benchmarks.cli.views.displays import CountDisplay
    from benchmarks.cli.views.findings import split_lines

    with CountDisplay(terminal.console, f"reading {name}") as display:
        done = data_rows.split(name, data_root, test, seed, display, force)
    lines(split_lines(name, done))


@app.command("prepare")
def data_prepare(
    name: str,
    size: Annotated[
        int | None, typer.Option(parser=whole(PIXELS, "--size"), help="Size in pixels, in place of a recipe's.")
    ] = None,
    resize: Annotated[
        Literal["squash", "short_side"] | None,
        typer.Option(
            help="Resize both sides to this size, or only the shorter one. Default: as the recipe, or squash."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--for", metavar="METHOD", help="As this method's paper stores it, for `reproduce`."),
    ] = None,
    option: Options = None,
    data_root: DataRoot = None,
) -> None:
    """Decode every image once, so that training need not: as the common recipe stores it, unless --for or --size
    says otherwise. After an interruption, the same command resumes."""
    from benchmarks.cli import data_rows
    from benchmarks.cli.views.displays import CountDisplay
    from benchmarks.environment import Environment, subsets
    from datasets import split_subset
    from datasets.loading.store import open_store
    from results.settings import task

    environment, (name, chosen) = Environment(data_root), split_subset(name)
    name = environment.canonical(name)
    stored = data_rows.stored_as(name, method, size, resize)
    lines([f"{stored.size} px, {stored.resize}: {stored.why}"])
    rows = []
    for options in subsets(name, {**chosen, **_parsed(option)}):
        what = task(name, options)
        with CountDisplay(terminal.console, f"decoding {what}") as display:
            store = open_store(environment.open(name, options), stored.size, stored.resize, on_progress=display)
        row = {"dataset": what, "folder": str(store.folder)}
        rows.append(row | {"images": len(store), "bytes": int(store.offsets[-1])})
    show(rows, name)


@app.command("cache")
def cache(
    remove_unused: Annotated[
        int | None,
        typer.Option(
            parser=whole(DAYS, "--remove-unused"),
            metavar="DAYS",
            help="Remove stores, features and code not used for DAYS days, and stores and features no longer readable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List decoded images, features of frozen networks and compiled code on this machine with size and last use, or
    remove old ones."""
    from benchmarks.training.compiling import kept_code
    from benchmarks.training.frozen.kept_files import feature_folder, kept_files
    from datasets.cache_folder import default_cache
    from datasets.loading import cache as decoded

    if remove_unused is not None:
        unused = timedelta(days=remove_unused)
        _remove(unused)
        if freed := kept_code.remove_unused(unused):
            lines([f"removed {freed / 1e6:.0f} MB of compiled code"])
    rows = [_row(store.folder, store.state, store.bytes, store.last_used) for store in decoded.stores()]
    rows += [_row(one.path, one.state, one.bytes, one.last_used) for one in kept_files(feature_folder())]
    if code := kept_code.described():
        rows.append(_row(code.folder, "code", code.bytes, code.last_used))
    show(rows, f"decoded images, features and compiled code in {default_cache()}", as_json)


def _row(place: Path, state: str, size: int, last_used: datetime) -> dict[str, Any]:
    return {"store": place.name, "state": state, "MB": round(size / 1e6), "last used": f"{last_used:%Y-%m-%d %H:%M}"}


def _remove(unused: timedelta) -> None:
    """Removes all stores and features that it can. Raises `UserError` naming the others, each with its reason."""
    from benchmarks.training.frozen import kept_files as features
    from datasets.loading import cache as decoded

    stores = decoded.superfluous(decoded.stores(), unused)
    files = features.superfluous(features.kept_files(features.feature_folder()), unused)
    entries: list[tuple[Path, Callable[[], object]]] = [(one.folder, partial(decoded.remove, [one])) for one in stores]
    entries += [(one.path, partial(features.remove, one)) for one in files]
    kept = []
    for place, remove in entries:
        try:
            if remove():
                lines([f"removed {place}"])
        except OSError as error:
            kept.append(f"{place} ({error.strerror or error})")
    if kept:
        raise UserError(f"can't be removed: {', '.join(kept)}; ask the owner, or look at the folder's permissions")


def _parsed(assignments: Sequence[str] | None) -> dict[str, Any]:
    """`["subset=bird"]` -> `{"subset": "bird"}`, values read as YAML."""
    from benchmarks.planning.overrides import parse_assignments, yaml_value

    pairs = parse_assignments(assignments or [], "--option")
    return {key: yaml_value(value, f"--option {key}") for key, value in pairs.items()}


def _show_findings(findings: Sequence[Findings], as_json: bool = False, every: bool = False) -> None:
    """A summary of each dataset or subset, or all of it as JSON; exit code 1 if there are faults."""
    from benchmarks.cli.views.findings import show_findings

    if as_json:
        show([one.as_row for one in findings], "", as_json)
    else:
        for one in findings:
            show_findings(one, every)
    if any(one.faults for one in findings):
        raise typer.Exit(1)
