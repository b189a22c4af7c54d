"""The verb `check-device`: whether a device computes rightly, and how fast it is."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.cli.inputs import number, words
from benchmarks.cli.options import OUR_RESULTS, AsJson, Device, Results
from benchmarks.cli.views import terminal
from benchmarks.cli.views.terminal import line, show
from results.values.numbers import Bounds

app = typer.Typer()
MINUTES = Bounds(0.1, 24 * 60)


@app.command("check-device")
def check_device(
    device: Device = "auto",
    minutes: Annotated[
        float, typer.Option(parser=number(MINUTES, "--minutes"), help="Most minutes that it may take.")
    ] = 9.0,
    small: Annotated[
        bool, typer.Option("--small", help="Measure steps and feeds in small, as a CPU always does.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            help="Checks and methods, separated by commas: values, waits, determinism, memory, compile, steps, feeds, "
            "ceilings; ws_dan …"
        ),
    ] = "",
    results: Results = OUR_RESULTS,
    as_json: AsJson = False,
) -> None:
    """Check that this device computes rightly and repeats itself, and how fast it is, in at most nine minutes.

    Exit code 1 if something is wrong; what is slow, or has no time left, is only told.
    """
    from benchmarks.cli.views.device_check import CheckDisplay, rows
    from benchmarks.console import PlainConsole
    from benchmarks.device_check.plan import chosen, planned_checks
    from benchmarks.device_check.session import Session
    from benchmarks.environment import choose_device
    from benchmarks.execution.locks import device_lock
    from results.store import ResultStore

    kind = choose_device(device)
    small = small or kind == "cpu"
    checks = chosen(planned_checks(kind, small), words(only))
    ResultStore(results).prepare()
    console = PlainConsole(stderr=True) if as_json else terminal.console
    wait = "waiting for another measurement on this device"
    with device_lock(kind, on_wait=lambda: console.print(wait)), CheckDisplay(console, len(checks)) as display:
        session = Session(kind, minutes, small)
        try:
            session.run(checks, display)
        except KeyboardInterrupt:
            display.stop()
            terminal.interrupted(f"what is known is in {session.write(results)}")
    record = session.record
    if not as_json:
        show(rows(record), record.name)  # first: a full disk must not hide what was found
    written = session.write(results)
    if as_json:
        print(written.read_text(encoding="utf-8"), end="")  # noqa: T201 - the program's output
    else:
        line(f"{record.counts}, {record.seconds:.0f} s: {written}")
    if record.wrong:
        raise typer.Exit(1)
