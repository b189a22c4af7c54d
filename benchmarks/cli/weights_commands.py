"""The verbs of `run_all.py weights`: list, fetch, verify."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cli.options import AsJson, Weights
from benchmarks.cli.views import terminal
from benchmarks.cli.views.terminal import line, lines, show
from benchmarks.errors import UserError
from methods.errors import BackboneError, HubError, MissingWeights, SilentHubError
from methods.tags import split_tag

app = typer.Typer(help="List, fetch and check pretrained weights.")
SHORT = 12
"""Digits shown of a hash."""


@app.command("list")
def weights_list(as_json: AsJson = False, weights: Weights = None) -> None:
    """List the weights that recipes and suites start from: whether they are here, and how large they are.

    The size of a file that is not here is that of the network's parameters in single precision. Asks no network.
    """
    rows = [_row(tag, users, weights) for tag, users in sorted(needed().items())]
    short = [
        {
            "weights": row["weights"],
            "for": ", ".join(row["for"]),
            "MB": round(row["bytes"] / 1e6) if row["bytes"] else None,
            "here": row["here"] or "no",
        }
        for row in rows
    ]
    show(rows if as_json else short, "weights", as_json)
    lacking = [row["bytes"] or 0 for row in rows if not row["here"]]
    if lacking and not as_json:
        line(f"not here: {len(lacking)}, about {sum(lacking) / 1e9:.1f} GB; weights fetch NAME... downloads them")


@app.command("fetch")
def weights_fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="timm's names with tags: resnet50.tv_in1k.")],
    renew: Annotated[bool, typer.Option("--renew", help="Also if it is here, and the hub has another by now.")] = False,
    weights: Weights = None,
) -> None:
    """Download weights from the Hugging Face Hub into its cache (HF_HOME), and check them.

    HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and proxies count as for every program that uses the hub.
    """
    from benchmarks.cli.views.displays import FetchDisplay
    from methods import hub, hub_download
    from methods.weight_files import WeightFile, files_here, stem

    for name in names:
        _require_tag(name)
    mine = {stem(file): path for file, path in files_here(weights).items()}
    try:
        with FetchDisplay(terminal.console) as display:
            for name in names:
                if name in mine and not renew:
                    display.note(f"{name}: {mine[name]} is here, and goes before the hub's cache")
                    continue
                if hub.repository(name) and (renew or not hub.cached(name)):
                    terms = f", licence {licence}" if (licence := hub.licence(name)) else ""
                    display.note(f"{name}: downloading {hub.about(hub.size(name))}{terms}")
                path = hub_download.fetch(name, partial(display.bytes, name), renew)
                file = WeightFile.of(path)
                megabytes = f"{path.stat().st_size / 1e6:.0f} MB"
                revision = f", revision {(hub.revision(path) or 'unknown')[:SHORT]}"
                display.note(f"{name}: here, {megabytes}{revision}, SHA-256 {file.sha256[:SHORT]}")
    except KeyboardInterrupt:
        terminal.interrupted("the same command fetches what is lacking")


@app.command("verify")
def weights_verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Default: every file here.")] = None,
    as_json: AsJson = False,
    weights: Weights = None,
) -> None:
    """Read weight files, compare their bytes with what the hub stated, and say which the hub has replaced since.

    Without network, or with HF_HUB_OFFLINE=1, nothing is said of the hub's present state. Exit code 1 if a file is
    damaged.
    """
    from methods.weight_files import locate

    files = _every_file(weights)
    if names:
        for name in names:
            _require_tag(name)
        found = [locate(split_tag(name)[0], name, weights) for name in names]
        files = dict(one for one in found if one is not None)
    not_compared: list[str] = []
    rows = list(_verified(files, not_compared))
    if as_json:
        show(rows, "", as_json)
    else:
        lines(f"{row['weights']}: {row['verdict']} (SHA-256 {(row['sha256'] or 'unknown')[:SHORT]})" for row in rows)
        lines(f"not compared with what the hub has now: {reason}" for reason in not_compared)
    if not rows:
        line("no weight file is here; weights list names what the recipes need")
    if any(row["fault"] for row in rows):
        raise typer.Exit(1)


def needed() -> dict[str, list[str]]:
    """timm's names, with tags, of the weights that recipes and suites start from -> the methods and suites.

    A network that is named without a tag is listed with the one that timm itself takes; a file that is no tag's is left
    out.
    """
    from benchmarks.planning import suite
    from methods import available, hub

    users: dict[str, dict[str, None]] = defaultdict(dict)
    for method in available():
        for name in _of_recipe(method):
            users[hub.default_tag(name) or name][method] = None
    for chosen in suite.available():
        for backbone in (one for entry in suite.load(chosen).train for one in entry.backbones):
            name = backbone.name if backbone.pretrained == "auto" else backbone.pretrained
            if tag := hub.default_tag(name):
                users[tag][f"suite {chosen}"] = None
    return {tag: list(names) for tag, names in users.items()}


def _of_recipe(method: str) -> Iterator[str]:
    """timm's names of the weights in a method's recipe, and of the further networks of its variants."""
    from benchmarks.planning import method_checks, method_files

    file = method_files.method_file(method)
    for named in (file.recipe.weights, *(variant.weights for variant in file.variants.values())):
        yield from (weights for weights in named.values() if weights != "none")
    for variant in file.variants.values():
        yield from method_checks.networks_beside(method, variant.options, file.recipe.backbone)


def _row(tag: str, users: Sequence[str], root: Path | None) -> dict[str, Any]:
    from methods import hub
    from methods.weight_files import locate

    network, _ = split_tag(tag)
    try:
        file = locate(network, tag, root)
    except MissingWeights:
        file = None
    path = file[1] if file else None
    place = hub.repository(tag)
    return {
        "weights": tag,
        "for": list(users),
        "here": None if path is None else "hub's cache" if path == hub.cached(tag) else "--weights",
        "file": str(path) if path else None,
        "bytes": path.stat().st_size if path else hub.size(tag),
        "repository": place.id if place else None,
        "revision": hub.revision(path) if path else None,
        "licence": hub.licence(tag),
        "otherwise": None if place else hub.address(tag),
    }


def _require_tag(name: str) -> None:
    """Raises `UserError` for a name that is none of timm's weights, with those that may be meant."""
    from methods import hub
    from methods.networks import check_name

    check_name(name)
    if not hub.is_tag(name):
        known = ", ".join(hub.tags_of(name)) or "none"
        raise UserError(f"{name} is a network; name its weights as well, one of: {known}")


