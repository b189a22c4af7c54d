"""Weight files: where they lie, and what is known of each: the network's options and the scaling of its input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
import yaml

from methods.errors import BackboneError

SHIPPED_WEIGHTS = Path(__file__).parent / "weights"
"""Weight files of the project itself: small networks trained on its synthetic images."""

SUFFIXES = (".safetensors", ".pth.tar", ".pth", ".pt", ".bin", ".ckpt")
"""Of weight files. What a file is shows in its first bytes, not in its name (`methods.checkpoints`)."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class WeightFile:
    """A weight file and the SHA-256 of its bytes."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> WeightFile:
        """Hashes the file. Raises `BackboneError` if it can't be read."""
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BackboneError(f"{path}: weight file can't be read (it is a pipe or a device)")
        try:
            with path.open("rb") as file:
                return cls(path, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise BackboneError(f"{path}: weight file can't be read ({error.strerror})") from error

    @property
    def network_options(self) -> dict[str, Any]:
        """Options of the network that this file needs to give right features (`weights/known.yaml`); empty for most."""
        return dict(self._entry.get("options", {}))

    def scaling(self, name: str) -> tuple[Triple, Triple]:
        """Mean and standard deviation (RGB, 0 .. 1) to normalise images with for the network `name`.

        They are those of the file's entry in `weights/known.yaml`, or else those of timm's `pretrained_cfg` for the
        tag: of the file's name (`<model>.<tag>.safetensors`), of `name`, or timm's default tag of the network.
        """
        if known := self._entry.get("scaling"):
            return _triple(known["mean"]), _triple(known["std"])
        named = self._named
        cfg = _pretrained_cfg(named) if _model(named) == _model(name) else None
        cfg = cfg or _pretrained_cfg(name) or timm.models.PretrainedCfg()
        return _triple(cfg.mean), _triple(cfg.std)

    @property
    def _named(self) -> str:
        """Network and tag by the file's name: `resnet50.a1_in1k`."""
        return stem(self.path).partition("_to_")[0]

    @property
    def _entry(self) -> Mapping[str, Any]:
        """The file's entry in `weights/known.yaml`: by its bytes, or else by its tag."""
        return _known().get(self.sha256) or _known().get(self._named, {})


def options_of_tag(name: str) -> dict[str, Any]:
    """Options of the network that timm's own weights `name` (`inception_v3.tf_in1k`) need; empty for most."""
    return dict(_known().get(name, {}).get("options", {}))


@cache
def _known() -> Mapping[str, Mapping[str, Any]]:
    entries: Mapping[str, Mapping[str, Any]]
    entries = yaml.safe_load((SHIPPED_WEIGHTS / "known.yaml").read_text(encoding="utf-8"))
    return entries


def _pretrained_cfg(name: str) -> Any:
    """timm's, or None: for a tag that it does not know, and for a network that it has no weights of."""
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        return None


def _triple(values: Any) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue


def _model(name: str) -> str:
    return name.partition(".")[0]


def stem(path: Path) -> str:
    """The file's name without the suffix of a weight file: `resnet50.a1_in1k` of `resnet50.a1_in1k.pth.tar`."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), "")
    return path.name.removesuffix(suffix)


def find_weights(backbone: str, choice: str | Path, root: Path | None) -> WeightFile | None:
    """The weight file for a timm network.

    `choice` is `"none"` (random weights), the name of a file in `root` or among the shipped ones, the path of any
    file, or `"auto"`: the one file called `<backbone>.*` or `<backbone>_to_*`, or, if there is none,
    `<backbone>.<tag>.*` with any of timm's tags. Raises `BackboneError` unless exactly one file fits.
    """
    if choice == "none":
        return None
    if isinstance(choice, Path):
        return WeightFile.of(choice)
    files = list(_files(root))
    if choice == "auto":
        fits = [file for file in files if stem(file) == backbone or stem(file).startswith(f"{backbone}_to_")]
        fits = fits or [file for file in files if stem(file).startswith(f"{backbone}.")]
        wanted = f"weights for {backbone}"
    else:
        fits = [file for file in files if choice in (file.name, stem(file))]
        wanted = f"weight file {choice!r}"
    if len(fits) != 1:
        found = ", ".join(file.name for file in fits or files) or "nothing"
        problem = "several fit" if fits else "not there"
        raise BackboneError(
            f"{wanted}: {problem} (found: {found}); put the file in the folder given by --weights, name it (without "
            "its folder) with --set pretrained=FILE, or train from random weights with --set pretrained=none"
        )
    return WeightFile.of(fits[0])


def _files(root: Path | None) -> Iterator[Path]:
    for folder in (root, SHIPPED_WEIGHTS):
        if folder is not None and folder.is_dir():
            yield from (file for file in sorted(folder.iterdir()) if file.name.endswith(SUFFIXES))
