"""One-vs-all SVMs by scikit-learn, one class at a time: what the solver of all classes is judged by."""

from __future__ import annotations

import torch
from sklearn.svm import LinearSVC
from torch import Tensor


def scores_of_scikit_learn(descriptors: Tensor, labels: Tensor, k: int, others: Tensor) -> Tensor:
    """Calibrated scores of `others` by the SVM of class k, fitted on the descriptors themselves."""
    svm = LinearSVC(loss="hinge", tol=1e-8, max_iter=1_000_000, random_state=0)
    svm.fit(descriptors.double().numpy(), (labels == k).numpy())
    scores, given = (torch.from_numpy(svm.decision_function(one.double().numpy())) for one in (others, descriptors))
    # np.median takes the mean of the middle two, torch.median the lower of them
    high, low = given[labels == k].quantile(0.5), given[labels != k].quantile(0.5)
    return (scores - low) / (high - low)