def _every_file(root: Path | None) -> dict[str, Path]:
    """The files of the user's folder and the project's, and timm's weights in the cache of the hub, by their names."""
    from methods import hub
    from methods.weight_files import SUFFIXES, files_here

    return {f"{tag}{SUFFIXES[0]}": path for tag, path in hub.everything_cached().items()} | files_here(root)


def _verified(files: dict[str, Path], not_compared: list[str]) -> Iterator[dict[str, Any]]:
    """A row per file; in `not_compared`, why the hub says nothing of some. Once it is silent, it is not asked again."""
    from methods import checkpoints, hub, hub_download
    from methods.weight_files import WeightFile, stem

    silent = False
    for name, path in files.items():
        row: dict[str, Any] = {"weights": name, "file": str(path), "sha256": None, "revision": hub.revision(path)}
        try:
            checkpoints.read(path, "meta")
            row["sha256"] = found = WeightFile.of(path, name).sha256
        except BackboneError as error:
            yield row | {"fault": True, "verdict": str(error)}
            continue
        stated, now = hub.stated_sha256(path), None
        if hub.repository(stem(name)) and not silent:
            try:
                now = hub_download.upstream(stem(name))
            except HubError as error:
                silent = isinstance(error, SilentHubError)
                not_compared.append(str(error))
        verdict, fault = _verdict(name, found, stated, now.sha256 if now else None)
        yield row | {"upstream_sha256": now.sha256 if now else None, "fault": fault, "verdict": verdict}


def _verdict(name: str, found: str, stated: str | None, upstream: str | None) -> tuple[str, bool]:
    """What is to be said of a file's bytes, and whether it is a fault."""
    from methods.weight_files import stem

    tag = stem(name)
    if stated not in (None, found):
        return f"damaged, it came with SHA-256 {stated[:SHORT]}; weights fetch {tag} downloads it again", True
    if upstream is None:
        return "as it came from the hub" if stated else "readable; nothing to compare it with", False
    if found == upstream:
        return "as the hub has it", False
    if stated:
        renew = f"weights fetch --renew {tag} takes that"
        return f"as it came from the hub, which has another by now (SHA-256 {upstream[:SHORT]}); {renew}", False
    return f"readable; another file than the hub's (SHA-256 {upstream[:SHORT]})", False
