"""The last blocks of a transformer, which a method takes over from the network and gives tokens of its choice."""

from __future__ import annotations

from typing import Any

from torch import nn

from methods.interface import Method


def groups_with_last(method: Method, *blocks: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameter groups `backbone`, `last` (all of these blocks) and `head` of a method.

    The blocks are neither part of the backbone nor new layers: common recipes speed up `head`, which would undo their
    pretraining. Papers that give one rate to all weights give it to each group.
    """
    last = [parameter for block in blocks for parameter in block.parameters()]
    taken = set(map(id, last))
    groups = Method.parameter_groups(method)
    head = [parameter for parameter in groups["head"] if id(parameter) not in taken]
    return {"backbone": groups.get("backbone", []), "last": last, "head": head}


def start_anew(module: nn.Module) -> None:
    """Gives all layers of some blocks the values with which timm starts a vision transformer.

    Weights of linear layers are normal with standard deviation 0.02, their biases 0; norms have scale 1 and bias 0.
    Scales of residual branches, where a network has them (DINOv2), stay as they are: where they start is the network's
    own choice.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.LayerNorm):
            norm: Any = layer
            for values, start in ((norm.weight, 1.0), (norm.bias, 0.0)):
                if values is not None:
                    nn.init.constant_(values, start)
