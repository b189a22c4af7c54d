"""API-Net against the formulas, pair by pair, and its training with whatever pairs a batch has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.api_net.model import APINet
from methods.backbones import TimmBackbones
from methods.interface import Sampling

CLASSES = 6


def make(**options: object) -> APINet:
    """Without dropout, whose draws no other formula can repeat; with weights for which the gates of a pair differ."""
    torch.manual_seed(0)
    method = APINet(TimmBackbones("test_resnet", 64), CLASSES, **{"dropout": 0.0, "hidden": 8, **options})
    for name, parameter in method.named_parameters():
        if name.startswith(("head", "mutual")):
            torch.nn.init.normal_(parameter)
    return method.eval()


def batch(labels: list[int]) -> tuple[Tensor, Tensor]:
    return torch.randn(len(labels), 3, 64, 64, generator=torch.Generator().manual_seed(1)), torch.tensor(labels)


def slow_losses(method: APINet, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and ranking of one pair after the other, by equations 1 to 6."""
    (maps,) = method.backbone(images)
    x = [one.flatten(1).mean(dim=1) for one in maps]
    entropies, rankings = [], []
    for same_class in (True, False):
        if ("intra" if same_class else "inter") not in method.pairs:
            continue
        for i in range(len(labels)):
            others = [j for j in range(len(labels)) if j != i and bool(labels[i] == labels[j]) == same_class]
            if not others:
                continue
            pair = (i, min(others, key=lambda j: (x[i] - x[j]).norm().item()))
            mutual = method.mutual(torch.cat([x[pair[0]], x[pair[1]]]))
            gates = [torch.sigmoid(mutual * x[k]) for k in pair]
            for k, own, other in ((pair[0], gates[0], gates[1]), (pair[1], gates[1], gates[0])):
                p_self, p_other = (method.head(x[k] + x[k] * gate).softmax(dim=0)[labels[k]] for gate in (own, other))
                entropies += [-p_self.log()] + ([-p_other.log()] if method.gates == "both" else [])
                rankings.append((p_other - p_self + method.margin).clamp_min(0))
    return sum(entropies) / len(entropies), sum(rankings) / len(rankings)


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 1, 4, 4, 4], [0, 0, 1], [0, 1, 2], [3, 3, 3, 3]])
@pytest.mark.parametrize("options", [{}, {"gates": "self"}, {"margin": 0.3, "ranking": 2.0}])
def test_losses_are_those_of_the_pairs_that_there_are(labels, options):
    method = make(**options)
    entropy, ranking = slow_losses(method, *batch(labels))
    expected = {"cross_entropy": entropy}
    if method.gates == "both":
        expected["ranking"] = method.ranking * ranking
    torch.testing.assert_close(method.losses(*batch(labels)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["intra", "inter"])
def test_one_kind_of_pairs(kind):
    method, labels = make(pairs=[kind]), [0, 0, 0, 1, 1, 2]
    entropy, ranking = slow_losses(method, *batch(labels))
    found = method.losses(*batch(labels))
    torch.testing.assert_close(found, {"cross_entropy": entropy, "ranking": ranking}, rtol=1e-4, atol=1e-5)


def test_the_ranking_favours_the_own_gate():
    """A step down the ranking alone raises p(self) - p(other)."""
    method = make(margin=1.0)
    images, labels = batch([0, 0, 1, 1])
    before = method.losses(images, labels)["ranking"]
    before.backward()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.sub_(1e-2 * parameter.grad)
    assert method.losses(images, labels)["ranking"] < before


def test_without_pairs_it_is_the_backbone_with_its_classifier():
    method, (images, labels) = make(pairs=[]), batch([0, 1, 2])
    expected = torch.nn.functional.cross_entropy(method(images), labels)
    torch.testing.assert_close(method.losses(images, labels), {"cross_entropy": expected})
    assert not [name for name, _ in method.named_parameters() if name.startswith("mutual")]


def test_one_image_has_no_pair_and_a_loss_of_0():
    losses = make().losses(*batch([2]))
    assert {name: loss.item() for name, loss in losses.items()} == {"cross_entropy": 0, "ranking": 0}


def test_every_piece_of_two_or_more_images_teaches_the_whole_network():
    """A piece may have one class only, as the runner cuts P x K batches, or each class once."""
    for labels in ([0, 0], [0, 1], [0, 0, 1], [2, 2, 2, 2], [0, 1, 2, 3]):
        method = make()
        sum(method.losses(*batch(labels)).values()).backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in method.head.parameters())
        assert all(parameter.grad.abs().sum() > 0 for parameter in method.mutual.parameters())
        assert sum(parameter.grad.abs().sum() for parameter in method.backbone.parameters()) > 0


@pytest.mark.parametrize("pieces", [1, 3])
def test_it_learns_a_batch_by_heart_in_pieces_too(pieces):
    method = make().train()
    images, labels = batch([label for label in range(4) for _ in range(4)])
    cut = list(zip(images.tensor_split(pieces), labels.tensor_split(pieces), strict=True))
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        for piece in cut:
            sum(method.losses(*piece).values()).backward()
        optimizer.step()
    assert (method(images).argmax(dim=1) == labels).float().mean() > 0.9


def test_batches_have_the_images_of_a_class_that_the_option_says():
    assert make().sampling == Sampling(images_per_class=4)
    assert make(images_per_class=2).sampling.groups(32) == (16, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": ["intre"]}, "'intre'; it must be one of intra, inter"),
        ({"gates": "single"}, "'single'; it must be one of both, self"),
        ({"images_per_class": 1}, "2 or more"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_attention_is_the_evidence_for_the_predicted_class():
    method, (images, _) = make(), batch([0, 1, 2])
    (maps,) = method.backbone(images)
    predicted = method(images).argmax(dim=1)
    evidence = torch.stack(
        [(method.head.weight[c][:, None, None] * one).sum(0) for one, c in zip(maps, predicted, strict=True)]
    )
    torch.testing.assert_close(method.attention(images)[:, 0], evidence.clamp_min(0), rtol=1e-4, atol=1e-5)
