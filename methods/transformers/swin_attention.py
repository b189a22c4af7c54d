"""The attention of a Swin's last stage, captured inside timm's blocks because timm's networks return features only.

It adds two taps to a backbone, each a map `(B, heads, h, w)` over the positions of the last stage: `"attention"` is
what a position receives in the last block, `"attention_rollout"` what it receives through all blocks of the stage.
Only `swinfc` uses them today; they are here because they belong to the backbone, not to one paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import use_fused_attn
from timm.models.swin_transformer import SwinTransformer, WindowAttention
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneError, Tap
from methods.ops.precision import at_least_float32

TAPS: tuple[Tap, ...] = ("attention", "attention_rollout")


class KeptSoftmax(nn.Softmax):
    """A softmax that keeps its output until `read` takes it."""

    kept: Tensor | None = None

    def forward(self, scores: Tensor) -> Tensor:
        self.kept = super().forward(scores)
        return self.kept


def fuse(net: nn.Module) -> None:
    """Lets a Swin on a GPU attend by torch's fused kernels, except in blocks whose attention is kept.

    timm holds them back as experimental. Their values differ by rounding, so on a CPU timm's own choice stays.
    """
    if isinstance(net, SwinTransformer):
        for module in net.modules():
            if isinstance(module, WindowAttention) and not isinstance(module.softmax, KeptSoftmax):
                fused = module.qkv.weight.is_cuda or use_fused_attn(experimental=True)
                module.fused_attn = fused  # type: ignore[misc]  # final only for torch.jit


def keep(net: nn.Module) -> None:
    """Makes the last stage keep its attention. Raises `BackboneError` for a network that isn't a Swin.

    This adds no computation: timm's plain attention computes the probabilities anyway. Its fused attention does not,
    so the last stage is switched to plain attention; the other stages stay as they are.
    """
    if not isinstance(net, SwinTransformer | SwinTransformerV2):
        raise BackboneError(
            f"{type(net).__name__} is no Swin Transformer: its last stage has no window attention to read; "
            "choose a Swin (swin_base_patch4_window12_384, swin_tiny_patch4_window7_224 …)"
        )
    for block in last_stage(net):
        block.attn.fused_attn = False
        block.attn.softmax = KeptSoftmax(dim=-1)


def read(net: nn.Module, taps: Sequence[Tap], size: Sequence[int]) -> dict[Tap, Tensor]:
    """The maps `(B, heads, h, w)`, at least in float32, of the last forward pass; `size` is the last stage's (h, w).

    A map is the mean over all queries of the probabilities with which they attend to a position. It sums to 1, or to
    less where windows are padded and the padding received a share. The rollout is the same mean of the product of the
    blocks' attention matrices, head by head; multiplying from the left as a row vector avoids N × N products.
    """
    blocks = last_stage(net)
    kept = [block.attn.softmax.kept for block in blocks]
    maps: dict[Tap, Tensor] = {}
    for tap in taps:
        batch = kept[-1].shape[0] // _windows(blocks[-1], size)
        shape = (batch, kept[-1].shape[1], *size)
        dtype = torch.promote_types(kept[-1].dtype, torch.float32)
        flow = kept[-1].new_full(shape, 1 / (size[0] * size[1]), dtype=dtype)
        first = 0 if tap == "attention_rollout" else len(blocks) - 1
        for block, probabilities in zip(reversed(blocks[first:]), reversed(kept[first:]), strict=True):
            flow = attend(flow, probabilities, block.window_size, block.shift_size)
        maps[tap] = flow
    for block in blocks:
        block.attn.softmax.kept = None
    return maps


def attend(flow: Tensor, probabilities: Tensor, window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """Passes each query's share of `flow` on to the keys it attends to: flow · attention, window by window.

    `flow` is `(B, heads, h, w)`; `probabilities` `(B · windows, heads, n, n)` have queries as rows. As in timm's
    blocks, the map is rolled back by `shift`, padded at the right and bottom, and cut into windows row by row.
    """
    _, _, h, w = flow.shape
    flow = flow.roll((-shift[0], -shift[1]), dims=(2, 3))
    flow = F.pad(flow, (0, -w % window[1], 0, -h % window[0]))
    rows, columns = flow.shape[2] // window[0], flow.shape[3] // window[1]
    tiles = flow.unflatten(3, (columns, window[1])).unflatten(2, (rows, window[0])).permute(0, 2, 4, 1, 3, 5)
    with torch.autocast(flow.device.type, enabled=False):
        received = tiles.flatten(4).flatten(0, 2).unsqueeze(2) @ at_least_float32(probabilities)
    tiles = received.reshape(tiles.shape).permute(0, 3, 1, 4, 2, 5)
    flow = tiles.flatten(4, 5).flatten(2, 3)[:, :, :h, :w]
    return flow.roll(shift, dims=(2, 3))


def last_stage(net: Any) -> list[Any]:
    """The blocks of a Swin's last stage, in order."""
    return list(net.layers[-1].blocks)


def _windows(block: Any, size: Sequence[int]) -> int:
    """Number of windows, padded ones included, that cover a map of `size`."""
    return -(-size[0] // block.window_size[0]) * -(-size[1] // block.window_size[1])
