"""A vision transformer cut before its last blocks, with the tokens and the attention of the blocks that are chosen.

timm's `VisionTransformer` (ViT, DeiT, DINOv2, CLIP's and SigLIP's towers), `Beit` and `Eva` serve. Their blocks are run
by timm's `forward_intermediates`; the attention is kept where each of their attention layers drops some of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from methods import activation_checkpointing
from methods.errors import BackboneError
from methods.interface import Tokens
from methods.ops.precision import at_least_float32


class KeptAttention(nn.Dropout):
    """The dropout of an attention layer, which keeps the softmax before it until `TokenBackbone` takes it."""

    kept: Tensor | None = None

    def forward(self, attention: Tensor) -> Tensor:
        self.kept = attention
        return super().forward(attention)


def keep_output(layer: nn.Module, _inputs: object, output: Tensor) -> None:
    """A forward hook: the layer keeps what it returns until `TokenBackbone` takes it."""
    layer.kept = output


class LastBlocks(nn.Module):
    """Blocks and a norm after them: tokens `(B, n, C)`, all or a choice of them -> `(B, n, C)`."""

    def __init__(self, blocks: Iterable[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.blocks(tokens))


class TokenBackbone(nn.Module):
    """See `methods.interface.TokenExtractor`; built by `TimmBackbones.tokens`."""

    is_backbone = True

    def __init__(
        self,
        net: Any,
        after: Sequence[int] | None,
        attention: Sequence[int] | None,
        rest: int,
        image_size: int,
        queries: Sequence[int] | None = (),
    ) -> None:
        super().__init__()
        require_tokens(net, rest)
        self.net: Any = net
        self.depth = len(net.blocks)
        self.runs = self.depth - rest
        self.after = self._numbers(after)
        self.attended = self._numbers(attention)
        self.asked = self._numbers(queries)
        self.channels: int = net.embed_dim
        self.heads: int = net.blocks[0].attn.num_heads
        self.prefix: int = net.num_prefix_tokens
        self.grid: tuple[int, int] = tuple(net.patch_embed.grid_size)
        for number in self.attended:
            keep_attention(net.blocks[number])
        if self.asked:
            require_no_places(net, "its queries and keys don't give its attention")
        for number in self.asked:
            keep_queries(net.blocks[number])
        self._cut(torch.zeros(1, 3, image_size, image_size))

    def forward(self, images: Tensor) -> Tokens:
        by_depth = self._run(images, sorted({*self.after, self.runs - 1}))
        attention = [self.net.blocks[number].attn for number in self.attended]
        asked = [self.net.blocks[number].attn for number in self.asked]
        return Tokens(
            tuple(by_depth[number] for number in self.after),
            tuple(at_least_float32(taken(layer.attn_drop)) for layer in attention),
            tuple(taken(layer.q_norm) * layer.scale for layer in asked),
            tuple(taken(layer.k_norm) for layer in asked),
        )

    def _run(self, images: Tensor, depths: list[int]) -> dict[int, Tensor]:
        """Tokens `(B, N, C)` after each of these blocks; later ones don't run."""
        found = self.net.forward_intermediates(
            images,
            indices=depths,
            output_fmt="NLC",
            return_prefix_tokens=self.prefix > 0,
            intermediates_only=True,
            stop_early=True,
        )
        if self.prefix:
            found = [torch.cat([prefix, patches], dim=1) for patches, prefix in found]
        return dict(zip(depths, found, strict=True))

    def rest(self, tokens: Tensor) -> Tensor:
        """See `methods.interface.TokenExtractor.rest`."""
        for block in self.net.blocks[self.runs :]:
            tokens = block(tokens)
        return final_norm(self.net)(tokens)

    def take_rest(self) -> LastBlocks:
        """See `methods.interface.TokenExtractor.take_rest`."""
        net = self.net
        taken = LastBlocks(net.blocks[self.runs :], final_norm(net))
        net.blocks = net.blocks[: self.runs]
        net.norm, net.fc_norm = nn.Identity(), nn.Identity()
        return taken

    def parameter_names(self) -> set[str]:
        """Names of the tensors that tokens and rest depend on, as the whole network calls them."""
        return set(self.net.state_dict())

    def checkpoint_activations(self) -> None:
        """As `Backbone.checkpoint_activations`: all blocks but those whose attention, queries or keys are read."""
        read = sorted({*self.attended, *self.asked})
        activation_checkpointing.apply(self.net, [self.net.blocks[number] for number in read])

    def _numbers(self, blocks: Sequence[int] | None) -> tuple[int, ...]:
        """Of blocks that run, counted from 0; None: all of them."""
        if blocks is None:
            return tuple(range(self.runs))
        numbers = tuple(number + self.depth if number < 0 else number for number in blocks)
        for given, number in zip(blocks, numbers, strict=True):
            if not 0 <= number < self.runs:
                raise BackboneError(
                    f"{type(self.net).__name__} runs blocks 0 to {self.runs - 1} of its {self.depth}; there is no "
                    f"block {given} among them"
                )
        return numbers

    def _cut(self, image: Tensor) -> None:
        """Passes one image through and drops the modules on which nothing depends (a pooling head …).

        Raises `BackboneError` if the network can't take such an image, or keeps no attention.
        """
        self.eval()
        with torch.enable_grad():
            try:
                last = self._run(image, [self.runs - 1])[self.runs - 1]
                self.rest(last).sum().backward()
                attention = self(image).attention  # last: it takes what blocks have kept, which could not be copied
            except Exception as error:  # networks raise all kinds of errors here
                raise BackboneError(
                    f"{type(self.net).__name__} gives no tokens of an image of {image.shape[3]} px ({error}); take "
                    "another image size or network"
                ) from error
        count = self.prefix + self.grid[0] * self.grid[1]
        if any(one.shape[1:] != (self.heads, count, count) for one in attention):
            raise BackboneError(f"{type(self.net).__name__}'s attention is not one of all tokens to all tokens")
        for name, module in list(self.net.named_children()):
            parameters = list(module.parameters())
            if parameters and all(parameter.grad is None for parameter in parameters):
                self.net.set_submodule(name, nn.Identity())
        self.zero_grad(set_to_none=True)
        self.train()


