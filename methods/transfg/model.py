"""TransFG: the last block of a vision transformer sees only the class token and the patches that its heads select.

He, Chen, Liu, Kortylewski, Yang, Bai, Wang, Yuille, "TransFG: A Transformer Architecture for Fine-grained Recognition",
AAAI 2022, arXiv 2103.07976. The paper could not be opened; the statement is that of the authors' code.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneError, BackboneSource, Method, Tokens
from methods.ops.contrast import contrastive_loss
from methods.ops.options import check_share, check_word
from methods.ops.tokens.last_blocks import groups_with_last, start_anew
from methods.ops.tokens.selection import class_rollout, drawn, marked, taken

Selection = Literal["rollout", "rollout_residual", "random", "all"]


class TransFG(Method):
    """Part selection module (PSM): the attention maps of all blocks but the last are multiplied, head by head. In the
    class token's row of the product each head selects the patch of which it has most. The class token and these
    patches, as many as there are heads, go through the last block, and a linear layer classifies the class token.

    Options:
        selection: `rollout`: as above; `rollout_residual`: by the product of (map + identity) / 2, which reckons with
            the residual branches (Abnar and Zuidema); `random`: as many patches, drawn at random for each image;
            `all`: none is selected, every token goes on, as in a plain ViT.
        margin: cosine below which the class tokens of two classes are far enough apart; None: no contrastive loss.
        smoothing: of the labels in the cross-entropy.
        anew: the last block starts with random weights instead of the network's own.

    Raises `BackboneError` for a network without class token, or whose blocks know places (BEiT, EVA), and `ValueError`
    for a selection that there is not and a smoothing outside 0 to 1.
    """

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        selection: Selection = "rollout",
        margin: float | None = 0.4,
        smoothing: float = 0.0,
        anew: bool = False,
    ) -> None:
        super().__init__()
        check_word("selection", selection, get_args(Selection))
        check_share("smoothing", smoothing)
        self.selection, self.margin, self.smoothing = selection, margin, smoothing
        self.backbone = backbones.tokens(after=[-2], rest=1, queries=None if selection.startswith("rollout") else ())
        if not self.backbone.prefix:
            raise BackboneError(f"{backbones.name} has no class token; choose another vision transformer")
        self.last = self.backbone.take_rest()
        if anew:
            start_anew(self.last.get_submodule("blocks"))
        self.head = nn.Linear(self.backbone.channels, num_classes)

    def scores(self, seen: Tokens) -> Tensor:
        """What each head of the class token receives from each patch: `(B, heads, patches)`."""
        rollout = class_rollout(seen.queries, seen.keys, residual=self.selection == "rollout_residual")
        return rollout[:, :, self.backbone.prefix :]

    def selected(self, images: Tensor, seen: Tokens) -> Tensor:
        """Numbers of the selected patches, one by each head: `(B, heads)`."""
        if self.selection == "random":
            rows, columns = self.backbone.grid
            return drawn(images, self.backbone.heads, rows * columns)
        return self.scores(seen).argmax(dim=2)

    def class_tokens(self, images: Tensor) -> Tensor:
        """Images `(B, 3, H, W)` -> `(B, C)`, after the last block and norm."""
        seen = self.backbone(images)
        tokens = seen.after[0]
        if self.selection != "all":
            prefix = self.backbone.prefix
            parts = taken(tokens, self.selected(images, seen) + prefix)
            tokens = torch.cat([tokens[:, :prefix], parts], dim=1)
        last: Tensor = self.last(tokens)
        return last[:, 0]

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.class_tokens(images))
        return logits

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        vectors = self.class_tokens(images)
        losses = {"cross_entropy": F.cross_entropy(self.head(vectors), labels, label_smoothing=self.smoothing)}
        if self.margin is not None:
            losses["contrast"] = contrastive_loss(vectors, labels, self.margin)
        return losses

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The last block has a group of its own: see `groups_with_last`."""
        return groups_with_last(self, self.last)

    def attention(self, images: Tensor) -> Tensor | None:
        """What patches are selected by, one map per head `(B, heads, h, w)`: each map's highest place is selected.

        Of random patches, 1 at the patch and 0 elsewhere; without a selection there is none.
        """
        if self.selection == "all":
            return None
        seen = self.backbone(images)
        if self.selection == "random":
            rows, columns = self.backbone.grid
            maps = F.one_hot(self.selected(images, seen), rows * columns).to(images.dtype)
        else:
            maps = self.scores(seen)
        return maps.unflatten(2, self.backbone.grid)

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The image with all but the selected patches faded."""
        if self.selection == "all":
            return {}
        return {"selected patches": marked(images, self.selected(images, self.backbone(images)), self.backbone.grid)}
