"""What a profile Run measures, field by field. Part of `record.json`; what is absent has its reason in `missing`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Mode = Literal["train", "inference"]
Resource = Literal["arithmetic", "memory", "launches"]
"""What a step can wait for: multiplications, bytes to and from the device's memory, or the host that starts them."""
Phase = Literal["weights", "gradients", "optimizer", "activations"]


class RecordModel(BaseModel):
    """Part of a record: an unknown field is an error. What is not a number is written as NaN or Infinity; as null, the
    record could not be read again."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class Operation(RecordModel):
    """What one kind of operation costs in a step, without the operations that it calls."""

    name: str
    """In words."""
    milliseconds: float
    """In one step."""
    share: float
    """Of the time of all operations of the step, `[0, 1]`."""
    calls: float
    """In one step."""


class Limits(RecordModel):
    """The most that the device reached just before the measurement and after it: the ceilings of the roofline."""

    flops_per_s: float
    """Product of large square matrices, in the Run's precision."""
    bytes_per_s: float
    """Copy of a large tensor: bytes read and bytes written."""
    launch_s: float
    """Seconds per operation where each has next to nothing to do."""


class Speed(RecordModel):
    """One mode of a method on one device. A *step* takes one batch of `batch_size` source images."""

    batch_size: int
    images_per_s: float
    """Compute alone, from random tensors on the device; median over blocks."""
    images_per_s_p10: float
    images_per_s_p90: float
    blocks: int | None = None
    """How many blocks were kept."""
    steady: bool | None = None
    """Whether two blocks in a row agreed before the first was kept."""
    latency_ms: float | None = None
    """Median milliseconds of one image alone, the wait for the result included (inference only)."""
    latency_ms_p95: float | None = None
    latency_ms_p99: float | None = None
    compile_s: float | None = None
    """Seconds that compiling took: the first steps of compiled code minus later ones; included in no other number."""

    input_images_per_s: float | None = None
    """Images brought to the device and augmented, nothing else; median over blocks."""
    end_to_end_images_per_s: float | None = None
    """Input and compute together, as in training or evaluation; median over blocks."""

    peak_memory: int
    """Bytes. CUDA: most memory allocated by tensors. CPU: what the process grew by at its peak,
    without a compiler's memory."""
    peak_reserved: int | None = None
    """Bytes that torch's allocator took from the GPU for it."""
    memory: dict[Phase, int] = {}
    """Bytes of the tensors that a step holds; `activations` are what waits for the backward pass."""
    largest_batch: int | None = None
    """Images of the largest batch that fits, within a sixteenth."""

    passes: float | None = None
    """Passes through a backbone per source image, counted."""
    flops: float | None = None
    """Per source image in this mode, all passes, the backward pass of a training step included; 2 per multiply-add."""
    bytes: float | None = None
    """Per source image: what the operations read and write, each by itself."""
    launches: float | None = None
    """Operations of a step, of eager code; one operation is one or a few kernels, or none."""
    kernels: float | None = None
    """Kernels, copies and fills of a step on the GPU, as the profiler saw them there, compiled or not. A CPU has none,
    and so no busy share and no time to issue them."""
    busy_share: float | None = None
    """Of a step's time, the part in which at least one of them ran, `[0, 1]`. Their own time is the profiler's, the
    step's is that without it, since a profiler makes the gaps longer."""
    issue_ms: float | None = None
    """Median milliseconds that the host takes to start a step on an idle GPU, without waiting for its end. A GPU's
    queue holds about a thousand kernels: behind a full one the host waits, and the time is an upper bound."""
    shares: dict[Resource, float] = {}
    """Of a step's time, the part that the device would need for this alone, at its `limits`. Launches: `issue_ms` where
    it was measured; else `launches`, each at its limit."""
    joules_per_image: float | None = None
    """Per source image, from the energy meter of the whole GPU: it includes what an idle one uses, and what other
    processes on it use meanwhile (`other_processes` in the record's `state`)."""

    breakdown: dict[str, float] = {}
    """Milliseconds of a step, part by part."""
    operations: list[Operation] = []
    """The costliest ones."""
