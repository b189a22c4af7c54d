"""A trained Run as a folder that anybody can load: `model.safetensors`, `config.json` and a model card."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from benchmarks.errors import UserError
from benchmarks.sharing import timm_form
from benchmarks.sharing.model_card import model_card
from benchmarks.training.networks.build_method import state_on_cpu
from benchmarks.training.networks.trained_run import find_run, folder_with_weights
from methods import trained
from methods.trained import CONFIG, MODEL, OURS, timm_names
from results.files import sweep, write_whole
from results.integrity import file_checksum
from results.publish import stored_files
from results.store import ResultStore

CARD = "README.md"


def share(store: ResultStore, run_id: str, folder: Path) -> bool:
    """Writes a trained Run to `folder`; returns whether timm loads it without fgbench.

    `run_id` may be the beginning of an id. The folder is new, or an earlier one of these. `config.json` is written
    last: without it there is no network in the folder. Raises `UserError` for a Run without weights and for a folder
    with other files, `ResultsError` for stored files that can't be trusted, and if nothing can be written.
    """
    record = find_run(store, run_id, "train")
    folder_of_run = folder_with_weights(store, record)
    stored_files(store, record.id)
    known, method = trained.load(folder_of_run)
    linear = timm_form.linear_layer(known, method)
    state = dict(state_on_cpu(method))
    _prepare(folder)
    checksums: list[str] = []

    def write(path: Path) -> None:
        save_file(timm_names(state, linear) if linear else state, path, metadata={"format": "pt"})
        checksums.append(file_checksum(path))  # before another command can put its own file in this one's place

    write_whole(folder / MODEL, write, option="--share")
    described = known.model_copy(update={"linear": linear, "sha256": checksums[-1]})
    config: dict[str, Any] = timm_form.settings(known, linear) if linear else {}
    config[OURS] = described.model_dump(mode="json", exclude_none=True)
    seeds = [one for one in store.records() if one.experiment == record.experiment and one.status == "done"]
    for name, text in {
        CARD: model_card(record, seeds, linear is not None),
        CONFIG: json.dumps(config, indent=2),
    }.items():
        write_whole(folder / name, partial(Path.write_text, data=f"{text}\n", encoding="utf-8"), option="--share")
    return linear is not None


def _prepare(folder: Path) -> None:
    """Makes the folder, and takes the network out of an earlier one. Raises `UserError` for one with other files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))  # .git of a hub's clone
        other = [name for name in names if name not in (CARD, CONFIG, MODEL)]
        if other:
            raise UserError(f"{folder}: holds other files ({other[0]}); name a new folder with --share")
        sweep(folder)  # only now: in another folder, files with such names are not ours
        (folder / CONFIG).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror}); name another folder with --share") from error
