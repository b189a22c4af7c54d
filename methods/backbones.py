"""Backbones: any timm network, cut at named taps and filled from a local weight file; unfilled layers are reported.

Strides and `"final"` are read with timm's `forward_intermediates`, which every current timm family has; other modules
(`"Mixed_7a"`) with timm's torch.fx feature extraction. The attention of a Swin (`"attention"`) is read in the same pass
as the strides, by `methods.swin_attention`.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import create_feature_extractor
from torch import Tensor, nn

from methods import swin_attention
from methods.errors import BackboneError, unknown
from methods.interface import Tap

SHIPPED_WEIGHTS = Path(__file__).parent / "weights"
"""Weight files of the project itself: small networks trained on its synthetic images."""


@dataclass(frozen=True)
class WeightFile:
    """A weight file and the SHA-256 of its bytes."""

    path: Path
    sha256: str

    @classmethod
    def of(cls, path: Path) -> WeightFile:
        """Hashes the file. Raises `BackboneError` if it can't be read."""
        try:
            with path.open("rb") as file:
                return cls(path, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise BackboneError(f"{path}: weight file can't be read ({error.strerror})") from error

    @property
    def network_options(self) -> dict[str, Any]:
        """timm options that this file needs to give right features (`weights/known.yaml`); empty for most files."""
        known = yaml.safe_load((SHIPPED_WEIGHTS / "known.yaml").read_text(encoding="utf-8"))
        return dict(known.get(self.sha256, {}).get("options", {}))


def find_weights(backbone: str, choice: str | Path, root: Path | None) -> WeightFile | None:
    """The weight file for a timm network.

    `choice` is `"none"` (random weights), the name of a file in `root` or among the shipped ones, the path of any
    file, or `"auto"`: the one file called `<backbone>.*` or `<backbone>_to_*`. Raises `BackboneError` unless exactly
    one file fits.
    """
    if choice == "none":
        return None
    if isinstance(choice, Path):
        return WeightFile.of(choice)
    roots = [folder for folder in (root, SHIPPED_WEIGHTS) if folder is not None and folder.is_dir()]
    files = [
        file
        for folder in roots
        for file in sorted(folder.iterdir())
        if file.suffix in {".safetensors", ".pth", ".pt", ".bin"}
    ]
    if choice == "auto":
        fits = [file for file in files if file.stem == backbone or file.stem.startswith(f"{backbone}_to_")]
        wanted = f"weights for {backbone}"
    else:
        fits = [file for file in files if choice in (file.name, file.stem)]
        wanted = f"weight file {choice!r}"
    if len(fits) != 1:
        found = ", ".join(file.name for file in fits or files) or "nothing"
        problem = "several fit" if fits else "not there"
        raise BackboneError(
            f"{wanted}: {problem} (found: {found}); put the file in the folder given by --weights, name it (without "
            "its folder) with --set pretrained=FILE, or train from random weights with --set pretrained=none"
        )
    return WeightFile.of(fits[0])


def check_name(name: str) -> None:
    """Raises `BackboneError` with the nearest names if timm has no network `name`, or no weights of its tag."""
    if not timm.is_model(name):
        raise BackboneError(unknown("timm", "network", name, timm.list_models()))
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # a network, but the tag after the dot names none of its weights
        known = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
        raise BackboneError(unknown("timm", "network", name, known)) from error


@dataclass
class TimmBackbones:
    """A `BackboneSource` of timm networks that records what their weight files filled."""

    name: str
    image_size: int
    pretrained: str | Path = "none"
    """The `choice` of `find_weights`; a second network takes `"auto"`, or `"none"` if this is `"none"`."""
    weights_root: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """timm options of the Run's own network."""
    allow_unfilled: bool = False
    """Whether layers before a tap may stay random if the file does not hold them."""
    from_timm: bool = False
    """Whether timm fills the networks with weights that it downloads; `pretrained` is then not looked at."""
    loaded: dict[str, tuple[WeightFile, list[str]]] = field(default_factory=dict)
    """By network: its file, and the parameters that the file did not hold, before or after the taps."""

    def features(self, taps: Sequence[Tap], name: str | None = None) -> Backbone:
        """See `methods.interface.BackboneSource.features`."""
        name = name or self.name
        own = name == self.name
        choice = self.pretrained if own or self.pretrained == "none" else "auto"
        file = None if self.from_timm else find_weights(name, choice, self.weights_root)
        options = {**(file.network_options if file else {}), **(self.options if own else {})}
        net = create_network(name, self.image_size, options, self.from_timm)
        missing = fill(net, file.path) if file else []
        backbone = Backbone(net, taps, self.image_size, is_fixed_size(name))
        if file:
            self.loaded[name] = (file, missing)
            used = sorted(set(missing) & backbone.parameter_names())
            if used and not self.allow_unfilled:
                raise BackboneError(
                    f"{file.path.name} does not hold {len(used)} parameters of {name} before the tap "
                    f"{list(taps)} (first: {used[0]}); tap an earlier layer, take another weight file, or allow it "
                    "with --set allow_unfilled=true"
                )
        return backbone


def is_fixed_size(name: str) -> bool:
    """Whether the network is built for one image size (position tables, windows) rather than for any."""
    return bool(timm.get_pretrained_cfg_value(name, "fixed_input_size"))


def create_network(name: str, image_size: int, options: Mapping[str, Any], from_timm: bool = False) -> nn.Module:
    """A timm network without a classifier for square images of `image_size` pixels, its weights random or timm's."""
    check_name(name)
    options = dict(options)
    if is_fixed_size(name):
        options.setdefault("img_size", image_size)
    try:
        return timm.create_model(name, pretrained=from_timm, num_classes=0, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise BackboneError(f"timm can't build {name} for {image_size} px with {options}: {error}") from error
    except (OSError, RuntimeError) as error:
        if not from_timm:
            raise
        raise BackboneError(f"timm has no weights of {name} at hand ({error}); name a weight file instead") from error


def fill(net: nn.Module, file: Path) -> list[str]:
    """Loads a state dict (safetensors, or a pickle opened with `weights_only=True`) into `net`.

    Returns the names that the file does not hold. Raises `BackboneError` for a file that can't be read or is of another
    network.
    """
    try:
        state = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise BackboneError(f"{file}: is not a readable weight file; fetch it again") from error
    except Exception as error:  # unpickling raises many types; all mean the same to the user
        raise BackboneError(f"{file}: holds more than tensors and was not opened; save a plain state dict") from error
    for key in ("state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else None
    if not isinstance(state, dict):
        raise BackboneError(f"{file}: holds no state dict (names with tensors); save one with model.state_dict()")
    convert = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if convert is not None:  # timm's own: renames old checkpoints, resizes position tables
        state = convert(state, net)
    own = net.state_dict()
    common = {key for key in own if key in state}
    for key in sorted(common):
        if own[key].shape != state[key].shape:
            raise BackboneError(
                f"{file}: is of another network: {key} is {tuple(state[key].shape)} in the file, "
                f"{tuple(own[key].shape)} in {type(net).__name__}"
            )
    weights = {key for key in own if not key.endswith("num_batches_tracked")}
    if len(common & weights) < len(weights) / 4:
        raise BackboneError(
            f"{file}: is of another network: it fills {len(common & weights)} of the {len(weights)} tensors of "
            f"{type(net).__name__}"
        )
    net.load_state_dict({key: state[key] for key in common}, strict=False)
    return sorted(weights - common)


class Backbone(nn.Module):
    """A network cut at `taps`: images `(B, 3, H, W)` -> list of maps `(B, C, h, w)` in the order of the taps."""

    is_backbone = True

    def __init__(self, net: Any, taps: Sequence[Tap], image_size: int, fixed_size: bool) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.net: Any  # timm's networks answer to more than nn.Module declares
        strides = [info["reduction"] for info in net.feature_info]
        modules = [info["module"] for info in net.feature_info]
        self.attention_taps = [tap for tap in self.taps if tap in swin_attention.TAPS]
        if self.attention_taps:  # before the strides are checked: that the network is no Swin is the clearer error
            swin_attention.keep(net)
        absent = [tap for tap in self.taps if isinstance(tap, int) and tap not in strides]
        if absent:
            raise BackboneError(f"{type(net).__name__} has no map of stride {absent[0]}; it has {sorted(set(strides))}")
        # The deepest map of a stride is the one papers mean: relu5_3 of VGG-16, Mixed_6e of Inception-v3.
        self.deepest: dict[Tap, int] = {stride: index for index, stride in enumerate(strides)}
        self.by_module = any(isinstance(tap, str) and tap not in ("final", *swin_attention.TAPS) for tap in self.taps)
        if self.by_module:
            self.nodes = [modules[self.deepest[tap]] if isinstance(tap, int) else tap for tap in self.taps]
            self.net = _extract(net, self.nodes)
        else:
            self.depths = sorted({self.deepest[tap] for tap in self.taps if isinstance(tap, int)})
            self.net = net
        self.channels = self._cut(torch.zeros(1, 3, *[image_size if fixed_size else min(image_size, 128)] * 2))

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.by_module:
            by_node = self.net(images)
            return [by_node[node] for node in self.nodes]
        maps: dict[Tap, Tensor] = {}
        intermediates: list[Tensor] = []
        if not self.depths:
            maps["final"] = self._as_map(self.net.forward_features(images))
        elif "final" in self.taps or self.attention_taps:
            final, intermediates = self.net.forward_intermediates(images, indices=self.depths, output_fmt="NCHW")
            maps["final"] = self._as_map(final)
        else:
            intermediates = self.net.forward_intermediates(
                images, indices=self.depths, output_fmt="NCHW", intermediates_only=True, stop_early=True
            )
        by_depth = dict(zip(self.depths, intermediates, strict=True))
        maps |= {tap: by_depth[self.deepest[tap]] for tap in self.taps if isinstance(tap, int)}
        if self.attention_taps:
            maps |= swin_attention.read(self.net, self.attention_taps, maps["final"].shape[2:])
        return [maps[tap] for tap in self.taps]

    def parameter_names(self) -> set[str]:
        """Names of the tensors that the taps depend on, as the whole network calls them."""
        return set(self.net.state_dict())

    def _as_map(self, features: Tensor) -> Tensor:
        """timm's final features, whatever their layout, as `(B, C, h, w)`."""
        if features.ndim == 3:  # tokens (B, N, C), class tokens first; they form a square because images are square
            tokens = features[:, getattr(self.net, "num_prefix_tokens", 0) :]
            return tokens.transpose(1, 2).unflatten(2, [math.isqrt(tokens.shape[1])] * 2)
        layout = str(getattr(self.net, "output_fmt", "NCHW"))
        return features.permute(0, 3, 1, 2) if layout == "NHWC" else features

    def _cut(self, image: Tensor) -> tuple[int, ...]:
        """Passes one image through, drops the modules that no tap depends on, and returns the channels of each tap.

        Raises `BackboneError` if the network gives no maps for such an image.
        """
        self.eval()
        with torch.enable_grad():
            try:
                maps = self(image)
            except Exception as error:  # networks raise all kinds of errors here
                raise BackboneError(
                    f"{type(self.net).__name__} gives no maps at {list(self.taps)} of an image of {image.shape[3]} px "
                    f"({error}); take another tap, image size or network"
                ) from error
            torch.stack([one.sum() for one in maps]).sum().backward()
        flat = [tap for tap, one in zip(self.taps, maps, strict=True) if one.ndim != 4]
        if flat:
            raise BackboneError(f"tap {flat[0]!r} gives no spatial map (B, C, h, w)")
        dropped: dict[str, nn.Module] = {}
        for name, module in list(self.net.named_modules()):
            parameters = list(module.parameters())
            if name.startswith(tuple(f"{one}." for one in dropped)) or not name or not parameters:
                continue
            if all(parameter.grad is None for parameter in parameters):
                self.net.set_submodule(name, nn.Identity())
                dropped[name] = module
        self.zero_grad(set_to_none=True)
        if dropped:
            try:
                self(image)
            except Exception:  # it still calls them, unused, as HRNet does with its last stage
                for name, module in dropped.items():
                    self.net.set_submodule(name, module)
        self.train()
        return tuple(one.shape[1] for one in maps)


def _extract(net: nn.Module, nodes: list[str]) -> nn.Module:
    """`net` cut after its modules `nodes`; everything after the last one is dropped."""
    names = dict(net.named_modules())
    for node in nodes:
        if node not in names:
            raise BackboneError(unknown(type(net).__name__, "module", node, names))
    try:
        return create_feature_extractor(net, {node: node for node in nodes})
    except Exception as error:  # torch.fx raises many types that mean nothing to the user
        message = f"{type(net).__name__} can't be cut at {nodes} (torch.fx: {error}); use a stride"
        raise BackboneError(message) from error
