"""What the speed benchmarks of the methods measure with: times in turns, bytes of memory, and a whole training step.

Everything runs on the GPU if there is one, else on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median

import torch
from torch import Tensor

from benchmarks.profiling.memory import saved_for_backward
from methods.interface import Method

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")

Work = Callable[[], object]


def finish() -> None:
    """Waits until the GPU has done all that it was given."""
    if CUDA:
        torch.cuda.synchronize()


def turns(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds that each work takes in each round, the GPU's share included; a round before them warms up.

    Taken in turns, so that a busy machine is busy for all.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            finish()
            start = time.perf_counter()
            work()
            finish()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def seconds(works: Mapping[str, Work], rounds: int = 5) -> dict[str, float]:
    """Median seconds of each work, taken in turns."""
    return {name: median(times) for name, times in turns(works, rounds).items()}


def ratio(work: Work, reference: Work, rounds: int = 5) -> float:
    """Median of time over time, taken in turns; no unit, 2 where `work` takes twice as long as `reference`."""
    times = turns({"work": work, "reference": reference}, rounds)
    return median(one / other for one, other in zip(times["work"], times["reference"], strict=True))


def kept(forward: Work, given: Iterable[Tensor] = ()) -> int:
    """Bytes that `forward` leaves for its backward pass, each storage once, without those of `given`.

    It must return what the backward pass begins at: that holds them, or an address would be given to another tensor.
    """
    with saved_for_backward(given) as saved:
        held = forward()
    del held
    return sum(saved.values())


def peak(work: Work, above: int | None = None) -> int:
    """Bytes on the GPU at the height of `work` beyond `above`, or beyond what is held before it. CUDA only."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if above is None else above
    work()
    return torch.cuda.max_memory_allocated() - before


def random_batch(size: int, pixels: int, classes: int) -> tuple[Tensor, Tensor]:
    """Noise `(size, 3, pixels, pixels)` and int64 labels `(size,)` that go through the classes in turn."""
    return torch.randn(size, 3, pixels, pixels), torch.arange(size) % classes


class Training:
    """A method, an optimiser and one batch, seen `passes` times in a step.

    Channels last, as the runner has it; bfloat16 on a GPU, float32 on a CPU.
    """

    def __init__(self, method: Method, images: Tensor, labels: Tensor, passes: int = 1) -> None:
        self.method = method.to(DEVICE).to(memory_format=torch.channels_last).train()
        self.images = images.to(DEVICE).to(memory_format=torch.channels_last)
        self.labels = labels.to(DEVICE)
        self.passes = passes
        # so slow that the weights stay what they are, however many steps are taken
        self.optimizer = torch.optim.SGD(self.method.parameters(), lr=1e-6, momentum=0.9)

    def loss(self) -> Tensor:
        """The forward passes of a step: the sum of their losses, a scalar."""
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
            passes = [self.method.losses(self.images, self.labels) for _ in range(self.passes)]
        return torch.stack([loss for losses in passes for loss in losses.values()]).sum()

    def step(self) -> None:
        """One whole step, done when this returns."""
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()
        with torch.no_grad():
            self.method.after_step()
        finish()

    def peak(self, above: int | None = None) -> int:
        """Bytes on the GPU at the height of a step beyond `above`, or beyond what lies there between steps. CUDA only.

        Weights and momentum lie there between steps, gradients don't.
        """
        self.step()
        self.optimizer.zero_grad()
        return peak(self.step, above)
