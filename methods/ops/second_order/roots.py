"""The signed square root, in the four forms that keep its infinite slope at 0 finite.

Their values differ by at most sqrt(epsilon), and they have the same slope, 1 / (2·sqrt(|x| + epsilon)). The slope is
written out: autograd would make a dozen passes over the largest tensor of the method, and has no slope at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from methods.ops.options import check_positive, check_word


def bounded(x: Tensor, root: Tensor, epsilon: float) -> Tensor:
    """sign(x)·(sqrt(|x| + epsilon) - sqrt(epsilon)), as in the authors' PyTorch code, without its cancellation."""
    return x / (root + epsilon**0.5)


def exact(x: Tensor, root: Tensor, epsilon: float) -> Tensor:
    """sign(x)·sqrt|x|, as in the paper and the authors' MATLAB code, which has the epsilon in the slope alone."""
    return x.abs().sqrt_().copysign_(x)


def offset(x: Tensor, root: Tensor, epsilon: float) -> Tensor:
    """sqrt(x + epsilon), as in most replications; its odd extension below 0, where theirs is undefined."""
    return root.copysign(x)


def signed(x: Tensor, root: Tensor, epsilon: float) -> Tensor:
    """sign(x)·sqrt(|x| + epsilon), as in dasguptar's replication and in tutorials: 0 at 0, beside which it jumps."""
    return root * x.sign()


FORMS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "bounded": bounded,
    "exact": exact,
    "offset": offset,
    "signed": signed,
}


class _SignedRoot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, form: str, epsilon: float) -> Tensor:
        root = x.abs().add_(epsilon).sqrt_()
        ctx.save_for_backward(root)
        return FORMS[form](x, root, epsilon)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (root,) = ctx.saved_tensors
        return gradient / root * 0.5, None, None


def signed_sqrt(x: Tensor, form: str, epsilon: float) -> Tensor:
    """sign(x)·sqrt|x| (Section 3.1) of any tensor, in one of `FORMS`."""
    return _SignedRoot.apply(x, form, epsilon)


def check_root(form: str, epsilon: float) -> None:
    """Raises `ValueError` for options `root` and `epsilon` with which `signed_sqrt` can't be computed."""
    check_word("root", form, FORMS)
    check_positive("epsilon", epsilon)