def keep_attention(block: Any) -> None:
    """Makes a block keep its softmax attention. It computes it in any case, but where it is fused.

    Raises `BackboneError` for a block of another kind.
    """
    layer: Any = getattr(block, "attn", None)
    if not hasattr(layer, "fused_attn") or not isinstance(getattr(layer, "attn_drop", None), nn.Dropout):
        raise BackboneError(f"the attention of a {type(block).__name__} can't be read; take another network")
    layer.fused_attn = False
    layer.attn_drop = KeptAttention(layer.attn_drop.p)


def keep_queries(block: Any) -> None:
    """Makes a block keep its queries and keys; its attention stays fused. Raises `BackboneError` for another kind."""
    layer: Any = getattr(block, "attn", None)
    if not all(isinstance(getattr(layer, name, None), nn.Module) for name in ("q_norm", "k_norm")):
        raise BackboneError(f"the queries and keys of a {type(block).__name__} can't be read; take another network")
    layer.q_norm.register_forward_hook(keep_output)
    layer.k_norm.register_forward_hook(keep_output)


def taken(layer: Any) -> Tensor:
    """What a layer kept, which it then keeps no longer."""
    kept: Tensor = layer.kept
    layer.kept = None
    return kept


def require_tokens(net: Any, rest: int) -> None:
    """Raises `BackboneError` unless `net` is a vision transformer whose last `rest` blocks take any choice of tokens.

    They can't where they need to know which place a token has, for rotary or relative positions. A table of positions
    that is added before the first block asks nothing of them.
    """
    if not isinstance(net, VisionTransformer | Beit | Eva):
        raise BackboneError(
            f"{type(net).__name__} gives no tokens; choose a vision transformer (vit_base_patch16_224, "
            "deit_base_patch16_224, vit_base_patch14_dinov2, beit_base_patch16_224, eva02_base_patch14_224 …)"
        )
    if not 0 <= rest < len(net.blocks):
        raise BackboneError(f"{type(net).__name__} has {len(net.blocks)} blocks; the last {rest} can't be left out")
    if rest:
        require_no_places(net, "its last ones can't take a choice of tokens")


def require_no_places(net: Any, so: str) -> None:
    """Raises `BackboneError` if the blocks know the place of each token; `so` is what follows from it, in words."""
    rotary = getattr(net, "rope", None) is not None
    relative = getattr(net, "rel_pos_bias", None) is not None or any(
        getattr(block.attn, "relative_position_bias_table", None) is not None for block in net.blocks
    )
    if rotary or relative:
        kind = "rotary" if rotary else "relative"
        raise BackboneError(
            f"the blocks of {type(net).__name__} use {kind} positions of a whole grid, so {so}; choose a network with "
            "a table of positions (ViT, DeiT, DINOv2, CLIP)"
        )


def final_norm(net: Any) -> nn.Module:
    """The network's last norm. Networks that average their tokens have it after the average (`fc_norm`); a token alone
    takes it as it is."""
    norm: nn.Module = net.fc_norm if isinstance(net.norm, nn.Identity) else net.norm
    return norm
