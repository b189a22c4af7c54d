"""Backbones: any timm network, cut at named taps and filled from a local weight file; unfilled layers are reported.

`methods.networks` builds the whole network, `methods.weight_files` finds the file, `methods.checkpoints` reads it.

Strides and `"final"` are read with timm's `forward_intermediates`, which every current timm family has; `"pooled"` and
`"classified"` with its `forward_head`; other modules (`"Mixed_7a"`) with timm's torch.fx feature extraction. The
attention of a Swin (`"attention"`) and its merged patches (`"merged_8"`) are read in the same pass as the strides, by
`methods.transformers.swin_attention` and `swin_merging`; tokens are given by `methods.transformers.tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import torch
from timm.models import create_feature_extractor
from torch import Tensor, nn

from methods import activation_checkpointing
from methods.checkpoints import LEAST, weights_of
from methods.errors import BackboneError, unknown
from methods.interface import Tap
from methods.networks import check_patches, create_network, is_fixed_size
from methods.tags import split_tag
from methods.transformers import swin_attention, swin_merging
from methods.transformers.tokens import TokenBackbone
from methods.weight_files import Triple, WeightFile, find_weights, options_of_tag

Cut = TypeVar("Cut", "Backbone", TokenBackbone)

ENDS = ("final", "pooled", "classified")
"""Taps of what the whole network gives."""


class Loaded(NamedTuple):
    """What became of a weight file."""

    file: WeightFile
    unfilled: list[str]
    """Parameters of the network that the file does not hold, before or after the taps."""
    taken: str
    """Where in the file the weights were, in words; empty for a plain state dict."""


@dataclass
class TimmBackbones:
    """A `BackboneSource` of timm networks that records what their weight files filled."""

    network: str
    """timm's name, with or without a tag."""
    image_size: int
    pretrained: str | Path = "none"
    """The `choice` of `find_weights`; a second network takes `"auto"`, or `"none"` if this is `"none"`."""
    weights_root: Path | None = None
    options: Mapping[str, Any] | None = None
    """All options of the Run's own network: timm's, and those of `methods.network_options`. None: those that its
    weights need."""
    second_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same of further networks, by their names; those that their weights need where there are none."""
    allow_unfilled: bool = False
    """Whether layers before a tap may stay random if the file does not hold them."""
    from_timm: bool = False
    """Whether timm fills the networks with weights that it downloads; `pretrained` is then not looked at."""
    scaling: tuple[Triple, Triple] | None = None
    """Mean and standard deviation that the images are normalised with; None: not known. A second network must take them
    too."""
    checkpointing: bool = False
    """Whether activations are computed again in the backward pass (`methods.activation_checkpointing`)."""
    loaded: dict[str, Loaded] = field(default_factory=dict)
    """What became of the file of each network."""

    @property
    def name(self) -> str:
        """See `methods.interface.BackboneSource.name`."""
        return split_tag(self.network)[0]

    def features(self, taps: Sequence[Tap], name: str | None = None) -> Backbone:
        """See `methods.interface.BackboneSource.features`."""
        name = self._network(name)
        return self._filled(
            name, f"the tap {list(taps)}", lambda net: Backbone(net, taps, self.image_size, is_fixed_size(name))
        )

    def tokens(
        self,
        after: Sequence[int] | None = (),
        attention: Sequence[int] | None = (),
        rest: int = 0,
        name: str | None = None,
        queries: Sequence[int] | None = (),
    ) -> TokenBackbone:
        """See `methods.interface.BackboneSource.tokens`."""
        name = self._network(name)
        return self._filled(
            name, "its last tokens", lambda net: TokenBackbone(net, after, attention, rest, self.image_size, queries)
        )

    def _network(self, name: str | None) -> str:
        """The network that a method asks for by this name; the Run's own keeps its tag."""
        return self.network if name is None or name == self.name else name

    def _filled(self, name: str, taps: str, cut: Callable[[nn.Module], Cut]) -> Cut:
        """The network `name` with its weights, cut; `taps` are where, in words."""
        own = name == self.network
        choice = self.pretrained if own or self.pretrained == "none" else "auto"
        file = None if self.from_timm else find_weights(name, choice, self.weights_root)
        options = self.options if own else self.second_options.get(name)
        if options is None:
            options = options_of_tag(name) if self.from_timm else file.network_options if file else {}
        net = create_network(name, self.image_size, options, self.from_timm)
        check_patches(name, net, self.image_size)
        missing, taken = fill(net, file.path) if file else ([], "")
        backbone = cut(net)
        if self.checkpointing:
            backbone.checkpoint_activations()
        if file:
            self.loaded[name] = Loaded(file, missing, taken)
            self._check_filled(name, backbone, taps)
            self._check_scaling(name, file)
        return backbone

    def _check_filled(self, name: str, backbone: Backbone | TokenBackbone, taps: str) -> None:
        """Raises `BackboneError` if a layer before a tap is random, or not finite."""
        file, missing, _ = self.loaded[name]
        used = sorted(set(missing) & backbone.parameter_names())
        if used and not self.allow_unfilled:
            raise BackboneError(
                f"{file.name} does not hold {len(used)} parameters of {name} before {taps} "
                f"(first: {used[0]}); tap an earlier layer, take another weight file, or allow it "
                "with --set allow_unfilled=true"
            )
        broken = [key for key, value in backbone.net.state_dict().items() if not value.isfinite().all()]
        if broken:
            raise BackboneError(
                f"{file.name}: {len(broken)} tensors of {name} hold NaN or infinite values (first: {broken[0]}); "
                "the training that wrote them diverged, or the file is damaged: take another one"
            )

    def _check_scaling(self, name: str, file: WeightFile) -> None:
        if name != self.network and self.scaling is not None and file.scaling(name) != self.scaling:
            raise BackboneError(
                f"{file.name}: {name} takes images of mean and standard deviation {file.scaling(name)}, but this "
                f"Run's images have {self.scaling}, as {self.network} takes them; take a second network that agrees"
            )


