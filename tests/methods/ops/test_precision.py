"""What is computed once from float32 numbers is computed in full float32, whatever the precision of a Run."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.training.device import numerics
from methods.bilinear_cnn.svm import one_vs_all_svm
from methods.dfl_cnn.initialise import class_filters


class Products(TorchDispatchMode):
    """Keeps the precision that each product of float32 matrices may have."""

    def __init__(self) -> None:
        super().__init__()
        self.precisions: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket.__name__ in ("mm", "addmm", "bmm", "baddbmm") and args[0].dtype == torch.float32:
            self.precisions.append(torch.get_float32_matmul_precision())
        return function(*args, **(kwargs or {}))


def test_the_svms_of_bilinear_cnn_multiply_descriptors_in_full_float32():
    descriptors = F.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    with numerics("tf32"), Products() as products:
        one_vs_all_svm(descriptors, torch.arange(40) % 2, 2, torch.device("cpu"))
        assert torch.get_float32_matmul_precision() == "high"
    assert products.precisions == ["highest"] * 2  # the Gram matrix and the weights


def test_the_first_filters_of_dfl_cnn_are_computed_in_full_float32():
    points = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    with numerics("tf32"), Products() as products:
        class_filters(points, torch.arange(60) % 2, torch.zeros(4, 8), (2, 2), whitened=True)
        assert torch.get_float32_matmul_precision() == "high"
    assert set(products.precisions) == {"highest"}
