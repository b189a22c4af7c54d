"""The processes that train one Run together, as torchrun starts them. To a process alone all this does nothing.

Each has the same weights and a share of every batch; gradients are summed before each step. That is done here rather
than by torch's DDP, which counts the backward passes of one module's forward: methods take their steps in generators,
several to a batch, over pieces of it, and with parts of their parameters. It costs that sums and backward pass do not
overlap: for a ResNet-50 about 100 MB a step.

With losses that are means over images the weights are those of one process with the whole batch. What looks at several
images at once sees one process's share alone: batch norm unless it is synchronised, losses of pairs (SwinFC's
contrast), mixup and CutMix. A method's own draws differ from process to process. A last batch that has not two images
for each is left out of its epoch.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, distributed, nn

from benchmarks.errors import UserError
from datasets.loading.sampling import share


@dataclass(frozen=True)
class Processes:
    """This process among those that share a Run."""

    device: torch.device
    """What this one computes on."""
    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: str) -> Processes:
        """Joins those that the environment speaks of (`RANK`, `WORLD_SIZE`, `LOCAL_RANK`); meets them once only."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls(torch.device(device))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        own = torch.device("cuda", local) if device == "cuda" else torch.device(device)
        if own.type == "cuda":
            if local >= torch.cuda.device_count():
                raise UserError(f"there are {torch.cuda.device_count()} GPUs here; start no more processes on a host")
            torch.cuda.set_device(own)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
            atexit.register(distributed.destroy_process_group)
        return cls(own, distributed.get_rank(), world)

    @property
    def first(self) -> bool:
        """Whether it is this one that writes files and speaks."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """This one's share of `length` images; laid end to end the shares are all of them."""
        return share(length, (self.rank, self.world))

    def sum(self, values: Tensor) -> Tensor:
        """Element by element over all processes, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def least(self, values: Tensor) -> Tensor:
        """Element by element, in place."""
        if self.world > 1:
            distributed.all_reduce(values, distributed.ReduceOp.MIN)
        return values

    def gather(self, thing: Any) -> list[Any]:
        """Everybody's, by rank."""
        things: list[Any] = [None] * self.world
        if self.world > 1:
            distributed.all_gather_object(things, thing)
            return things
        return [thing]

    def sum_gradients(self, module: nn.Module) -> None:
        """Lets each have the sum of everybody's gradients; all must have gradients of the same parameters."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        for dtype in {gradient.dtype for gradient in gradients}:
            alike = [gradient for gradient in gradients if gradient.dtype == dtype]
            together = self.sum(torch.cat([gradient.flatten() for gradient in alike]))
            for gradient, total in zip(alike, together.split([one.numel() for one in alike]), strict=True):
                gradient.copy_(total.view_as(gradient))

    def follow_first(self, tensors: Iterable[Tensor]) -> None:
        """Lets all have the values of the first."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def synchronise_norms(self, module: nn.Module) -> None:
        """Lets batch norm take its statistics over all processes. Raises `UserError` on CPUs, where torch can't."""
        if self.world == 1:
            return
        if self.device.type != "cuda":
            raise UserError("sync_batchnorm needs GPUs: torch has none for CPUs; set sync_batchnorm to false")
        convert_sync_batchnorm(module)  # timm's, which knows its own norms that have the activation in them
