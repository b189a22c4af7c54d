"""Bilinear CNN against slow, obvious formulas, and what the paper promises of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import methods
from methods.backbones import TimmBackbones
from methods.bilinear_cnn.model import BilinearCNN, bilinear_pool, maximum_pool
from methods.ops.second_order.roots import FORMS, signed_sqrt

sizes = st.integers(1, 5)
signed = st.floats(-100, 100, width=32)


def maps(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny(**options: Any) -> BilinearCNN:
    torch.manual_seed(0)
    return BilinearCNN(TimmBackbones("test_resnet", 32), 3, **options)


# ---- operators --------------------------------------------------------------------------------------------------


@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_pooling_is_the_mean_of_the_outer_products_of_all_positions(b, c, d, h, w, seed):
    a, other = maps(seed, b, c, h, w), maps(seed + 100, b, d, h, w)
    slow = torch.zeros(b, c, d, dtype=torch.float64)
    for row in range(h):
        for column in range(w):
            for image in range(b):
                slow[image] += torch.outer(a[image, :, row, column].double(), other[image, :, row, column].double())
    torch.testing.assert_close(bilinear_pool(a, other).double(), slow.flatten(1) / (h * w), rtol=1e-5, atol=1e-5)


@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_maximum_pooling_is_the_largest_of_the_outer_products_of_all_positions(b, c, d, h, w, seed):
    a, other = maps(seed, b, c, h, w), maps(seed + 100, b, d, h, w)
    slow = torch.full((b, c, d), -torch.inf)
    for image in range(b):
        for row in range(h):
            for column in range(w):
                product = torch.outer(a[image, :, row, column], other[image, :, row, column])
                slow[image] = slow[image].maximum(product)
    torch.testing.assert_close(maximum_pool(a, other), slow.flatten(1))


def test_maximum_pooling_has_the_right_gradient_and_reaches_the_descriptor():
    a, b = (maps(seed, 2, 3, 2, 2).double().requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(maximum_pool, (a, b))
    method, images = tiny(maximum=True, sqrt=False, l2=False).eval(), maps(2, 2, 3, 64, 64)
    with torch.no_grad():
        (features,) = method.backbone(images)
        torch.testing.assert_close(method.descriptor(images), maximum_pool(features, features))
        assert not torch.allclose(method.descriptor(images), bilinear_pool(features, features))


def test_pooling_stays_float32_under_autocast():
    a = maps(0, 2, 8, 14, 14)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = bilinear_pool(a, a)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, bilinear_pool(a, a))


@given(st.lists(signed, min_size=1, max_size=8), st.sampled_from(sorted(FORMS)))
@settings(deadline=None)
def test_every_form_is_the_papers_root_up_to_the_root_of_epsilon(values: list[float], form: str):
    x = torch.tensor(values, dtype=torch.float64)
    paper = torch.tensor([(v > 0) - (v < 0) for v in values]) * torch.tensor([abs(v) ** 0.5 for v in values]).double()
    error = (signed_sqrt(x, form, 1e-5) - paper).abs()
    assert (error <= (1e-6 if form == "exact" else 1e-5**0.5 + 1e-6)).all()


@given(st.lists(signed, min_size=1, max_size=8))
@settings(deadline=None)
def test_the_bounded_form_is_the_difference_of_two_rectified_roots(values: list[float]):
    """As the authors' PyTorch code has it."""
    x = torch.tensor(values, dtype=torch.float64)
    released = (x.clamp_min(0) + 1e-5).sqrt() - ((-x).clamp_min(0) + 1e-5).sqrt()
    torch.testing.assert_close(signed_sqrt(x, "bounded", 1e-5), released)


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=8))
@settings(deadline=None)
def test_the_offset_form_is_the_replications(values: list[float]):
    x = torch.tensor(values).abs()
    torch.testing.assert_close(signed_sqrt(x, "offset", 1e-5), (x + 1e-5).sqrt())


@given(st.lists(signed, min_size=1, max_size=8))
@settings(deadline=None)
def test_the_signed_form_is_the_tutorials(values: list[float]):
    x = torch.tensor(values, dtype=torch.float64)
    slow = torch.tensor([((v > 0) - (v < 0)) * (abs(v) + 1e-10) ** 0.5 for v in values], dtype=torch.float64)
    torch.testing.assert_close(signed_sqrt(x, "signed", 1e-10), slow)


