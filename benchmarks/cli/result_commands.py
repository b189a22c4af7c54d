"""The verbs that use stored results: status, publish, predict, attention."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cli.inputs import path, whole
from benchmarks.cli.options import OUR_RESULTS, AsJson, DataRoot, Device, ExistingResults, Weights
from benchmarks.cli.views.terminal import line, lines, show
from benchmarks.errors import UserError
from results.values.numbers import COUNT, COUNT_OR_NONE

app = typer.Typer()


@app.command("status")
def status_(results: ExistingResults = OUR_RESULTS, as_json: AsJson = False) -> None:
    """Show which Runs are done, running, waiting or failed, and why; from any terminal, at any time."""
    from benchmarks.execution import status
    from results.store import ResultStore

    rows = status.rows(ResultStore(results))
    show(rows if as_json else status.short_rows(rows), str(results), as_json)
    if not as_json:
        line(status.summary(rows))
        lines(status.faults(rows), style="red")


@app.command()
def publish(
    run_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Ids of finished Runs, or their beginnings; files of check-device; or all: the reference results.",
        ),
    ],
    data_root: DataRoot = None,
    weights: Weights = None,
    share: Annotated[
        Path | None,
        typer.Option(
            parser=path("--share"),
            help="Write the trained network of one RUN to this folder instead, with a model card, ready for a hub.",
        ),
    ] = None,
    results: ExistingResults = OUR_RESULTS,
) -> None:
    """Copy finished Runs, without their weights, to results/reference/, which is committed.

    Exit code 1 if what is stored of a Run does not fit together: it is not copied.
    """
    if share is not None:
        _share(run_ids, share, results)
        return
    from benchmarks.environment import Environment, choose_device
    from benchmarks.planning import overrides
    from benchmarks.planning.reference.experiments import ALL, experiments
    from benchmarks.planning.reference.missing import publish_all
    from benchmarks.training.networks.trained_run import find_run
    from results.publish import is_device_check, publish_device_check
    from results.publish import publish as publish_one
    from results.store import ResultStore

    store = ResultStore(results)
    if run_ids == [ALL]:
        rows = experiments(Environment(data_root, weights, choose_device("auto")), overrides.NO_CHANGES)
        written, refused = publish_all(rows, store)
        lines(map(_with_what_is_unknown, written))
        lines(refused, style="red")
        if refused:
            raise typer.Exit(1)
    else:
        for run_id in run_ids:
            if is_device_check(store, run_id):
                line(publish_device_check(store, Path(run_id).name))
            else:
                line(_with_what_is_unknown(publish_one(store, find_run(store, run_id).id)))


def _share(run_ids: list[str], folder: Path, results: Path) -> None:
    from benchmarks.sharing.export import share
    from results.store import ResultStore

    if len(run_ids) != 1:
        raise UserError(f"--share takes one RUN, not {len(run_ids)}: a folder holds one network")
    timm = share(ResultStore(results), run_ids[0], folder)
    loaded_by = f"timm.create_model('local-dir:{folder}', pretrained=True)" if timm else "fgbench alone"
    line(f"{folder}: loaded by {loaded_by}; try it: python run_all.py predict {folder} IMAGE")
    line("read README.md there and state a licence before you upload the folder")


def _with_what_is_unknown(written: Path) -> str:
    """What was published, and whether its record is older than checksums."""
    from results.integrity import PREDATES, checksums_in

    return f"{written} {PREDATES}" if written.is_dir() and not checksums_in(written) else str(written)


@app.command()
def predict(
    network: Annotated[
        str, typer.Argument(metavar="RUN", help="Id of a Run or its beginning, or the folder of a shared network.")
    ],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files.")],
    top: Annotated[int, typer.Option(parser=whole(COUNT, "--top"), help="Number of classes per image.")] = 5,
    as_json: AsJson = False,
    device: Device = "auto",
    results: ExistingResults = OUR_RESULTS,
) -> None:
    """Classify images with a trained Run, or a network that publish --share wrote."""
    from benchmarks.environment import choose_device
    from benchmarks.training.networks.trained_run import predict as predict_images
    from results.store import ResultStore

    predictions = predict_images(ResultStore(results), network, images, choose_device(device), top)
    if as_json:
        show(predictions, network, as_json)
        return
    line(network)
    for one in predictions:
        rows = [{"class": name, "probability": f"{100 * probability:.1f} %"} for name, probability in one["classes"]]
        show(rows, one["image"])


@app.command()
@app.command("look", hidden=True)  # its name up to version 0.1
def attention(
    run_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Ids of Runs, or their beginnings. Default: all not measured yet."),
    ] = None,
    images: Annotated[
        int, typer.Option(parser=whole(COUNT_OR_NONE, "--images"), help="Right and wrong images each in the galleries.")
    ] = 12,
    device: Device = "auto",
    data_root: DataRoot = None,
    results: ExistingResults = OUR_RESULTS,
) -> None:
    """Measure where trained Runs look, against annotated boxes and parts, and draw galleries."""
    from benchmarks.attention.run import measure_attention, score_rows, unmeasured
    from benchmarks.environment import Environment, choose_device
    from benchmarks.training.networks.trained_run import find_run
    from results.store import ResultStore

    store, environment = ResultStore(results), Environment(data_root, None, choose_device(device))
    chosen = [find_run(store, asked, "train").id for asked in run_ids or ()] or unmeasured(store)
    if not chosen:
        line("nothing to measure: no finished Run has weights, or all are measured; name a RUN to measure it again")
    for run_id in chosen:
        line(f"measuring the attention of {run_id}")
        report = measure_attention(store, run_id, environment, images)
        if table := score_rows(report):
            show(table, report.id)
        lines(f"{report.id}: no {name}: {reason}" for name, reason in report.missing.items())
        lines(report.galleries)
