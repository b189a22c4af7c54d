"""FFVT: the last block of a vision transformer sees the class token and the best tokens of every block before it.

Wang, Yu, Gao, "Feature Fusion Vision Transformer for Fine-Grained Visual Categorization", BMVC 2021, arXiv 2107.02341.
The paper could not be opened; the statement is that of the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneError, BackboneSource, Method, Tokens
from methods.ops.options import check_word
from methods.ops.tokens.last_blocks import groups_with_last, start_anew
from methods.ops.tokens.selection import class_rollout, drawn, marked, mutual_attention, taken

Selection = Literal["mutual", "attention", "random"]


class FFVT(Method):
    """Feature fusion: after each block but the last, mutual attention weight selection (MAWS) takes the tokens that the
    class token and they themselves attend to most. The class token and the tokens of all blocks go through the last
    block together, and a linear layer classifies the class token.

    Options:
        count: tokens of each block, at most as many as there are.
        selection: `mutual`: MAWS; `attention`: by the class token's attention alone; `random`: drawn at random for each
            image and block.
        blocks: those that give tokens, counted as `BackboneSource.tokens` does; None: all but the last.
        prefix_competes: the class token, and others before the patches, may be selected too, as in the authors' code.
        anew: the last block and norm start with random weights instead of the network's own.

    Raises `BackboneError` for a network without class token, or whose blocks know places (BEiT, EVA), and `ValueError`
    for a selection that there is not and for no token.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        count: int = 12,
        selection: Selection = "mutual",
        blocks: Sequence[int] | None = None,
        prefix_competes: bool = False,
        anew: bool = False,
    ) -> None:
        super().__init__()
        check_word("selection", selection, get_args(Selection))
        if count < 1 or (blocks is not None and not blocks):
            raise ValueError(f"count is {count} and blocks {blocks}; one token of one block is the least")
        # The class token is that of the last block that runs, which comes last among these.
        after = None if blocks is None else [*blocks, -2]
        self.backbone = backbones.tokens(after=after, rest=1, queries=() if selection == "random" else blocks)
        if not self.backbone.prefix:
            raise BackboneError(f"{backbones.name} has no class token; choose another vision transformer")
        rows, columns = self.backbone.grid
        self.sources = self.backbone.depth - 1 if blocks is None else len(blocks)
        self.skipped = 0 if prefix_competes else self.backbone.prefix
        self.candidates = self.backbone.prefix + rows * columns - self.skipped
        self.selection, self.count = selection, min(count, self.candidates)
        self.last = self.backbone.take_rest()
        if anew:
            start_anew(self.last)
        self.head = nn.Linear(self.backbone.channels, num_classes)

    def scores(self, seen: Tokens) -> Tensor:
        """By which tokens are selected, block by block: `(B, blocks, N)`."""
        if self.selection == "mutual":
            found = [mutual_attention(query, key) for query, key in zip(seen.queries, seen.keys, strict=True)]
        else:
            found = [class_rollout([q], [k]).mean(dim=1) for q, k in zip(seen.queries, seen.keys, strict=True)]
        return torch.stack(found, dim=1)

    def selected(self, images: Tensor, seen: Tokens) -> Tensor:
        """Numbers of the tokens that are selected after each block: `(B, blocks, count)`."""
        if self.selection == "random":
            places = drawn(images, self.sources * self.count, self.candidates).unflatten(1, (self.sources, self.count))
        else:
            places = self.scores(seen)[:, :, self.skipped :].topk(self.count, dim=2).indices
        return places + self.skipped

    def class_token(self, images: Tensor) -> Tensor:
        """Images `(B, 3, H, W)` -> `(B, C)`, after the last block and norm."""
        seen = self.backbone(images)
        chosen = self.selected(images, seen).unbind(dim=1)
        parts = [taken(tokens, numbers) for tokens, numbers in zip(seen.after[: self.sources], chosen, strict=True)]
        last: Tensor = self.last(torch.cat([seen.after[-1][:, : self.backbone.prefix], *parts], dim=1))
        return last[:, 0]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.class_token(images))
        return logits

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The last block has a group of its own: see `groups_with_last`."""
        return groups_with_last(self, self.last)

    def attention(self, images: Tensor) -> Tensor:
        """By what the patches of each block are selected: `(B, blocks, h, w)`.

        With a random selection it is how often each patch was drawn, 0 for most.
        """
        seen, prefix = self.backbone(images), self.backbone.prefix
        if self.selection == "random":
            rows, columns = self.backbone.grid
            maps = F.one_hot(self.selected(images, seen), prefix + rows * columns).sum(dim=2).to(images.dtype)
        else:
            maps = self.scores(seen)
        return maps[:, :, prefix:].unflatten(2, self.backbone.grid)

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The image with all but the patches selected after any block faded."""
        patches = self.selected(images, self.backbone(images)).flatten(1) - self.backbone.prefix
        # A class token that was selected is no patch; a patch that is shown anyway stands in for it.
        shown = torch.where(patches < 0, patches.amax(dim=1, keepdim=True), patches).clamp_min(0)
        return {"selected patches": marked(images, shown, self.backbone.grid)}
