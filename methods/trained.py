"""Trained networks as files: a folder with `model.safetensors` and `config.json`, or a Run's; read, and built again.

`config.json` is timm's where timm's own network computes the same; its part `fgbench` (`Trained`) is all that is read
here. `benchmarks/sharing` writes such a folder. Both files are data: JSON and tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import methods
from methods.backbones import TimmBackbones
from methods.errors import BackboneError
from methods.interface import Method
from methods.weight_files import WeightFile

CONFIG, MODEL = "config.json", "model.safetensors"
"""Files of a shared folder."""
RECORD, WEIGHTS = "record.json", "weights.safetensors"
"""Files of a Run's folder."""
OURS = "fgbench"
"""The key in `config.json` of what fgbench needs."""
LARGEST = 2**26
"""Bytes of a `config.json`; 64 MB hold a million class names."""
BACKBONE, HEAD = "backbone.net.", "head."
"""What names of tensors begin with in a method that is one backbone and one linear layer."""

Pixels = Annotated[int, Field(ge=8, le=8192)]
Colour = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Deviation = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]

_REFUSALS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError, MemoryError)
"""What methods raise for options that they can't have."""


class Trained(BaseModel):
    """How a trained network is built, and what its images are. A record that leaves a setting out means its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal[1] = 1
    """Version of this form. Raised when an earlier fgbench would misread a folder."""
    method: str
    variant: str = "paper"
    options: dict[str, Any] = {}
    """The method's constructor options, those of the variant included."""
    backbone: str
    """timm name."""
    backbone_options: dict[str, Any] = {}
    second_options: dict[str, dict[str, Any]] = {}
    """Of the method's further networks: timm name -> options."""
    class_names: Annotated[list[str], Field(min_length=1, max_length=10**6)]
    """In the order of the logits."""
    image_size: Pixels
    """Pixels of the square that the network sees: the centre of the resized image."""
    stored_size: Pixels
    """Pixels that images are resized to first: both sides (`squash`) or the short one (`short_side`)."""
    resize: Literal["squash", "short_side"] = "squash"
    mean: tuple[Colour, Colour, Colour] = (0.485, 0.456, 0.406)
    std: tuple[Deviation, Deviation, Deviation] = (0.229, 0.224, 0.225)
    """Images are normalised with these: `(pixels - mean) / std`, RGB in 0 .. 1."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """In which it was trained and evaluated; the weights are float32."""
    linear: str | None = None
    """timm's name of the linear layer, where `model.safetensors` has timm's names; else it has the method's own."""
    sha256: str | None = None
    """Of `model.safetensors`. None: not known, as in records from before checksums."""


def is_trained(path: Path) -> bool:
    """Whether `path` is a folder with a trained network, or a weight file in one, judged by names."""
    folder = path.parent if path.suffix == ".safetensors" else path
    return any((folder / name).is_file() for name in (RECORD, CONFIG))


def load(path: Path) -> tuple[Trained, Method]:
    """The trained network in a folder, its `.safetensors` file, or a Run's folder; in evaluation mode on the CPU.

    Its logits are those of the Run that made it, in the Run's `precision`. Raises `BackboneError` for what is no such
    thing, is damaged, or needs a method, option or network that is not here.
    """
    folder = path.parent if path.suffix == ".safetensors" else path
    trained = read(folder)
    file = path if folder != path else folder / (WEIGHTS if (folder / RECORD).is_file() else MODEL)
    method = _built(trained, folder)
    state = _tensors(file, trained.sha256)
    try:
        method.load_state_dict(own_names(state, trained.linear) if trained.linear else state)
    except RuntimeError as error:
        fault = "does not fit the current method, or is damaged; use the version of fgbench that wrote it"
        raise BackboneError(f"{file}: {fault}") from error
    return trained, method.eval()


