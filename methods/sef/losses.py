"""SEF's losses: groups of similar channels, a flat prediction, and groups that predict like the whole feature.

Every correlation here is a cosine d_ij = x_i · x_j between channels i and j of one image, each flattened over its
positions and scaled to length 1 ("normalized channel" of the paper's semantic grouping module).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.interface import BackboneError
from methods.ops.options import check_word
from methods.ops.precision import at_least_float32

Form = Literal["pairs", "union", "frobenius"]
"""How the loss weighs the groups against each other; see `LocalMaxGlobalMin`."""


def group_sizes(channels: int, groups: int) -> list[int]:
    """Contiguous groups of `channels // groups` channels; the last one takes the remainder (2048 by 3: 682, 684).

    Raises `ValueError` for no group at all, `BackboneError` for more groups than channels.
    """
    if groups < 1:
        raise ValueError(f"{groups} groups of channels: there must be at least one")
    if groups > channels:
        raise BackboneError(f"a map of {channels} channels can't be cut into {groups} groups; tap a wider map")
    size = channels // groups
    return [size] * (groups - 1) + [channels - size * (groups - 1)]


def normalised_channels(features: Tensor) -> Tensor:
    """`(B, C, h, w)` -> `(B, C, h·w)`, each channel of length 1; one that is zero everywhere stays zero.

    At least float32: bfloat16 is too coarse for a mean over a million cosines.
    """
    flat = at_least_float32(features.flatten(2))
    return F.normalize(flat, dim=2, eps=torch.finfo(torch.float32).eps)


def squared_cosines_by_channels(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Means of d_ij² over i in group m and j in group n, from the C × C cosines: `(B, C, N)` -> `(B, G, G)`."""
    squares = (x @ x.mT).square()
    rows = torch.stack([part.mean(dim=1) for part in squares.split(list(sizes), dim=1)], dim=1)
    return torch.stack([part.mean(dim=2) for part in rows.split(list(sizes), dim=2)], dim=2)


def squared_cosines_by_positions(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """The same means from one N × N matrix per group: `(B, C, N)` -> `(B, G, G)`.

    With K_m = sum over i in m of x_i x_iᵀ, the sum of d_ij² = x_iᵀ x_j x_jᵀ x_i over i in m and j in n is tr(K_m K_n),
    and since both are symmetric that is their element-wise product, summed.
    """
    grams = [(part.mT @ part / part.shape[1]).flatten(1) for part in x.split(list(sizes), dim=1)]
    stacked = torch.stack(grams, dim=1)
    return stacked @ stacked.mT


def mean_squared_cosines(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """`(B, C, N)` normalised channels -> `(B, G, G)` by the cheaper of the two exact forms: C·N² or C²·N products."""
    channels, positions = x.shape[1:]
    cheaper = squared_cosines_by_positions if positions < channels else squared_cosines_by_channels
    return cheaper(x, sizes)


def squared_mean_cosines(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """D_mn², D_mn the mean of d_ij over i in group m and j in group n: `(B, C, N)` -> `(B, G, G)`.

    A mean of products of two groups is the product of their means, so nothing larger than `(B, G, N)` is needed.
    """
    means = torch.stack([part.mean(dim=1) for part in x.split(list(sizes), dim=1)], dim=1)
    return (means @ means.mT).square()


class LocalMaxGlobalMin(nn.Module):
    """Makes channels of one group similar (local max) and channels of two groups dissimilar (global min).

    Loss = ½ · (mean over m of (1 - S_mm) + mean over pairs m ≠ n of S_mn), S_mn the mean of d_ij² over i in m, j in n.

    `form` chooses the second mean, or another form of the loss:
        pairs: every pair of groups has the same weight, as every D_mn has in the paper.
        union: released code. Each group n > 1 is compared with all earlier channels at once, which gives G - 1 terms,
            but these are divided by the number of pairs, G (G - 1) / 2: 2 / G of the weight that `pairs` gives.
        frobenius: ½ · (‖D‖² - 2 ‖diag D‖²), the mean taken before the square. Reconstructed; see README.

    With a single group the second mean is empty and counts 0. Raises `ValueError` for another `form`.
    """

    weights: Tensor

    def __init__(self, sizes: Sequence[int], form: Form = "pairs") -> None:
        super().__init__()
        check_word("form", form, get_args(Form))
        self.sizes, self.form = tuple(sizes), form
        self.register_buffer("weights", group_weights(sizes, form), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, C, h, w)` -> scalar float32, the mean over the images."""
        with torch.autocast(features.device.type, enabled=False):
            x = normalised_channels(features)
            if self.form == "frobenius":
                return 0.5 * (self.weights * squared_mean_cosines(x, self.sizes).mean(dim=0)).sum()
            return 0.5 * (1 + (self.weights * mean_squared_cosines(x, self.sizes).mean(dim=0)).sum())


def group_weights(sizes: Sequence[int], form: Form) -> Tensor:
    """Weight of each S_mn (D_mn² in `frobenius`) in the loss, `(G, G)`, without the constants of the terms."""
    groups = len(sizes)
    if form == "frobenius":
        return 1 - 2 * torch.eye(groups)
    earlier = torch.ones(groups, groups).triu(diagonal=1)  # m < n: each pair once
    if form == "union":  # a mean over the union of groups weighs each by its number of channels
        counts = earlier * torch.tensor(sizes, dtype=torch.float32)[:, None]
        earlier = counts / counts.sum(dim=0).clamp_min(1)
    return earlier / max(1, groups * (groups - 1) // 2) - torch.eye(groups) / groups


def entropy(logits: Tensor) -> Tensor:
    """H(P) = -sum over classes of P log P, the mean over the images in nats: `(B, K)` -> scalar."""
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1).mean()


def soft_cross_entropy(teacher: Tensor, students: Tensor) -> Tensor:
    """H(P_w, P_a) = -sum over classes of P_w log P_a, the mean over groups and images in nats.

    Logits `(B, K)` of the whole and `(G, B, K)` of the groups -> scalar. Together with the entropy this is the paper's
    KL(P_w‖P_a) = -H(P_w) + H(P_w, P_a), with a separate weight for each part. As in released code the whole learns
    from this term too: the gradient is not stopped at the teacher.
    """
    return -(teacher.softmax(dim=-1) * students.log_softmax(dim=-1)).sum(dim=-1).mean()
