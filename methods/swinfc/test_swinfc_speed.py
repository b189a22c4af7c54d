"""Speed and memory of SwinFC's operators against the plain formulas and released code.

On a CUDA GPU the sizes are the paper's (Swin-B, 384 px, batch 32), on a CPU one image. What autograd keeps for the
backward pass is counted without weights and inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.ops.contrast import contrastive_loss
from methods.swinfc.modules import CrossSpaceAttention, ExternalAttention, pooled_complements
from methods.swinfc.selection import pool_selected
from tests.helpers.speed import CUDA, DEVICE, compare

BATCH = 32 if CUDA else 1
Way = Callable[[], Tensor]


def compare_training(benchmark, given: Sequence[Tensor], ways: dict[str, Way], rounds: int = 5) -> None:
    """Checks that all ways give the same, and compares them forward and backward."""
    expected = ways["ours"]().detach()
    for way in ways.values():
        torch.testing.assert_close(way().detach(), expected, rtol=1e-3, atol=1e-4)
    trained = {name: lambda way=way: way().sum().backward() for name, way in ways.items()}
    compare(benchmark, trained, ways, given, rounds)


@pytest.mark.benchmark(group="swinfc operators, forward and backward")
@pytest.mark.parametrize(("s", "t"), [(2304, 576), (2304, 144), (576, 144)])
def test_fusion_of_two_stages(benchmark, s, t):
    a, b = (torch.randn(BATCH, 512, n, device=DEVICE, requires_grad=True) for n in (s, t))

    def ours() -> Tensor:
        return torch.cat(pooled_complements(a, b), dim=1)

    def slow() -> Tensor:
        """The formula: both softmaxes, both maps, then their means."""
        m = -torch.einsum("bds,bdt->bst", F.normalize(a, dim=1), F.normalize(b, dim=1))
        y_a = torch.einsum("bdt,bst->bds", b, m.softmax(dim=2))
        y_b = torch.einsum("bds,bst->bdt", a, m.softmax(dim=1))
        return torch.cat([y_a.mean(dim=2), y_b.mean(dim=2)], dim=1)

    def released() -> Tensor:
        """As in FBSD's code: one matrix, transposed for the second softmax; its factor left out."""
        m = -1 * torch.bmm(F.normalize(a.transpose(1, 2), dim=2), F.normalize(b, dim=1))
        y_b = torch.bmm(a, F.softmax(m, dim=1))
        y_a = torch.bmm(b, F.softmax(m.transpose(1, 2), dim=1))
        return torch.cat([y_a.mean(dim=2), y_b.mean(dim=2)], dim=1)

    compare_training(benchmark, [a, b], {"ours": ours, "slow": slow, "released": released})


@pytest.mark.benchmark(group="swinfc operators, forward and backward")
@pytest.mark.parametrize(("channels", "side"), [(256, 48), (512, 24), (1024, 12)])
def test_external_attention(benchmark, channels, side):
    module = ExternalAttention(channels, 64, double_norm=False).to(DEVICE)
    features = torch.randn(BATCH, channels, side, side, device=DEVICE, requires_grad=True)

    def slow() -> Tensor:
        """The three taps of W1 one by one, as products of matrices."""
        x = features.flatten(2)
        padded = F.pad(x, (1, 1))
        taps = (module.w1.weight[:, :, k] @ padded[:, :, k : k + x.shape[2]] for k in range(3))
        return (x + module.w2.weight[:, :, 0] @ module.norm(sum(taps))).view_as(features)

    compare_training(benchmark, [features, *module.parameters()], {"ours": lambda: module(features), "slow": slow})


@pytest.mark.benchmark(group="swinfc operators, forward and backward")
@pytest.mark.parametrize(("channels", "side"), [(256, 48), (512, 24), (1024, 12)])
def test_cross_space_attention(benchmark, channels, side):
    module = CrossSpaceAttention(channels, 32).to(DEVICE)
    features = torch.randn(BATCH, channels, side, side, device=DEVICE, requires_grad=True)

    def slow() -> Tensor:
        """Both gates expanded to whole maps."""
        rows = module.rows(features.mean(dim=3, keepdim=True)).expand_as(features).contiguous()
        columns = module.columns(features.mean(dim=2, keepdim=True)).expand_as(features).contiguous()
        return features * rows * columns

    compare_training(benchmark, [features, *module.parameters()], {"ours": lambda: module(features), "slow": slow})


@pytest.mark.benchmark(group="swinfc operators, forward and backward")
def test_selection_and_contrast(benchmark):
    size, margin = 32, 0.4
    attention = torch.rand(size, 32, 12, 12, device=DEVICE)
    tokens = torch.randn(size, 1024, 12, 12, device=DEVICE, requires_grad=True)
    labels = torch.arange(size, device=DEVICE) % 8

    def ours() -> Tensor:
        return contrastive_loss(pool_selected(attention, tokens, None), labels, margin)

    def slow() -> Tensor:
        """Image by image, pair by pair."""
        places = attention.flatten(2).argmax(dim=2)
        vectors = [tokens[i].flatten(1)[:, places[i]].mean(dim=1) for i in range(size)]
        units = [vector / vector.norm() for vector in vectors]
        total = tokens.new_zeros(())
        for i in range(size):
            for j in range(size):
                cosine = units[i] @ units[j]
                total = total + (1 - cosine if labels[i] == labels[j] else (cosine - margin).clamp_min(0))
        return total / size**2

    def released() -> Tensor:
        """As in TransFG's code: patches gathered image by image, a row of the label matrix at a time."""
        places = attention.flatten(2).max(dim=2).indices
        parts = torch.stack([tokens[i].flatten(1).T[places[i]] for i in range(size)])
        units = F.normalize(parts.mean(dim=1))
        cosine = units.mm(units.t())
        same = torch.stack([labels == labels[i] for i in range(size)]).float()
        apart = cosine - margin
        apart[apart < 0] = 0
        return (((1 - cosine) * same).sum() + (apart * (1 - same)).sum()) / (size * size)

    compare_training(benchmark, [tokens, attention], {"ours": ours, "slow": slow, "released": released}, rounds=3)