def read(folder: Path) -> Trained:
    """What the folder's `record.json` says, or else its `config.json`. Raises `BackboneError`."""
    values: Any
    if (file := folder / RECORD).is_file():
        values = of_record(_json(file))
    elif (file := folder / CONFIG).is_file():
        values = _json(file).get(OURS)
        if not isinstance(values, dict):
            reason = "was not written by fgbench; if it is timm's, load it with timm.create_model('local-dir:FOLDER')"
            raise BackboneError(f"{file}: {reason}")
        if isinstance(form := values.get("form"), int) and form > 1:
            raise BackboneError(f"{file}: was written by a newer fgbench (form {form}); update this checkout")
    else:
        raise BackboneError(f"{folder}: holds no trained network: neither {CONFIG} nor {RECORD} is there")
    try:
        return Trained.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise BackboneError(f"{file}: describes no trained network ({place}: {first['msg']})") from error


def of_record(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a `Trained` in those of a record. What is missing or of another kind is left out."""
    run, split, checksums = (_part(values, name) for name in ("run", "split", "checksums"))
    recipe, scaling = _part(run, "recipe"), _part(run, "scaling")
    files = [one for one in values.get("weights") or () if isinstance(one, Mapping)]
    own = ("method", "variant", "options", "backbone", "backbone_options", "precision")
    found = {name: run.get(name) for name in own}
    found |= {name: recipe.get(name) for name in ("image_size", "stored_size", "resize")}
    found |= {name: scaling.get(name) for name in ("mean", "std")}
    found |= {"class_names": split.get("class_names"), "sha256": checksums.get(WEIGHTS)}
    found["second_options"] = _second_options(files, run.get("backbone"))
    return {name: value for name, value in found.items() if value is not None}


def _second_options(files: Iterable[Mapping[str, Any]], backbone: object) -> dict[str, dict[str, Any]]:
    """Options that the weights of further networks needed: timm name -> options."""
    texts = [[str(one.get(key)) for key in ("backbone", "file", "sha256")] for one in files]
    options = {
        name: WeightFile(Path(file), sha256, file).network_options for name, file, sha256 in texts if name != backbone
    }
    return {name: needed for name, needed in options.items() if needed}


def timm_names(state: Mapping[str, Tensor], linear: str) -> dict[str, Tensor]:
    """Tensors of a method that is one backbone and one linear layer, under the names of timm's whole network."""
    return {
        f"{linear}.{name.removeprefix(HEAD)}" if name.startswith(HEAD) else name.removeprefix(BACKBONE): value
        for name, value in state.items()
    }


def own_names(state: Mapping[str, Tensor], linear: str) -> dict[str, Tensor]:
    """The reverse of `timm_names`."""
    return {
        f"{HEAD}{name.removeprefix(f'{linear}.')}" if name.startswith(f"{linear}.") else f"{BACKBONE}{name}": value
        for name, value in state.items()
    }


def _built(trained: Trained, folder: Path) -> Method:
    """The method with random weights."""
    source = TimmBackbones(
        trained.backbone,
        trained.image_size,
        options=trained.backbone_options,
        second_options=trained.second_options,
    )
    try:
        return methods.load(trained.method)(source, len(trained.class_names), **trained.options)
    except _REFUSALS as error:
        reason = " ".join(str(error).split())[:300]
        raise BackboneError(f"{folder}: can't be built here ({reason}); use the fgbench that wrote it") from error


def _tensors(file: Path, sha256: str | None) -> dict[str, Tensor]:
    """Of a safetensors file. Raises `BackboneError`, also if the file is not the one that is described."""
    if not file.is_file():
        raise BackboneError(f"{file}: is missing, or no plain file; fetch it again")
    if sha256 is not None and WeightFile.of(file).sha256 != sha256:
        raise BackboneError(f"{file}: is not the file that was stored with its settings (SHA-256); fetch it again")
    try:
        return load_file(file)
    except OSError as error:
        raise BackboneError(f"{file}: can't be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError) as error:
        raise BackboneError(f"{file}: is damaged, or no safetensors file; fetch it again") from error


def _json(file: Path) -> dict[str, Any]:
    """The object that a file holds. Raises `BackboneError`."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        values = json.loads(content) if len(content) <= LARGEST else None
    except OSError as error:
        raise BackboneError(f"{file}: can't be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"{file}: is damaged, or no JSON; fetch it again") from error
    if not isinstance(values, dict):
        raise BackboneError(f"{file}: holds no settings; fetch it again")
    return values


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    return part if isinstance(part, Mapping) else {}
