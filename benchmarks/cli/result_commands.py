"""The verbs of `run_all.py` that ask about results that are there: status, publish, predict, look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.attention.run import measure_attention, score_rows, unmeasured
from benchmarks.cli.data_commands import AsJson, DataRoot
from benchmarks.cli.options import OUR_RESULTS, Device, Results, Weights, stored
from benchmarks.cli.terminal import console, show
from benchmarks.environment import Environment, choose_device
from benchmarks.execution import status
from benchmarks.planning import expand, reference_runs
from benchmarks.training.inference import find_run
from benchmarks.training.inference import predict as predict_images

app = typer.Typer()


@app.command("status")
def status_(results: Results = OUR_RESULTS, as_json: AsJson = False) -> None:
    """What is done, running, waiting and failed, and why; from any terminal, at any time."""
    found = status.rows(stored(results))
    show(found if as_json else status.short_rows(found), str(results), as_json)
    if not as_json:
        console.print(status.summary(found))


@app.command()
def publish(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Ids of finished Runs or their beginnings; all: the numbers.")
    ],
    data_root: DataRoot = None,
    weights: Weights = None,
    results: Results = OUR_RESULTS,
) -> None:
    """Copies finished Runs, without their weights, to results/reference/, which is committed."""
    store = stored(results)
    if run_ids == [reference_runs.ALL]:
        rows = reference_runs.experiments(Environment(data_root, weights, choose_device("auto")), expand.NO_CHANGES)
        for path in reference_runs.publish(rows, store):
            console.print(str(path), markup=False, highlight=False)
        return
    for run_id in run_ids:
        record = find_run(store, run_id)
        console.print(str(store.publish(record.id)), markup=False, highlight=False)


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
    found = predict_images(stored(results), run_id, images, choose_device(device), top)
    if as_json:
        print(json.dumps(found))  # noqa: T201 - the program's output
        return
    rows = [
        {"image": one["image"], "class": name, "probability": f"{100 * probability:.1f} %"}
        for one in found
        for name, probability in one["classes"]
    ]
    show(rows, run_id)


@app.command()
def look(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Ids or their beginnings; default: all not looked at.")
    ] = None,
    images: Annotated[int, typer.Option(min=0, help="Images, right and wrong ones each, in the galleries.")] = 12,
    device: Device = "auto",
    data_root: DataRoot = None,
    results: Results = OUR_RESULTS,
) -> None:
    """Measures what trained Runs attend to against annotated boxes and parts, and draws galleries."""
    store, environment = stored(results), Environment(data_root, None, choose_device(device))
    for run_id in [find_run(store, asked, "train").id for asked in run_ids or ()] or unmeasured(store):
        console.print(f"looking at the test images with {run_id}", markup=False, highlight=False)
        report = measure_attention(store, run_id, environment, images)
        if table := score_rows(report):
            show(table, report.id)
        for name, reason in report.missing.items():
            console.print(f"{report.id}: no {name}: {reason}", markup=False, highlight=False)
        for path in report.galleries:
            console.print(str(path), markup=False, highlight=False)
