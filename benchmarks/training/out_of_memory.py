"""Whether an error says that memory was too small: torch and the libraries below it say so in many ways."""

from __future__ import annotations

import torch

NO_MEMORY = (
    "can't allocate memory",
    "could not create a memory",
    "cannot allocate memory",
    "cuda out of memory",
    "cuda error: out of memory",
    "driver error: out of memory",
    "triton error [cuda]: out of memory",
    "unable to find an engine",  # cuDNN, of which each way that it tried wanted more
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
"""How libraries below torch say it, in whatever case, in errors that have no type of their own."""


def ran_out(error: BaseException | None) -> bool:
    """Whether an error says that memory was too small, on whatever device; or was raised over one that does, or holds
    it, as torch.compile wraps what it meets and hides where it comes from."""
    if error is None:
        return False
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    told = isinstance(error, (RuntimeError, OSError)) and any(words in str(error).lower() for words in NO_MEMORY)
    within = getattr(error, "inner_exception", None)
    return told or any(ran_out(one) for one in (within, error.__cause__ or error.__context__))
