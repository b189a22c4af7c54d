"""The verb `list`: methods, datasets, suites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from benchmarks.cli.data_commands import data_list
from benchmarks.cli.options import AsJson, DataRoot
from benchmarks.cli.views.terminal import show
from benchmarks.errors import require_known

app = typer.Typer()


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="methods, datasets or suites.")],
    as_json: AsJson = False,
    check: Annotated[bool, typer.Option("--check", help="With methods: check every recipe and published row.")] = False,
    data_root: DataRoot = None,
) -> None:
    """List methods, datasets or suites."""
    if what == "datasets":
        data_list(as_json, data_root)
        return
    rows: dict[str, Callable[[], list[dict[str, Any]]]] = {"methods": method_rows, "suites": suite_rows}
    chosen = rows[require_known("list of", what, [*rows, "datasets"])]
    if check:
        from benchmarks.planning import method_checks  # builds every method, which needs torch

        method_checks.check_all()
    show(chosen(), what, as_json)


def method_rows() -> list[dict[str, Any]]:
    """A row per method."""
    import methods
    from benchmarks.planning import method_files

    found = []
    for name in methods.available():
        file = method_files.method_file(name)
        found.append(
            {
                "name": name,
                "shown as": file.name or name,
                "paper": f"{file.paper.title} ({file.paper.venue} {file.paper.year})" if file.paper else None,
                "summary": file.summary,
                "variants": ", ".join(method_files.variants_of(name)),
                "published rows": len(method_files.published(name)),
            }
        )
    return found


def suite_rows() -> list[dict[str, Any]]:
    """A row per suite."""
    from benchmarks.planning import suite

    return [{"name": name, "about": suite.load(name).about} for name in suite.available()]
