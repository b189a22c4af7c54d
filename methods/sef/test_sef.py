"""SEF against slow, obvious formulas, and against what the paper promises; its grouping loss: test_sef_grouping.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import methods
from methods.backbones import TimmBackbones
from methods.interface import BackboneError
from methods.sef import losses
from methods.sef.model import SEF
from methods.sef.test_sef_grouping import as_released, draw, groups_of, seeds

VARIANTS = methods.variants("sef")
CLASSES = 5


class Fixed(nn.Module):
    """A `BackboneSource` and its backbone: one cheap map of `channels` channels, from a strided convolution."""

    is_backbone = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = (channels,)
        self.conv = nn.Conv2d(3, channels, 8, stride=8)

    def features(self, taps: object, name: str | None = None) -> nn.Module:
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.conv(images).relu()]


def make(**options: object) -> SEF:
    torch.manual_seed(0)
    return SEF(TimmBackbones("test_resnet", 64), CLASSES, **options)


def batch(size: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.randn(size, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(size) % CLASSES


@settings(max_examples=15, deadline=None)
@given(groups=st.integers(1, 4), images=st.integers(1, 3), classes=st.integers(2, 5), seed=seeds)
def test_entropy_and_soft_cross_entropy(groups, images, classes, seed):
    whole, parts = draw(images, classes, seed=seed), draw(groups, images, classes, seed=seed + 1)
    p, q = whole.softmax(1), parts.softmax(2)
    slow_entropy = -sum(p[b, k] * p[b, k].log() for b in range(images) for k in range(classes)) / images
    slow_cross = -sum(
        p[b, k] * q[g, b, k].log() for g in range(groups) for b in range(images) for k in range(classes)
    ) / (groups * images)
    torch.testing.assert_close(losses.entropy(whole), slow_entropy)
    torch.testing.assert_close(losses.soft_cross_entropy(whole, parts), slow_cross)


def test_gradients_of_entropy_and_distillation_also_at_the_teacher():
    whole, parts = draw(2, 4).requires_grad_(), draw(3, 2, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(losses.entropy, whole)
    assert torch.autograd.gradcheck(losses.soft_cross_entropy, (whole, parts))
    losses.soft_cross_entropy(whole, parts).backward()
    assert whole.grad.abs().max() > 0


@pytest.mark.parametrize(("variant", "flatter"), [("maxent", True), ("released_maxent", False)])
def test_sign_of_the_entropy_term(variant, flatter):
    method = SEF(Fixed(8), CLASSES, **VARIANTS[variant])
    images, labels = batch()
    before = losses.entropy(method(images)).item()
    method.losses(images, labels)["entropy"].backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.sub_(0.1 * parameter.grad)
    assert (losses.entropy(method(images)).item() > before) == flatter


@pytest.mark.parametrize("classes", [4, 200])
def test_how_sure_a_prediction_is_wanted(classes):
    """Cross-entropy less entropy is least where log(p (K - 1) / (1 - p)) = 1 / p, p of the true class (README)."""
    p = torch.linspace(0.01, 0.99, 981, dtype=torch.float64)
    logits = torch.stack([(p * (classes - 1) / (1 - p)).log(), *[torch.zeros_like(p)] * (classes - 1)], dim=1)
    total = torch.stack([F.cross_entropy(row[None], torch.tensor([0])) - losses.entropy(row[None]) for row in logits])
    best = p[total.argmin()].item()
    assert best == pytest.approx({4: 0.62, 200: 0.24}[classes], abs=0.01)


def test_published_numbers_are_answered_by_the_grouping_loss_that_made_them():
    """All come from the authors' code, which takes the union of the earlier groups; for two groups that is the pair."""
    rows = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))["entries"]
    made = [VARIANTS[row["answered_by"]["variant"]] for row in rows if row["value"] and "answered_by" in row]
    assert len(made) == 10
    assert all(options.get("lmgm_form") == "union" or options["groups"] == 2 for options in made)


