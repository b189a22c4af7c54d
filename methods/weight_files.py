"""Weight files: where they lie, and what is known of each: the network's options and the scaling of its input.

A file lies in a folder that the user names, comes with the project, or lies in the cache of the Hugging Face Hub
(`methods.hub`), where it has the name that it would have in a folder: nothing of a Run depends on where its file lies.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
import yaml

from methods import hub
from methods.errors import BackboneError, MissingWeights
from methods.tags import split_tag

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
    name: str
    """What Runs call it: the name that it has in a folder of weights."""

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> WeightFile:
        """Hashes the file. Raises `BackboneError` if it can't be read."""
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BackboneError(f"{path}: weight file can't be read (it is a pipe or a device)")
        try:
            facts = path.stat()
            sha256 = _sha256(path, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        except OSError as error:
            raise BackboneError(f"{path}: weight file can't be read ({error.strerror})") from error
        return cls(path, sha256, name or path.name)

    @classmethod
    def awaited(cls, name: str) -> WeightFile:
        """Of weights that are not here yet, by the name that was asked for: with options and scaling, without bytes."""
        file = name if name.endswith(SUFFIXES) else name + SUFFIXES[0]
        return cls(Path(file), "", file)

    @property
    def origin(self) -> dict[str, str]:
        """`repository` and `revision` (a commit) on the hub, of a file that came from there."""
        place, commit = hub.repository(self._named), hub.revision(self.path)
        return {"repository": place.id, "revision": commit} if place and commit else {}

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
        cfg = _pretrained_cfg(named) if split_tag(named)[0] == split_tag(name)[0] else None
        cfg = cfg or _pretrained_cfg(name) or timm.models.PretrainedCfg()
        return _triple(cfg.mean), _triple(cfg.std)

    @property
    def _named(self) -> str:
        """Network and tag by the file's name: `resnet50.a1_in1k`."""
        return stem(self.name).partition("_to_")[0]

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


def stem(name: str) -> str:
    """A file's name without the suffix of a weight file: `resnet50.a1_in1k` of `resnet50.a1_in1k.pth.tar`."""
    return name.removesuffix(next((suffix for suffix in SUFFIXES if name.endswith(suffix)), ""))


def find_weights(backbone: str, choice: str | Path, root: Path | None) -> WeightFile | None:
    """The weight file for a timm network, with its hash; see `locate`."""
    found = locate(backbone, choice, root)
    return WeightFile.of(found[1], found[0]) if found else None


def locate(backbone: str, choice: str | Path, root: Path | None) -> tuple[str, Path] | None:
    """The name and the path of the weight file for a timm network.

    `choice` is `"none"` (random weights), the path of a file, or a name: of a file in `root` or among the shipped ones,
    with or without its suffix, or of timm's weights (`resnet50.tv_in1k`) in the cache of the hub. `"auto"` is the one
    file called `<backbone>.*` or `<backbone>_to_*`, or, if there is none, `<backbone>.<tag>.*` with any of timm's tags;
    a folder comes before the cache. Uses no network. Raises `MissingWeights` if no file fits, `BackboneError` if
    several do.
    """
    if choice == "none":
        return None
    if isinstance(choice, Path):
        return choice.name, choice
    fits = _named_after(backbone, root) if choice == "auto" else _called(choice, root)
    wanted = f"weights for {backbone}" if choice == "auto" else f"weight file {choice!r}"
    if len(fits) > 1:
        raise BackboneError(f"{wanted}: several fit ({', '.join(fits)}); name one with --set pretrained=FILE")
    if not fits:
        tag = hub.default_tag(backbone) if choice == "auto" else stem(choice)
        raise _missing(wanted, backbone, tag if tag and hub.is_tag(tag) else None, root)
    return next(iter(fits.items()))


def _named_after(backbone: str, root: Path | None) -> dict[str, Path]:
    """Files whose name says that they are the network's."""
    files = files_here(root)
    exact = {name: file for name, file in files.items() if re.match(rf"{re.escape(backbone)}(_to_|$)", stem(name))}
    tagged = {name: file for name, file in files.items() if name.startswith(f"{backbone}.")}
    return exact or tagged or _cached([backbone] if hub.is_tag(backbone) else hub.tags_of(backbone))


def _called(choice: str, root: Path | None) -> dict[str, Path]:
    files = {name: file for name, file in files_here(root).items() if choice in (name, stem(name))}
    return files or _cached([choice.removesuffix(SUFFIXES[0])])


def _cached(tags: Iterable[str]) -> dict[str, Path]:
    """The files of timm's weights that are in the cache of the hub, by the names that they have in a folder."""
    found = {f"{tag}{SUFFIXES[0]}": hub.cached(tag) for tag in tags if hub.is_tag(tag)}
    return {name: file for name, file in found.items() if file}


def _missing(wanted: str, backbone: str, tag: str | None, root: Path | None) -> MissingWeights:
    """Says where a file belongs, how it comes there, and what else is here for the network."""
    folder = f"{root} (--weights)" if root else "a folder that --weights or FGBENCH_WEIGHTS names"
    network, _ = split_tag(backbone)
    others = [name for name in files_here(root) if re.match(rf"{re.escape(network)}(\.|_to_)", name)]
    other = f"; --set pretrained={others[0]} takes another" if others else ""
    if tag is None:
        found = ", ".join(files_here(root)) or "nothing"
        return MissingWeights(
            f"{wanted}: not there (found: {found}); put the file into {folder}{other}, "
            "or train from random weights with --set pretrained=none",
            None,
        )
    about = f" ({text})" if (text := hub.about(hub.size(tag))) else ""
    how = f"weights fetch {tag} gets it{about}" if hub.repository(tag) else f"download {hub.address(tag)}"
    named = f"put {tag}{SUFFIXES[0] if hub.repository(tag) else Path(hub.address(tag) or '').suffix} into {folder}"
    return MissingWeights(f"{wanted}: not there; {how}, or {named}{other}; --set pretrained=none trains without", tag)


def files_here(root: Path | None) -> dict[str, Path]:
    """The weight files of the user's folder and of the project by their names; of two, the user's."""
    folders = [folder for folder in (SHIPPED_WEIGHTS, root) if folder is not None and folder.is_dir()]
    files = (file for folder in folders for file in sorted(folder.iterdir()) if file.name.endswith(SUFFIXES))
    return {file.name: file for file in files}


@cache
def _sha256(path: Path, *state: int) -> str:
    """Of the file's bytes; `state` is what changes with them. A plan asks for the same file for each of its Runs."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
