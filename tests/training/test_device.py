"""How exactly a device computes is as asked for, and every message that says that memory ran out is understood."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.training.device import gpu_ran_out_of_memory, numerics, ran_out_of_memory

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    OSError(12, "Cannot allocate memory"),
]
OTHERS = [RuntimeError("shapes can't be multiplied"), OSError("no such file")]


@pytest.mark.parametrize(
    ("precision", "products", "convolutions"),
    [("fp32", "highest", False), ("tf32", "high", True), ("bf16", "highest", False)],
)
def test_float32_is_rounded_only_if_asked_for(precision: str, products: str, convolutions: bool) -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with numerics(precision):
        assert torch.get_float32_matmul_precision() == products
        assert torch.backends.cudnn.allow_tf32 == convolutions
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_gpu_is_deterministic_only_if_asked_for(deterministic: bool) -> None:
    with numerics("fp32", deterministic):
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert torch.backends.cudnn.benchmark != deterministic
        assert torch.utils.deterministic.fill_uninitialized_memory != deterministic
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize("error", [*OUT_OF_MEMORY, *OTHERS], ids=str)
def test_a_lack_of_memory_is_recognised_on_a_gpu_and_torchs_own_error_on_a_cpu_too(error: Exception) -> None:
    assert ran_out_of_memory(error) is (error in OUT_OF_MEMORY)
    assert gpu_ran_out_of_memory(error, torch.device("cuda")) is (error in OUT_OF_MEMORY)
    assert gpu_ran_out_of_memory(error, torch.device("cpu")) is isinstance(error, torch.OutOfMemoryError)


@pytest.mark.parametrize(("met", "expected"), [(torch.OutOfMemoryError("no more"), True), (KeyError("no key"), False)])
def test_a_lack_of_memory_is_recognised_within_a_compilers_error(met: Exception, expected: bool) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise met

    with pytest.raises(Exception, match="no") as raised:
        torch.compile(lambda x: x + 1, backend=backend)(torch.ones(1))
    assert raised.value is not met
    assert ran_out_of_memory(raised.value) is expected
