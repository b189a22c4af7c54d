"""Images cut into n × n blocks whose places are permuted: the jigsaw puzzles of PMG, and the step all shuffles share.

Blocks are numbered row by row. An order names, for each place, the block that comes there. The pixels of a whole batch
move by one indexed read: no loop over samples or blocks, no copy to the host.

Where n does not divide a side, block i spans the pixels floor(i·side/n) .. floor((i + 1)·side/n) - 1: blocks differ by
at most one pixel a side, and every pixel belongs to one. A block that comes to a place one pixel larger repeats its
last row or column, and one that comes to a smaller place loses it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_order(n: int, device: torch.device, images: int | None = None, cyclic: bool = False) -> Tensor:
    """An order of n × n blocks, drawn anew at each call: int64 `(n·n,)`, or `(images, n·n)` with one for each image.

    Every permutation is equally likely; with `cyclic`, every one that is a single cycle: no block keeps its place.
    """
    shape = (n * n,) if images is None else (images, n * n)
    drawn = torch.rand(shape, device=device).argsort(dim=-1)
    if not cyclic:
        return drawn
    # Read as a tour of all places, the draw sends the block of each to the next one.
    return torch.empty_like(drawn).scatter_(-1, drawn, drawn.roll(-1, dims=-1))


def permute_blocks(images: Tensor, order: Tensor, n: int) -> Tensor:
    """Each place of an n × n grid filled with the block that `order` names: `(B, C, H, W)` -> the same, channels last.

    `order` is int64, `(n·n,)` for all images alike or `(B, n·n)`. Raises `ValueError` for fewer than n pixels a side.
    """
    count, channels, height, width = images.shape
    if n < 1 or min(height, width) < n:
        raise ValueError(f"{height} x {width} px can't be cut into {n} x {n} blocks; cut fewer, or enlarge the images")
    run = width // n if width % n == 0 else 1  # pixels of a row that move together
    row_block, row_within = _blocks(height, n, images.device)
    column_block, column_within = (one[::run] for one in _blocks(width, n, images.device))
    block = order[..., row_block[:, None] * n + column_block]  # the block that comes to each run: (…, H, W / run)
    rows = _pixels(block // n, row_within[:, None], height, n)
    columns = _pixels(block % n, column_within, width, n)
    image = torch.arange(count, device=images.device)[:, None, None]
    runs = ((image * height + rows) * width + columns) // run
    read = images.permute(0, 2, 3, 1).reshape(-1, run * channels).index_select(0, runs.flatten())
    return read.view(count, height, width, channels).permute(0, 3, 1, 2)


def _blocks(side: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The block of each pixel of a side, and the pixel's place within it, `(side,)` each."""
    pixels = torch.arange(side, device=device)
    blocks = ((pixels + 1) * n - 1) // side
    return blocks, pixels - blocks * side // n


def _pixels(blocks: Tensor, within: Tensor, side: int, n: int) -> Tensor:
    """The pixels at the places `within` blocks, or a block's last pixel where it has no such place."""
    return (blocks * side // n + within).minimum((blocks + 1) * side // n - 1)