# --- the method -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "released", "groups_3"])
def test_losses_are_those_of_the_formulas(variant):
    method = make(**VARIANTS[variant]).eval()
    images, labels = batch()
    (features,) = method.backbone(images)
    pooled, sizes = features.mean((2, 3)), method.sizes
    parts = [head(pooled[:, group]) for head, group in zip(method.local_heads, groups_of(sizes), strict=True)]
    log_p = method(images).log_softmax(1)
    distilled = sum((F.kl_div(part.log_softmax(1), log_p.exp(), reduction="batchmean")) for part in parts)
    flatness = -(log_p.exp() * log_p).sum(1).mean()
    expected = {
        "cross_entropy": F.nll_loss(log_p, labels),
        "lmgm": as_released(features, sizes) if variant == "released" else method.grouping(features),
        "entropy": -flatness,
        "distillation": 0.05 * (distilled / len(parts) + flatness),
    }
    torch.testing.assert_close(method.losses(images, labels), expected)


def test_labels_enter_through_the_whole_prediction_only():
    method = make().eval()
    images, labels = batch()
    first, second = method.losses(images, labels), method.losses(images, (labels + 1) % CLASSES)
    assert {name for name in first if not torch.equal(first[name], second[name])} == {"cross_entropy"}


def test_local_heads_are_not_used_at_test_time():
    method = make().eval()
    images, _ = batch()
    before = method(images)
    for head in method.local_heads:
        nn.init.constant_(head.weight, torch.nan)
    assert torch.equal(method(images), before)


def test_its_branches_are_what_each_group_of_channels_predicts():
    method, (images, _) = make(groups=3).eval(), batch()
    (features,) = method.backbone(images)
    found = method.branches(images)
    assert list(found) == ["group 1", "group 2", "group 3"]
    start = 0
    for head, size, logits in zip(method.local_heads, method.sizes, found.values(), strict=True):
        expected = head(features[:, start : start + size].mean(dim=(2, 3)))
        torch.testing.assert_close(logits, expected)
        start += size
    assert make(distillation=0.0).branches(images) == {}  # nothing teaches the heads


def test_extra_parameters_are_those_the_paper_counts():
    extra = {
        groups: sum(p.numel() for p in SEF(Fixed(2048), 200, groups=groups).local_heads.parameters())
        for groups in (1, 3, 4)
    }
    assert extra == {groups: 2048 * 200 + groups * 200 for groups in extra}
    assert 100 * extra[4] / 23_917_832 == pytest.approx(1.7, abs=0.05)  # ResNet-50 with a classifier of 200 classes


def test_backbone_with_fewer_channels_than_groups_is_refused():
    with pytest.raises(BackboneError, match="4 channels"):
        SEF(Fixed(4), CLASSES, groups=5)


def test_attention_is_the_mean_activation_of_each_group():
    method, (images, _) = make(groups=3).eval(), batch()
    (features,) = method.backbone(images)
    means = torch.stack([features[:, group].mean(dim=1) for group in groups_of(method.sizes)], dim=1)
    torch.testing.assert_close(method.attention(images), means.clamp_min(0))


def test_a_step_of_the_reconstruction_compiles_without_a_graph_break():
    """`paper` is compiled with every method; `frobenius` is other code."""
    method, (images, labels) = make(**VARIANTS["frobenius"]), batch()
    compiled = torch.compile(method.losses, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images, labels), method.losses(images, labels))


def test_training_lowers_every_loss_but_keeps_the_prediction_flat():
    torch.manual_seed(0)
    method = SEF(Fixed(16), CLASSES)
    images, labels = batch(8)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    totals = []
    for _ in range(40):
        optimizer.zero_grad()
        terms = method.losses(images, labels)
        sum(terms.values()).backward()
        optimizer.step()
        totals.append({name: term.item() for name, term in terms.items()})
    assert sum(totals[-1].values()) < sum(totals[0].values()) - 0.1
    assert totals[-1]["cross_entropy"] < totals[0]["cross_entropy"]
    assert totals[-1]["lmgm"] < totals[0]["lmgm"]
    assert totals[-1]["entropy"] < -0.3
