"""The SVMs of all classes, solved together, against scikit-learn, which solves one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.bilinear_cnn.dual_solver import relative_gap, solve_duals
from methods.bilinear_cnn.svm import gram_matrix, one_vs_all_svm
from tests.helpers.single_svms import scores_of_scikit_learn

CPU = torch.device("cpu")


def clouds(n: int, d: int, classes: int, spread: float = 1.5) -> tuple[Tensor, Tensor]:
    """Descriptors `(n, d)` of length 1 around a point for each class, and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    centres = torch.randn(classes, d, generator=generator)
    return F.normalize(torch.randn(n, d, generator=generator) + spread * centres[labels], dim=1), labels


@pytest.mark.parametrize(("n", "d", "spread"), [(60, 500, 1.5), (60, 20, 1.5), (200, 10, 0.8)])
def test_the_svms_are_those_of_the_long_descriptors(n: int, d: int, spread: float):
    """Where classes are apart, and where few samples are on their side of the margin."""
    descriptors, labels = clouds(n, d, 3, spread)
    weight, bias = one_vs_all_svm(descriptors, labels, 3, CPU)
    for k in range(3):
        ours = descriptors.double() @ weight[k].double() + bias[k].double()
        torch.testing.assert_close(ours, scores_of_scikit_learn(descriptors, labels, k, descriptors), rtol=0, atol=2e-3)


# ---- the solver -------------------------------------------------------------------------------------------------


def problems(n: int = 300, classes: int = 6, spread: float = 0.4) -> tuple[Tensor, Tensor]:
    """Inner products and signs of SVMs whose samples overlap: many multipliers end at each bound and between."""
    descriptors, labels = clouds(n, 40, classes, spread)
    signs = (labels == torch.arange(classes)[:, None]).double() * 2 - 1
    return gram_matrix(descriptors, CPU) + 1, signs


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_a_solved_dual_meets_its_optimality_conditions(c: float):
    inner, signs = problems()
    x = solve_duals(inner, signs, c, 1e-9)
    multipliers, margins = x * signs, signs * (x @ inner)
    assert ((multipliers >= 0) & (multipliers <= c)).all()
    assert (margins[multipliers == 0] > 1 - 1e-3).all()
    assert (margins[multipliers == c] < 1 + 1e-3).all()
    between = (multipliers > 0) & (multipliers < c)
    torch.testing.assert_close(margins[between], torch.ones(int(between.sum())).double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("gap", [1e-2, 1e-8])
def test_the_gap_is_as_small_as_was_asked_for_and_is_that_of_the_two_objectives(gap: float):
    inner, signs = problems()
    x = solve_duals(inner, signs, 1.0, gap)
    for mine, y, relative in zip(x, signs, relative_gap(x, x @ inner, signs, 1.0), strict=True):
        square = mine @ inner @ mine  # ‖w‖²
        primal = square / 2 + sum(max(0.0, 1 - float(value)) for value in y * (inner @ mine))
        dual = mine.abs().sum() - square / 2
        assert -1e-12 * primal <= primal - dual <= gap * primal
        torch.testing.assert_close(relative, (primal - dual) / primal, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("limit", [{"ENTRIES": 1}, {"NEWCOMERS": 7}, {"STEPS": 5}])
def test_how_the_work_is_cut_does_not_change_the_solution(limit: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    inner, signs = problems()
    whole = solve_duals(inner, signs, 1.0, 1e-10)
    for name, value in limit.items():
        monkeypatch.setattr(f"methods.bilinear_cnn.dual_solver.{name}", value)
    torch.testing.assert_close(solve_duals(inner, signs, 1.0, 1e-10) @ inner, whole @ inner, rtol=0, atol=1e-3)


def test_a_solver_that_gives_up_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("methods.bilinear_cnn.dual_solver.ROUNDS", 1)
    with pytest.warns(RuntimeWarning, match="SVMs have not converged: 6, rounds: 1, largest gap: 6.7e-01"):
        solve_duals(*problems(), 1.0, 1e-8)


# ---- the Gram matrix and the classes -----------------------------------------------------------------------------


def test_the_gram_matrix_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch):
    descriptors, _ = clouds(23, 7, 3)
    monkeypatch.setattr("methods.bilinear_cnn.svm.BLOCK", 5)
    slow = descriptors.double() @ descriptors.double().T
    gram = gram_matrix(descriptors, CPU)
    torch.testing.assert_close(gram, slow + 1e-4 * slow.diagonal().mean() * torch.eye(23), rtol=0, atol=1e-6)


def test_a_class_without_training_images_is_never_predicted():
    descriptors, labels = clouds(20, 10, 2)
    weight, bias = one_vs_all_svm(descriptors, labels, 3, CPU)
    scores = descriptors @ weight.T + bias
    assert (scores.argmax(1) == labels).all()
    assert (scores[:, 2] == -1).all()


def test_a_class_that_has_all_training_images_is_always_predicted():
    weight, bias = one_vs_all_svm(clouds(20, 10, 1)[0], torch.zeros(20), 2, CPU)
    assert not weight.any()
    assert bias.tolist() == [1, -1]


def test_descriptors_of_a_diverged_training_are_refused():
    with pytest.raises(ValueError, match="NaN or infinite"):
        one_vs_all_svm(torch.full((4, 3), torch.nan), torch.arange(4) % 2, 2, CPU)
