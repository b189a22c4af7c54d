"""The two modules of SwinFC's branches: EACA, which strengthens a stage's map, and FFM, which fuses the stages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.ops.precision import at_least_float32
from methods.swinfc.numerics import BatchNorm


class DoubleNorm(nn.Module):
    """EANet's normalisation `(B, M, N)`: softmax over the N positions, then each position's M entries sum to 1.

    Guo et al., "Beyond Self-attention: External Attention using Two Linear Layers for Visual Tasks", 2021.
    """

    def forward(self, attention: Tensor) -> Tensor:
        with torch.autocast(attention.device.type, enabled=False):
            shares = at_least_float32(attention).softmax(dim=2)
            return F.normalize(shares, p=1, dim=1, eps=1e-9)


class ExternalAttention(nn.Module):
    """EA (Section 3.2.1): A = Norm(W1 X), X~ = A W2, X_e = X + X~, for the sequence X of a map's positions.

    W1 `(M, C, 3)` and W2 `(C, M, 1)` are the weights of two 1-D convolutions and serve as memories that all images
    share; hence no biases.
    """

    def __init__(self, channels: int, memory: int, double_norm: bool) -> None:
        super().__init__()
        self.w1 = nn.Conv1d(channels, memory, 3, padding=1, bias=False)
        self.norm = DoubleNorm() if double_norm else BatchNorm(memory)
        self.w2 = nn.Conv1d(memory, channels, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        attention = self.norm(self.w1(features.flatten(2)))
        return features + self.w2(attention).view_as(features)


class CrossSpaceAttention(nn.Module):
    """CA (Section 3.2.2): X_c = X · g_h · g_w, a gate per row and a gate per column of the map `(B, C, h, w)`.

    Each is encoded on its own from the means along the other axis; Coordinate Attention, which it varies, encodes the
    two together. What encodes them (1×1 convolution, normalisation, hard swish, 1×1 convolution, sigmoid) is
    Coordinate Attention's (Hou et al., CVPR 2021).
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.rows = self._encoder(channels, reduction)
        self.columns = self._encoder(channels, reduction)

    def forward(self, features: Tensor) -> Tensor:
        rows = self.rows(features.mean(dim=3, keepdim=True))
        columns = self.columns(features.mean(dim=2, keepdim=True))
        return features * rows * columns

    @staticmethod
    def _encoder(channels: int, reduction: int) -> nn.Sequential:
        hidden = max(8, channels // reduction)
        return nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            BatchNorm(hidden),
            nn.Hardswish(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )


class ParallelAttention(nn.Module):
    """EACA (Section 3.2): its attentions side by side, their outputs added, `(B, C, h, w)` -> the same."""

    def __init__(self, *attentions: nn.Module) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(attentions)

    def forward(self, features: Tensor) -> Tensor:
        if not self.attentions:
            return features
        first, *others = self.attentions
        out = first(features)
        for attention in others:
            out = out + attention(features)
        return out


class FeatureFusion(nn.Module):
    """FFM (Section 3.3), the fusion of FBSD, merged with the global average pooling of the branch's head.

    Z_p = F_p + gamma · Σ_{q≠p} Y_p^q. Maps `(B, C_i, h_i, w_i)` -> the position means of Z_i, each `(B, width)`, for
    the stages' maps F_i projected to a common width. Song, Yang, "Feature Boosting, Suppression, and Diversification
    for Fine-Grained Visual Classification", IJCNN 2021.
    """

    def __init__(self, channels: Sequence[int], width: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.project = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), BatchNorm(width), nn.ReLU()) for c in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        sequences = [project(features).flatten(2) for project, features in zip(self.project, maps, strict=True)]
        fused = [sequence.mean(dim=2) for sequence in sequences]
        for p, q in combinations(range(len(sequences)), 2):
            to_p, to_q = pooled_complements(sequences[p], sequences[q])
            fused[p] = fused[p] + self.gamma * to_p
            fused[q] = fused[q] + self.gamma * to_q
        return fused


def pooled_complements(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """What each map takes from the other, averaged over its positions: `(B, D, S)`, `(B, D, T)` -> two `(B, D)`.

    With M = -norm(a)^T norm(b), `(B, S, T)`, a position takes most from what is least like it:
    Y_a = b softmax_T(M)^T and Y_b = a softmax_S(M). Their means are exact, without forming Y or the softmaxes:

    - |M| <= 1, so exp(M) needs no shift by a maximum, and one matrix serves the softmaxes over both axes;
    - the mean of Y_a over S is b times the T shares that the S positions take of it, on average.
    """
    dtype, sums = a.dtype, torch.promote_types(a.dtype, torch.float32)
    with torch.autocast(a.device.type, enabled=False):
        unit_a, unit_b = (F.normalize(x.to(sums), dim=1).to(dtype) for x in (a, b))
        exponential = torch.exp(-unit_a.transpose(1, 2) @ unit_b)
        per_a = 1 / (a.shape[2] * exponential.sum(dim=2, keepdim=True, dtype=sums))
        per_b = 1 / (b.shape[2] * exponential.sum(dim=1, keepdim=True, dtype=sums))
        shares_of_b = exponential.transpose(1, 2) @ per_a.to(dtype)
        shares_of_a = exponential @ per_b.to(dtype).transpose(1, 2)
        return (b @ shares_of_b).squeeze(2), (a @ shares_of_a).squeeze(2)