def test_the_tutorials_variant_is_their_formula_on_the_last_map():
    method, images = tiny(**methods.variants("bilinear_cnn")["tutorial_resnet18"]).eval(), maps(0, 2, 3, 64, 64)
    with torch.no_grad():
        (features,) = method.backbone(images)
        assert features.shape[2:] == (2, 2)
        x = torch.stack([(one.flatten(1) @ one.flatten(1).T / 4).flatten() for one in features])
        y = x.sign() * (x.abs() + 1e-10).sqrt()
        torch.testing.assert_close(method.descriptor(images), y / y.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_slope_is_that_of_the_square_root_and_never_infinite(form: str):
    x = torch.tensor([-9.0, -0.25, 0.0, 1e-12, 0.25, 9.0], dtype=torch.float64, requires_grad=True)
    weight = torch.arange(1.0, 7, dtype=torch.float64)
    (slope,) = torch.autograd.grad((weight * signed_sqrt(x, form, 1e-8)).sum(), x)
    torch.testing.assert_close(slope, weight * 0.5 / (x.detach().abs() + 1e-8).sqrt())


# ---- the method -------------------------------------------------------------------------------------------------


def test_the_descriptor_has_length_one_and_its_normalisations_can_be_switched_off():
    images = maps(0, 2, 3, 32, 32)
    built = {(sqrt, l2): tiny(sqrt=sqrt, l2=l2).eval() for sqrt in (True, False) for l2 in (True, False)}
    with torch.no_grad():
        z = {key: method.descriptor(images) for key, method in built.items()}
        (a,) = built[True, True].backbone(images)
    x = bilinear_pool(a, a)
    torch.testing.assert_close(z[False, False], x)
    torch.testing.assert_close(z[True, False], signed_sqrt(x, "bounded", 1e-5))
    torch.testing.assert_close(z[False, True], x / x.norm(dim=1, keepdim=True))
    torch.testing.assert_close(z[True, True].norm(dim=1), torch.ones(2))


def test_two_networks_whose_maps_differ_in_size():
    method = tiny(second="test_convnext", second_tap=8)
    assert method.classifier.in_features == 192 * method.second.channels[0]
    images = maps(0, 2, 3, 32, 32)
    with torch.no_grad():
        (a,), (b,) = method.eval().backbone(images), method.second(images)
        assert a.shape[2:] != b.shape[2:]
        resized = F.interpolate(b, size=a.shape[2:], mode="bilinear", align_corners=False)
        expected = F.normalize(signed_sqrt(bilinear_pool(a, resized), "bounded", 1e-5), dim=1)
        torch.testing.assert_close(method.descriptor(images), expected)


def test_the_first_phase_trains_the_classifier_alone():
    method = tiny()
    first, second = method.phases()
    assert (first.name, first.trains, second.name, second.trains) == ("classifier", ("head",), "all", None)
    assert method.parameter_groups()["head"] == [method.classifier.weight, method.classifier.bias]


@pytest.mark.parametrize("options", [{"stages": []}, {"stages": ["svm"]}, {"root": "square"}])
def test_an_option_that_means_nothing_is_refused(options: dict[str, Any]):
    with pytest.raises(ValueError, match="must be"):
        tiny(**options)


# ---- the last step --------------------------------------------------------------------------------------------------


def test_finish_puts_the_svms_in_place_of_the_classifier():
    method = tiny(svm=True).eval()
    images, labels = maps(0, 12, 3, 32, 32), torch.arange(12) % 3
    assert method.finish([(images[:5], labels[:5]), (images[5:], labels[5:])])
    with torch.no_grad():
        scores = method(images)
        views = [method.classifier(method.descriptor(view)) for view in (images, images.flip(3))]
    assert (scores.argmax(1) == labels).all()
    # the descriptors of noise are nearly the same, so calibrated weights are large
    torch.testing.assert_close(scores, sum(views) / 2, rtol=0, atol=1e-3)
    torch.testing.assert_close(method(images.flip(3)), scores, rtol=0, atol=1e-3)
    assert method.views == 2


def test_finish_leaves_a_softmax_classifier_alone():
    method = tiny().eval()
    before = method.classifier.weight.clone()
    assert not method.finish([(maps(0, 2, 3, 32, 32), torch.tensor([0, 1]))])
    assert torch.equal(method.classifier.weight, before)
