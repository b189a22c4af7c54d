"""What a plan needs and this machine lacks: listed, fetched, or awaited by the estimates of a dry run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.cli.options import Request
from benchmarks.cli.requested import changes_of, environment_of
from benchmarks.cli.views import forecast, preview, shopping_list, terminal
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import torchrun
from benchmarks.planning import checks, expand, method_checks, shopping, support
from benchmarks.planning.suite import Suite
from results.store import ResultStore


def supply(chosen: Suite, request: Request) -> list[shopping.Item]:
    """Lists, or fetches, what a suite lacks, and returns it.

    Raises `UserError` before a download if something can't be fetched, and before the list whatever `require_plan`
    raises.
    """
    environment, changes = environment_of(request), changes_of(request)
    items = shopping.of_suite(chosen, environment, changes.only, changes.set)
    if items:
        require_plan(chosen, awaiting(items, request), request)
    by_hand = [item for item in items if not item.fetchable]
    if request.fetch and by_hand and not request.dry_run:
        terminal.lines(shopping_list.lines(items))
        raise UserError(f"{', '.join(item.name for item in by_hand)} can't be fetched; the lines above say what to do")
    fetch_or_list([items], request)
    return items


def require_plan(chosen: Suite, later: Environment, request: Request) -> None:
    """Raises `UserError`, `DatasetError` or `BackboneError` if the suite would be refused with all that it lacks here:
    nobody should get data for it."""
    if chosen.train:
        checks.require_sizes(expand.expand(chosen, later, changes_of(request)), torchrun.world_size())


def fetch_or_list(groups: Iterable[Sequence[shopping.Item]], request: Request) -> bool:
    """Lists what is lacking; with `--fetch` also gets it, and returns whether it got something.

    A group that needs something that can't be fetched is left alone: its Runs could not start.
    """
    groups = list(groups)
    lacking = shopping.distinct(item for group in groups for item in group)
    terminal.lines(shopping_list.lines(lacking))
    wanted = shopping.distinct(item for group in groups if all(one.fetchable for one in group) for item in group)
    if not (request.fetch and wanted) or request.dry_run:
        what = "it" if len(wanted) == len(lacking) else f"{len(wanted)} of them"
        how = "with --fetch in place of --dry-run" if request.dry_run else "with --fetch"
        terminal.lines([f"the same command {how} gets {what}, then trains"] * bool(wanted))
        return False
    shopping_list.fetch(wanted, environment_of(request))
    return True


def awaiting(items: Iterable[shopping.Item], request: Request) -> Environment:
    """This machine as it will be once it has these things, to make estimates for."""
    return replace(environment_of(request), awaited=frozenset(item.name for item in items))


def foresee(chosen: Suite, later: Environment, request: Request) -> None:
    """Ends a dry run with the part of the plan that awaits data or weights, and what that will take."""
    if not chosen.train:
        return
    changes = changes_of(request)
    runs = expand.expand(chosen, later, changes)
    checks.require_sizes(runs, torchrun.world_size())
    terminal.line(forecast.ONCE_HERE, style="bold")
    terminal.lines(support.left_out(chosen, changes))
    terminal.lines(method_checks.notes(runs))
    for heading, rows in preview.tables(runs, ResultStore(request.results), later):
        terminal.show(rows, heading)
    terminal.lines(forecast.of_runs(runs, forecast.estimator(later, request), request))
