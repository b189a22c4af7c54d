"""SwinFC: a Swin whose stages get branches that attend and fuse, and whose last attention selects patches.

Xiang Jianwen, Chen Minrong, Yang Baibing, "Fine-Grained Image Classification Combining Swin and Multi-Scale Feature
Fusion", Computer Engineering and Applications 2023 (20), in Chinese; the title is translated. No code was released
and no source at hand gives the paper's equations 1 to 15: what is reconstructed is listed in README.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneSource, Method, Tap
from methods.ops.contrast import contrastive_loss
from methods.ops.tokens.selection import marked
from methods.swinfc.modules import CrossSpaceAttention, ExternalAttention, FeatureFusion, ParallelAttention
from methods.swinfc.numerics import BatchNorm
from methods.swinfc.selection import chosen_patches, pool_selected

STAGES: tuple[Tap, ...] = (8, 16, 32)
"""Strides of stages 2, 3 and 4 before the merging of patches; stage 1 gets no branch (Section 3.1)."""


class SwinFC(Method):
    """L_total = L_swin + Σ_i beta_i · L_stage^i + L_con (eq. 16). Stage i: EACA, FFM with the others, classifier.

    Options:
        betas: weights of the losses of stages 2, 3, 4; empty: no branches.
        external, cross: the two attentions of EACA; without both there is no EACA.
        ffm: whether the stages are fused.
        fsm: whether patches are selected and contrasted.
        margin: cosine (alpha) below which two classes are far enough apart.
        memory: M, entries of the external memory.
        double_norm: normalise the external attention as EANet does; default: batch normalisation.
        reduction: channels per hidden channel in the gates of the cross-space attention.
        width: channels in which stages are fused; None: as many as stage 3 has (512 in Swin-B).
        gamma: weight of what a stage gets from the others.
        fbsd_head: classify a stage with FBSD's two layers; default: one linear layer, as the backbone has.
        selected: how many patches are chosen over all heads; None: one by each head.
        rollout: choose by the attention through all blocks of the last stage; default: of its last block.
        sum_heads: predict with the sum of all classifiers' logits; default: with the backbone's.
    """

    def __init__(
        self,
        backbones: BackboneSource,
        num_classes: int,
        *,
        betas: Sequence[float] = (0.4, 0.6, 0.8),
        external: bool = True,
        cross: bool = True,
        ffm: bool = True,
        fsm: bool = True,
        margin: float = 0.4,
        memory: int = 64,
        double_norm: bool = False,
        reduction: int = 32,
        width: int | None = None,
        gamma: float = 1.0,
        fbsd_head: bool = False,
        selected: int | None = None,
        rollout: bool = False,
        sum_heads: bool = False,
    ) -> None:
        super().__init__()
        if len(betas) not in (0, len(STAGES)):
            raise ValueError(f"betas are the weights of stages 2, 3 and 4, or none: got {list(betas)}")
        counts = {"memory": memory, "reduction": reduction, "width": width, "selected": selected}
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ValueError(f"{name} is {count}; it must be 1 or more")
        self.betas = tuple(betas)
        self.fsm, self.margin, self.selected, self.sum_heads = fsm, margin, selected, sum_heads
        stages = STAGES if self.betas else ()
        # Reading the attention costs the last stage its fused kernels, so only the selection reads it.
        selector: list[Tap] = ["attention_rollout" if rollout else "attention"] if fsm else []
        self.backbone = backbones.features([*stages, "final", *selector])
        *channels, final = self.backbone.channels[: len(stages) + 1]
        self.head = nn.Linear(final, num_classes)

        def attentions(channels: int) -> ParallelAttention:
            ea = [ExternalAttention(channels, memory, double_norm)] if external else []
            ca = [CrossSpaceAttention(channels, reduction)] if cross else []
            return ParallelAttention(*ea, *ca)

        self.eaca = nn.ModuleList(attentions(c) for c in channels)
        self.ffm = None
        if ffm and self.betas:
            width = width or channels[1]
            self.ffm = FeatureFusion(channels, width, gamma)
            channels = [width] * len(channels)
        self.stage_heads = nn.ModuleList(stage_head(c, num_classes, fbsd_head) for c in channels)

    def maps(self, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """The maps `(B, C_i, h_i, w_i)` of the branches' stages, the last map `(B, C, h, w)`, and the attention
        `(B, heads, h, w)` that patches are selected by; without FSM there is none.
        """
        taps = list(self.backbone(images))
        attention = taps.pop() if self.fsm else None
        *stages, final = taps
        return stages, final, attention

    def stage_logits(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """Each branch's logits `(B, K)` from the maps `(B, C_i, h_i, w_i)` of stages 2, 3, 4."""
        strengthened = [eaca(features) for eaca, features in zip(self.eaca, stages, strict=True)]
        if self.ffm is not None:
            pooled = self.ffm(strengthened)
        else:
            pooled = [features.mean(dim=(2, 3)) for features in strengthened]
        return [head(vector) for head, vector in zip(self.stage_heads, pooled, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        stages, final, _ = self.maps(images)
        logits = self.head(final.mean(dim=(2, 3)))
        return logits + sum(self.stage_logits(stages)) if self.sum_heads else logits

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        stages, final, attention = self.maps(images)
        losses = {"swin": F.cross_entropy(self.head(final.mean(dim=(2, 3))), labels)}
        for stage, (beta, logits) in enumerate(zip(self.betas, self.stage_logits(stages), strict=True), start=2):
            losses[f"stage{stage}"] = beta * F.cross_entropy(logits, labels)
        if attention is not None:
            losses["contrast"] = contrastive_loss(pool_selected(attention, final, self.selected), labels, self.margin)
        return losses

    def attention(self, images: Tensor) -> Tensor | None:
        """The attention that each patch of the last stage receives, one map per head: what patches are selected by."""
        return self.maps(images)[2] if self.fsm else None

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """The patches that the selection chooses; the others fade."""
        attention = self.attention(images)
        if attention is None:
            return {}
        chosen = chosen_patches(attention, self.selected)
        return {"selected patches": marked(images, chosen, (attention.shape[2], attention.shape[3]))}


def stage_head(channels: int, num_classes: int, fbsd: bool) -> nn.Module:
    """Classifier of a pooled stage `(B, C)`: one linear layer, or FBSD's two with normalisation and ELU."""
    if not fbsd:
        return nn.Linear(channels, num_classes)
    hidden = 512
    return nn.Sequential(
        BatchNorm(channels), nn.Linear(channels, hidden), BatchNorm(hidden), nn.ELU(), nn.Linear(hidden, num_classes)
    )
