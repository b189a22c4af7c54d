"""The SVMs of Bilinear CNN on descriptors of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets import open_dataset
from datasets.loading.store import resized
from methods.backbones import TimmBackbones
from methods.bilinear_cnn.model import BilinearCNN
from methods.bilinear_cnn.svm import one_vs_all_svm
from tests.helpers.single_svms import scores_of_scikit_learn


def test_birds_get_the_scores_and_names_that_scikit_learn_gives_them(real_data: Path, real_weights: Path):
    """Descriptors of a network trained on ImageNet: the cosine of two of them is 0.3 on average."""
    train, labels, test = birds(real_data, real_weights)
    weight, bias = one_vs_all_svm(train, labels, 8, torch.device("cpu"))
    ours = test @ weight.T + bias
    theirs = torch.stack([scores_of_scikit_learn(train, labels, k, test) for k in range(8)], dim=1).float()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)
    assert torch.equal(ours.argmax(1), theirs.argmax(1))


def birds(data: Path, weights: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Descriptors of training images of eight species, their labels, and descriptors of test images."""
    dataset = open_dataset("cub100", data)
    source = TimmBackbones("tf_efficientnet_lite0", 64, "auto", weights)
    method = BilinearCNN(source, 8).eval()

    def described(train: bool) -> tuple[Tensor, Tensor]:
        rows = [np.flatnonzero((dataset.is_train == train) & (dataset.labels == k))[:8] for k in range(8)]
        picked = np.concatenate(rows)
        images = torch.stack([resized(dataset.image(row), 64, "squash", row) for row in picked]) / 127.5 - 1
        with torch.no_grad():
            return method.descriptor(images), torch.from_numpy(dataset.labels[picked])

    train, labels = described(train=True)
    return train, labels, described(train=False)[0]
