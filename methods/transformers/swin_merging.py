"""The maps of a Swin right behind its patch merging, before the stage's blocks, kept in the pass that makes them.

They add taps to a backbone, each a map `(B, C, h, w)`: `"merged_8"`, `"merged_16"` and `"merged_32"`, by stride. timm
merges patches where a stage begins, other code where one ends, so there they are the maps of the stage before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn

from methods.errors import BackboneError
from methods.interface import Tap

TAPS: tuple[Tap, ...] = ("merged_8", "merged_16", "merged_32")


def keep(net: nn.Module, taps: Sequence[Tap]) -> None:
    """Makes the merging layers of these taps keep their map. Raises `BackboneError` for a network that isn't a Swin."""
    if not isinstance(net, SwinTransformer | SwinTransformerV2):
        raise BackboneError(
            f"{type(net).__name__} is no Swin Transformer: it has no merged patches ({', '.join(map(str, taps))}); tap "
            "strides, or choose a Swin (swin_large_patch4_window12_384, swin_tiny_patch4_window7_224 …)"
        )
    for tap in taps:
        merging(net, tap).register_forward_hook(_kept)


def read(net: nn.Module, taps: Sequence[Tap]) -> dict[Tap, Tensor]:
    """The maps `(B, C, h, w)` of the last forward pass."""
    maps: dict[Tap, Tensor] = {}
    for tap in taps:
        layer = merging(net, tap)
        maps[tap] = layer.kept.permute(0, 3, 1, 2)
        layer.kept = None
    return maps


def merging(net: Any, tap: Tap) -> Any:
    """The layer that merges patches at the beginning of the stage of this stride."""
    return net.layers[TAPS.index(tap) + 1].downsample


def _kept(layer: nn.Module, _: object, merged: Tensor) -> None:
    layer.kept = merged
