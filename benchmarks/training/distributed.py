"""The processes that train one Run together, started by torchrun. With a single process nothing here has an effect.

Each process has the same weights and a share of every batch; gradients are summed before each step. Torch's DDP is not
used for that: it expects one backward pass for each forward pass of a module, but methods take their steps in
generators, several for a batch, over pieces of it, and with parts of their parameters. The price is that the sum
does not overlap with the backward pass: for a ResNet-50, about 100 MB a step.

If all losses are means over images, the weights equal those of one process with the whole batch. Operations over
several images see only the share of one process: batch norm unless it is synchronised, losses of pairs (SwinFC's
contrast), mixup and CutMix. A method's own random draws differ between processes. A last batch with fewer than two
images for each process is dropped.
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
from methods.interface import Gather, alone
from methods.network_options import fix_scales, free_scales


@dataclass(frozen=True)
class Processes:
    """This process among those that train a Run together."""

    device: torch.device
    """The device of this process."""
    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: str) -> Processes:
        """Joins the processes named by `RANK`, `WORLD_SIZE` and `LOCAL_RANK`; initialises the group only once."""
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
        """Whether this process writes the files and reports progress."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """This process's share of `length` images; the shares of all processes are all images, in order."""
        return share(length, (self.rank, self.world))

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, element by element, in place."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def minimum(self, values: Tensor) -> Tensor:
        """Minimum over all processes, element by element, in place."""
        if self.world > 1:
            distributed.all_reduce(values, distributed.ReduceOp.MIN)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        values = [value] * self.world
        if self.world > 1:
            distributed.all_gather_object(values, value)
        return values

    def gather_of_batch(self, images: int, together: int = 1) -> Gather:
        """Brings together tensors `(b, …)`, a row for each image of a process's share of a batch of so many images,
        of which `together` are never parted.

        The shares are known, so no process asks another for its own and none waits on its host. All must call it.
        """
        if self.world == 1:
            return alone
        shares = [share(images, (rank, self.world), together) for rank in range(self.world)]
        counts = [one.stop - one.start for one in shares]
        largest, own = max(counts), counts[self.rank]

        def gathered(values: Tensor) -> Tensor:
            if len(values) != own:
                raise ValueError(f"gather got {len(values)} rows; it needs one for each of the {own} images")
            padded = values.new_zeros(largest, *values.shape[1:])  # what is sent must have the same size everywhere
            padded[:own] = values
            parts = [torch.empty_like(padded) for _ in counts]
            distributed.all_gather(parts, padded)
            return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

        return gathered

    def sum_gradients(self, module: nn.Module) -> None:
        """Replaces each gradient by its sum over all processes; all must have gradients of the same parameters."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        for dtype in {gradient.dtype for gradient in gradients}:
            same = [gradient for gradient in gradients if gradient.dtype == dtype]
            flat = self.sum(torch.cat([gradient.flatten() for gradient in same]))
            for gradient, total in zip(same, flat.split([one.numel() for one in same]), strict=True):
                gradient.copy_(total.view_as(gradient))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copies the tensors of the first process to all, in place."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def synchronise_norms(self, module: nn.Module) -> None:
        """Makes batch norm take its statistics over all processes. Raises `UserError` on CPUs, where torch can't."""
        if self.world == 1:
            return
        if self.device.type != "cuda":
            raise UserError("sync_batchnorm needs GPUs: torch has none for CPUs; set sync_batchnorm to false")
        fixed = free_scales(module)  # the conversion knows scales that are parameters only
        convert_sync_batchnorm(module)  # timm's own, because some of its norms include the activation
        fix_scales(module, fixed)
