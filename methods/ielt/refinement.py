"""The network's last block and norm on a choice of tokens, and what the class token asks of the others there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from methods.ielt.voting import class_scores


class Refinement(nn.Module):
    """Class token and chosen tokens `(B, 1 + n, C)` -> the same, refined, and `class_scores` `(B, heads, n)`.

    `rest` is what `TokenExtractor.take_rest` gives: one block and a norm.
    """

    def __init__(self, rest: nn.Module) -> None:
        super().__init__()
        self.rest: Any = rest
        self.reading = False
        for layer in self._kept_layers():
            layer.register_forward_hook(self._keep)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        # With checkpointing the block runs again in the backward pass, and what it kept then nobody would take.
        self.reading = True
        refined = self.rest(tokens)
        self.reading = False
        queries, keys = (_taken(layer) for layer in self._kept_layers())
        with torch.no_grad():
            scores = class_scores(queries * self.rest.blocks[-1].attn.scale, keys, prefix=1)
        return refined, scores

    def _kept_layers(self) -> tuple[nn.Module, nn.Module]:
        """Queries and keys pass through these before they are compared."""
        attention = self.rest.blocks[-1].attn
        return attention.q_norm, attention.k_norm

    def _keep(self, layer: Any, _inputs: object, output: Tensor) -> None:
        if self.reading:
            layer.kept = output


def _taken(layer: Any) -> Tensor:
    """What it kept, and keeps no longer: the graph that made it is freed with the step."""
    kept: Tensor = layer.kept
    layer.kept = None
    return kept
