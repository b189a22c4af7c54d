"""The shopping list of a plan: what it needs and this machine lacks, shown, and got with `--fetch`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import data_rows
from benchmarks.cli.views import terminal
from benchmarks.cli.views.displays import FetchDisplay
from benchmarks.cli.views.findings import show_findings
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning.shopping import Item
from methods import hub, hub_download
from results.values.text import counted

NO_FOLDER = {
    "dataset": "the folder that you name with --data or FGBENCH_DATA",
    "weights": "the folder that you name with --weights or FGBENCH_WEIGHTS",
}


def lines(items: Sequence[Item]) -> list[str]:
    """Of each thing its size, where it comes from, where it belongs and its terms of use; then the total."""
    return ["to get:", *(line for item in items for line in _of_item(item)), _total(items)] if items else []


def _of_item(item: Item) -> list[str]:
    folder = item.folder or NO_FOLDER[item.kind]
    how = [f"    {'from' if item.fetchable else 'by hand:'} {source}" for source in item.sources]
    return [
        f"  {item.kind} {item.name}, {size(item.bytes)}",
        *how,
        f"    into {folder}",
        f"    terms of use: {item.terms}",
    ]


def _total(items: Sequence[Item]) -> str:
    things = counted(len(items), "thing")
    unknown = sum(item.bytes is None for item in items)
    more = f" and {unknown} of unknown size" if unknown else ""
    by_hand = sum(not item.fetchable for item in items)
    ours = f", {by_hand} of them by hand" if by_hand else ""
    return f"together {things}{ours}: {size(to_download(items))}{more}; {size(space(items))} of disk"


def to_download(items: Sequence[Item]) -> int:
    """Bytes, as far as they are known."""
    return sum(item.bytes or 0 for item in items)


def space(items: Sequence[Item]) -> int:
    """Bytes of disk, as far as they are known: an archive stays beside its content, which takes about as much."""
    return sum((1 + item.archived) * (item.bytes or 0) for item in items)


def size(count: int | None) -> str:
    """Bytes for people, in powers of ten, as sites and disks state them."""
    if count is None:
        return "size not known"
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count} bytes"


def fetch(items: Sequence[Item], environment: Environment) -> None:
    """Gets everything, one thing after another; what another process has got meanwhile is not fetched again.

    Raises `UserError` if there is no folder for it or no room, and what fetching a dataset or weights raises.
    """
    _require_folder(items)
    _require_space(items)
    findings = []
    try:
        with FetchDisplay(terminal.console) as display:
            for item in items:
                if item.kind == "dataset":
                    findings += data_rows.fetch(item.name, environment.data_root, None, display)
                else:
                    _fetch_weights(item.name, display)
    except KeyboardInterrupt:
        terminal.interrupted("the same command gets what is still lacking")
    for found in findings:
        show_findings(found)


def _fetch_weights(tag: str, display: FetchDisplay) -> None:
    display.note(f"{tag} from {hub.page(tag)}")
    hub_download.fetch(tag, lambda done, total: display.bytes(tag, done, total))


def _require_folder(items: Sequence[Item]) -> None:
    if any(item.folder is None for item in items):
        raise UserError("no data folder was given: name it with --data FOLDER or FGBENCH_DATA")


def _require_space(items: Sequence[Item]) -> None:
    """Before the first download, which may take hours. Datasets and weights may lie on one disk."""
    disks: dict[int, list[Item]] = {}
    for item in items:
        disks.setdefault(_existing(item.folder).stat().st_dev, []).append(item)
    for one in disks.values():
        if space(one) > (free := shutil.disk_usage(_existing(one[0].folder)).free):
            names = ", ".join(item.name for item in one)
            raise UserError(
                f"{one[0].folder}: {names} need {size(space(one))}, {size(free)} are free; make room or name another "
                "folder"
            )


def _existing(folder: Path | None) -> Path:
    """The folder, or the nearest above it that is there already."""
    place = (folder or Path()).resolve()
    return next(one for one in (place, *place.parents) if one.exists())
