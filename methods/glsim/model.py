"""GLSim: the patches most similar to the class token say where to crop; image and crop are judged together.

Rios, Hu, Lai, "Global-Local Similarity for Efficient Fine-Grained Image Recognition with Vision Transformers",
arXiv 2407.12891 (2024). What the pseudo-code of the authors' README leaves out is from their code.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from methods.glsim.boxes import boxes_around
from methods.interface import BackboneError, BackboneSource, Method
from methods.ops.attention.crops import crop
from methods.ops.options import check_share, check_word
from methods.ops.precision import at_least_float32
from methods.ops.tokens.selection import drawn, marked

Choice = Literal["similarity", "random"]
"""Which patches the box surrounds: those most similar to the class token, or any (`methods.ops.tokens.selection`)."""


class Look(NamedTuple):
    """What the first pass over images says."""

    class_token: Tensor
    """`(B, C)`, normed."""
    similarity: Tensor
    """Of each patch to the class token `(B, h·w)`: -1 to 1, at least float32."""


def aggregator(width: int, heads: int, drop_path: float) -> nn.Sequential:
    """A block of the encoder's kind and a norm, with the authors' initial weights: Xavier's for each matrix."""
    block = Block(width, heads, qkv_bias=True, drop_path=drop_path)
    for layer in block.modules():
        if isinstance(layer, nn.Linear):
            # queries, keys and values are one matrix in timm and three in the authors' code
            for matrix in layer.weight.chunk(3 if layer is block.attn.qkv else 1):
                nn.init.xavier_uniform_(matrix)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(block, nn.LayerNorm(width))


class GLSim(Method):
    """One encoder sees the image and then a crop; a new block lets their class tokens attend to each other.

    Options:
        top: o, patches whose bounding box is cropped; all of them on a network that has fewer.
        choice: see `Choice`.
        whole_patches: whether the box ends where its last patch ends. The paper's ends where that patch begins.
        smoothing: of the labels in the cross-entropy.
        drop_path: probability that a sample skips a half of the aggregator's block in training.
    """

    soft_labels = True

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        top: int = 8,
        choice: Choice = "similarity",
        whole_patches: bool = False,
        smoothing: float = 0.1,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        if top < 1:
            raise ValueError(f"top is {top}; it must be 1 or more")
        check_word("choice", choice, get_args(Choice))
        check_share("smoothing", smoothing)
        check_share("drop_path", drop_path)
        self.backbone = backbones.tokens(after=[-1])
        if not self.backbone.prefix:
            raise BackboneError(f"{backbones.name} has no class token, with which GLSim compares patches")
        width = self.backbone.channels
        self.aggregator = aggregator(width, self.backbone.heads, drop_path)
        self.head = nn.Linear(width, num_classes)
        rows, columns = self.backbone.grid
        self.top, self.choice = min(top, rows * columns), choice
        self.whole_patches, self.smoothing = whole_patches, smoothing
        self.views = 2

    def encode(self, images: Tensor) -> Tensor:
        """Tokens `(B, N, C)` after the last block and norm."""
        return self.backbone.rest(self.backbone(images).after[0])

    def look(self, images: Tensor) -> Look:
        """The first pass. The similarity is the cosine of the class token's angle with each patch."""
        tokens = self.encode(images)
        whole = tokens[:, 0]
        with torch.no_grad():
            patches = at_least_float32(tokens[:, self.backbone.prefix :])
            similarity = F.cosine_similarity(patches, at_least_float32(whole)[:, None], dim=2)
        return Look(whole, similarity)

    def choose(self, images: Tensor, similarity: Tensor) -> Tensor:
        """Numbers of the patches `(B, top)` around which the box is drawn."""
        if self.choice == "random":
            return drawn(images, self.top, similarity.shape[1])
        return similarity.topk(self.top, dim=1).indices

    def cropped(self, images: Tensor, similarity: Tensor) -> Tensor:
        """The box around the chosen patches, enlarged to the image's size: `(B, 3, H, W)`."""
        size = (images.shape[2], images.shape[3])
        boxes = boxes_around(self.choose(images, similarity), self.backbone.grid, size, self.whole_patches)
        return crop(images, boxes)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.look(images)
        closer = self.encode(self.cropped(images, seen.similarity))[:, 0]
        pair = self.aggregator(torch.stack([seen.class_token, closer], dim=1))
        return self.head(pair[:, 0])

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy with smoothed labels, the paper's only loss."""
        return {"cross_entropy": F.cross_entropy(self(images), labels, label_smoothing=self.smoothing)}

    def attention(self, images: Tensor) -> Tensor:
        """How much more similar to the class token each patch is than the least similar one, `(B, 1, h, w)`."""
        similarity = self.look(images).similarity
        above = similarity - similarity.amin(dim=1, keepdim=True)
        return above.unflatten(1, self.backbone.grid)[:, None]

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The patches around which the box is drawn, and the crop."""
        similarity = self.look(images).similarity
        chosen = self.choose(images, similarity)
        return {"patches": marked(images, chosen, self.backbone.grid), "crop": self.cropped(images, similarity)}
