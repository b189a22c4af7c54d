"""Probes of frozen features against slow formulas and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from methods.backbones import TimmBackbones
from methods.plain.logistic import fit_logistic, held_out
from methods.plain.model import Plain
from methods.plain.probes import PROBES

CLASSES = 4


def clusters(count: int = 80, channels: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping classes, in channels of very different scale and offset, one of them constant."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, channels, generator=generator)
    labels = torch.arange(count) % CLASSES
    features = 1.5 * torch.randn(count, channels, generator=generator) + centres[labels]
    features = 3 + features * torch.logspace(-2, 1, channels)
    features[:, -1] = 7.0
    return features, labels


def fitted(name: str, features: Tensor, labels: Tensor, classes: int = CLASSES) -> nn.Module:
    head = PROBES[name](features.shape[1], classes)
    head.fit(features, labels)
    return head


def test_the_linear_probe_is_scikit_learn_s_logistic_regression() -> None:
    features, labels = clusters()
    found = fit_logistic(features, labels, CLASSES)
    spread = features.std(dim=0, correction=0)
    spread[-1] = 1.0
    standardised = ((features - features.mean(dim=0)) / spread).double().numpy()
    judge = LogisticRegression(C=1 / (found.l2 * len(labels)), tol=1e-12, max_iter=10**5).fit(standardised, labels)
    own = (features.double() @ found.weight.T + found.bias).log_softmax(dim=1)
    right = torch.from_numpy(judge.predict_log_proba(standardised))
    torch.testing.assert_close(own, right, rtol=0, atol=1e-4)
    assert found.loss == pytest.approx(-right[torch.arange(len(labels)), labels].mean().item(), abs=1e-4)


def test_the_strength_is_the_one_that_held_out_images_prefer() -> None:
    """Each candidate is fitted by scikit-learn to what is not held out."""
    features, labels = clusters(count=60)
    found, held = fit_logistic(features, labels, CLASSES), held_out(labels)
    x = (features[:, :-1] - features[:, :-1].mean(dim=0)) / features[:, :-1].std(dim=0, correction=0)
    losses = {}
    for l2 in (10 * found.l2, found.l2, found.l2 / 10):
        judge = LogisticRegression(C=1 / (l2 * int((~held).sum())), tol=1e-10, max_iter=10**5)
        judge.fit(x[~held].double().numpy(), labels[~held])
        own = torch.from_numpy(judge.predict_log_proba(x[held].double().numpy()))
        losses[l2] = -own.gather(1, labels[held][:, None]).mean().item()
    assert min(losses, key=lambda l2: losses[l2]) == found.l2


def test_scale_and_offset_of_channels_do_not_matter_to_the_linear_probe() -> None:
    features, labels = clusters()
    first, second = (fitted("linear", one, labels)(one) for one in (features, 1000 * features - 5))
    torch.testing.assert_close(first, second, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 1, 0, 0, 2, 0, 0], [2, 7]),  # the last of a class; none of a class with one image
        ([1] * 11, [9, 10]),
        ([0, 1, 2], []),
    ],
)
def test_the_last_fifth_of_each_class_is_held_out(labels: list[int], expected: list[int]) -> None:
    assert held_out(torch.tensor(labels)).nonzero().flatten().tolist() == expected


def test_one_image_of_each_class_is_enough() -> None:
    features, labels = clusters(count=CLASSES)
    for name in PROBES:
        assert fitted(name, features, labels)(features).argmax(dim=1).tolist() == labels.tolist()


def test_nearest_neighbours_vote_with_the_exponential_of_their_cosine() -> None:
    features, labels = clusters()
    asked = clusters(seed=1)[0][:6]
    head = fitted("knn", features, labels)
    for logits, one in zip(head(asked), asked, strict=True):
        cosines = [float(torch.dot(one, other) / (one.norm() * other.norm())) for other in features]
        nearest = sorted(range(len(features)), key=lambda row: -cosines[row])[:20]
        votes = [sum(math.exp(cosines[row] / 0.07) for row in nearest if labels[row] == k) for k in range(CLASSES)]
        expected = torch.tensor(votes) / sum(votes)
        torch.testing.assert_close(logits.exp(), expected.clamp_min(1e-6), rtol=1e-3, atol=1e-6)


def test_a_centroid_is_the_mean_of_a_class_s_features_of_length_one() -> None:
    features, labels = clusters()
    asked = clusters(seed=1)[0][:6]
    logits = fitted("centroid", features, labels)(asked)
    for k in range(CLASSES):
        mean = torch.stack([one / one.norm() for one in features[labels == k]]).mean(dim=0)
        for row, one in enumerate(asked):
            cosine = torch.dot(one, mean) / (one.norm() * mean.norm())
            assert logits[row, k].item() == pytest.approx(cosine.item() / 0.07, abs=1e-3)


@pytest.mark.parametrize("name", PROBES)
def test_a_class_without_images_is_not_predicted(name: str) -> None:
    features, labels = clusters()
    head = fitted(name, -features, labels, classes=CLASSES + 2)  # cosines to the other classes are negative
    assert (head(features).argmax(dim=1) < CLASSES).all()
    assert head(features).isfinite().all()


@pytest.mark.parametrize("name", PROBES)
def test_a_fitted_probe_can_be_loaded_into_a_new_one(name: str) -> None:
    features, labels = clusters()
    head, other = fitted(name, features, labels), PROBES[name](features.shape[1], CLASSES)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(features), head(features))


@pytest.mark.parametrize("name", PROBES)
def test_features_in_half_precision_are_classified_as_their_values_in_float32(name: str) -> None:
    features, labels = clusters()
    head, asked = fitted(name, features, labels), clusters(seed=1)[0].bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(asked)
    assert torch.equal(found, head(asked.float()))


def test_a_file_of_other_features_is_refused() -> None:
    head = fitted("knn", *clusters())
    with pytest.raises(RuntimeError, match="size mismatch"):
        PROBES["knn"](5, CLASSES).load_state_dict(head.state_dict())


def test_the_mean_patch_stands_beside_the_class_token() -> None:
    options = {"embed_dim": 32, "depth": 2, "num_heads": 4}
    source = TimmBackbones("vit_tiny_patch16_224", 96, options=options)
    method = Plain(source, 5, probe="linear", patches=True).eval()
    images = torch.randn(2, 3, 96, 96)
    tokens = method.backbone.net.forward_features(images)
    slow = torch.stack([torch.cat([one[0], one[1:].mean(dim=0)]) for one in tokens])
    torch.testing.assert_close(method.frozen_features(images), slow)
    assert method.attention(images).shape == (2, 1, 6, 6)


def test_patches_are_of_the_last_features_alone() -> None:
    with pytest.raises(ValueError, match="patches are of the tap 'final', not 16"):
        Plain(TimmBackbones("test_resnet", 64), 5, tap=16, patches=True)


def test_an_unknown_probe_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="probe is 'svm'; it must be one of linear, knn, centroid"):
        Plain(TimmBackbones("test_resnet", 64), 5, probe="svm")