def fill(net: nn.Module, file: Path) -> tuple[list[str], str]:
    """Loads a weight file into `net`.

    Returns the names that the file does not hold, and where in the file the weights were (`methods.checkpoints`; empty
    for a plain state dict). A network on the meta device has no values to fill: that the file fits is all that is found
    out, and quickly. Raises `BackboneError` for a file that can't be read or is of another network.
    """
    state, taken = weights_of(file, net)
    own = net.state_dict()
    common = {key for key in own if key in state}
    for key in sorted(common):
        if own[key].shape != state[key].shape:
            raise BackboneError(
                f"{file}: is of another network: {key} is {tuple(state[key].shape)} in the file, "
                f"{tuple(own[key].shape)} in {type(net).__name__}"
            )
    weights = {key for key in own if not key.endswith("num_batches_tracked")}
    if len(common & weights) < LEAST * len(weights):
        raise BackboneError(
            f"{file}: is of another network: it fills {len(common & weights)} of the {len(weights)} tensors of "
            f"{type(net).__name__} (it has names such as {next(iter(state))!r}, the network {next(iter(own))!r}); "
            "take a file that timm wrote (docs/data.md#weights)"
        )
    if not any(value.is_meta for value in own.values()):
        net.load_state_dict({key: state[key] for key in common}, strict=False)
    return sorted(weights - common), taken


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
        self.merged_taps = [tap for tap in self.taps if tap in swin_merging.TAPS]
        if self.merged_taps:
            swin_merging.keep(net, self.merged_taps)
        absent = [tap for tap in self.taps if isinstance(tap, int) and tap not in strides]
        if absent:
            raise BackboneError(f"{type(net).__name__} has no map of stride {absent[0]}; it has {sorted(set(strides))}")
        # The deepest map of a stride is the one papers mean: relu5_3 of VGG-16, Mixed_6e of Inception-v3.
        self.deepest: dict[Tap, int] = {stride: index for index, stride in enumerate(strides)}
        self.by_module = cut_by_module(self.taps)
        self.channels_last = str(getattr(net, "output_fmt", "NCHW")) == "NHWC"
        if self.by_module:
            self.nodes = [modules[self.deepest[tap]] if isinstance(tap, int) else tap for tap in self.taps]
            self.net = _extract(net, self.nodes)
        else:
            self.depths = sorted({self.deepest[tap] for tap in self.taps if isinstance(tap, int)})
            self.net = net
        self.image_size = image_size
        self.channels = self._cut(torch.zeros(1, 3, *[image_size if fixed_size else min(image_size, 128)] * 2))

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.by_module:
            by_node = self.net(images)
            found = [by_node[node] for node in self.nodes]
            return [one.permute(0, 3, 1, 2) for one in found] if self.channels_last else found
        maps: dict[Tap, Tensor] = {}
        intermediates: list[Tensor] = []
        if not self.depths:
            maps = self._ends(self.net.forward_features(images))
        elif self.attention_taps or self.merged_taps or any(tap in ENDS for tap in self.taps):
            final, intermediates = self.net.forward_intermediates(images, indices=self.depths, output_fmt="NCHW")
            maps = self._ends(final)
        else:
            intermediates = self.net.forward_intermediates(
                images, indices=self.depths, output_fmt="NCHW", intermediates_only=True, stop_early=True
            )
        by_depth = dict(zip(self.depths, intermediates, strict=True))
        maps |= {tap: by_depth[self.deepest[tap]] for tap in self.taps if isinstance(tap, int)}
        if self.attention_taps:
            maps |= swin_attention.read(self.net, self.attention_taps, maps["final"].shape[2:])
        if self.merged_taps:
            maps |= swin_merging.read(self.net, self.merged_taps)
        return [maps[tap] for tap in self.taps]

    @torch.no_grad()
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """See `methods.interface.FeatureExtractor.sizes`; passes one image through."""
        device, training = next(self.parameters()).device, self.training
        maps = self.eval()(torch.zeros(1, 3, self.image_size, self.image_size, device=device))
        self.train(training)
        return tuple((one.shape[2], one.shape[3]) for one in maps)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What torch calls to move a module: the way in which a Swin attends depends on the device."""
        moved = super()._apply(fn, recurse)
        swin_attention.fuse(self.net)
        return moved

    def parameter_names(self) -> set[str]:
        """Names of the tensors that the taps depend on, as the whole network calls them."""
        return set(self.net.state_dict())

    def checkpoint_activations(self) -> None:
        """Computes the activations of the network's blocks again in the backward pass, in place of keeping them.

        Raises `BackboneError` if the network can't. Blocks whose attention is read are computed once.
        """
        require_blocks(self.taps)
        read = swin_attention.last_stage(self.net) if self.attention_taps else []
        activation_checkpointing.apply(self.net, read)

    def _ends(self, features: Tensor) -> dict[Tap, Tensor]:
        """What the taps that are `ENDS` give, and `"final"`, of timm's final features."""
        maps: dict[Tap, Tensor] = {"final": self._as_map(features)}
        tokens = features.ndim == 3
        if "pooled" in self.taps or (tokens and "classified" in self.taps):
            maps["pooled"] = self.net.forward_head(features, pre_logits=True)[:, :, None, None]
        if "classified" in self.taps:
            maps["classified"] = maps["pooled" if tokens else "final"]
        return maps

    def _as_map(self, features: Tensor) -> Tensor:
        """timm's final features, whatever their layout, as `(B, C, h, w)`."""
        if features.ndim == 3:  # tokens (B, N, C), class tokens first; they form a square because images are square
            tokens = features[:, getattr(self.net, "num_prefix_tokens", 0) :]
            return tokens.transpose(1, 2).unflatten(2, [math.isqrt(tokens.shape[1])] * 2)
        return features.permute(0, 3, 1, 2) if self.channels_last else features

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


def cut_by_module(taps: Sequence[Tap]) -> bool:
    """Whether a network with these taps is cut by torch.fx."""
    named = (*ENDS, *swin_attention.TAPS, *swin_merging.TAPS)
    return any(isinstance(tap, str) and tap not in named for tap in taps)


def require_blocks(taps: Sequence[Tap]) -> None:
    """Raises `BackboneError` if torch.fx cuts a network with these taps: it leaves operations, and no blocks."""
    if cut_by_module(taps):
        raise BackboneError(
            f"a network cut at {list(taps)} has no blocks whose activations can be checkpointed; leave checkpointing "
            "out, or tap strides"
        )


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
