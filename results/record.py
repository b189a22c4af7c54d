"""What is stored of one Run, field by field.

`record.json` is one JSON object of this form. Rates are images per second of *source* images, memory is in bytes,
times in seconds, accuracies in `[0, 1]`; tables show percent. A value that this Run should have and lacks is absent,
and `missing` gives the reason under its name.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer

from results.localisation import Localisation
from results.settings import AnyRun, CompileMode
from results.speed import Limits, Mode, RecordModel, Speed
from results.values.numbers import Positive

__all__ = ["SCHEMA", "SELECTIONS", "Metrics", "ReadOut", "Record", "Selection", "Speed"]

SCHEMA = 1
"""Version of the form below. Raised when an earlier fgbench would misread a record."""

Selection = Literal["last", "validation", "best_on_test"]
"""Which epoch's weights an accuracy belongs to: the last one (the headline), the best on the validation slice, or
the best on the test set (what many papers report; optimistic)."""
SELECTIONS: tuple[Selection, ...] = ("last", "validation", "best_on_test")


class Metrics(RecordModel):
    """Accuracy on the whole test set, by the weights of one epoch."""

    epoch: int
    """Counted from 1."""
    top1: float
    top5: float
    mean_class: float
    """Mean over the classes of the per-class top-1."""
    calibration_error: float
    """Expected calibration error, 15 bins of equal width."""
    log_loss: float
    """Mean negative log-likelihood, nats."""


class ReadOut(Metrics):
    """What a further prediction of the same weights (`Method.readouts`) reaches."""

    views: int
    """Forward passes per test image."""


Source = Literal["finished Runs", "profile", "uncompiled", "guess"]
"""What an estimate was made from: earlier Runs of the same kind on this device, its own profile Runs, either of these
but uncompiled for a training that is compiled, or work that was counted, at the device's measured ceilings."""


class Estimate(RecordModel):
    """How long a Run was expected to take before it began."""

    seconds: Positive
    source: Source


class Record(RecordModel):
    """One Run: its settings, what became of it, and where the numbers come from."""

    schema_version: int = Field(SCHEMA, ge=1, le=SCHEMA)
    id: str
    """Folder name: readable parts and the first digits of `hash`."""
    hash: str
    """SHA-256 of the settings that decide the outcome."""
    experiment: str | None = None
    """The same without the seed (or repeat): equal for all replicates of one experiment."""
    status: Literal["done", "failed"]
    run: Annotated[AnyRun, Field(discriminator="job")]
    """Every setting. One that is newer than the record has its default."""
    error: str | None = None
    """One line; `traceback` has the rest."""
    details: dict[str, Any] = {}
    """Of an error that has some, for programs: where a training diverged, and its loss terms."""
    traceback: str | None = None
    started: datetime = Field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    """Wall time of the Run in this process, over all its resumed parts."""
    estimate: Estimate | None = None
    """Of `seconds`; None where none was made."""
    resumed: int = 0
    """How many times it was resumed from a checkpoint."""

    commit: str | None = None
    clean: bool | None = None
    """Whether the checkout had no uncommitted change."""
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}
    split: dict[str, Any] = {}
    """`sha256`, `classes`, `class_names`; number of images in `train`, `validation`, `test`; and `subsets`, the dataset
    options of every subset, where the dataset is scored subset by subset and this Run is on one of them."""
    weights: list[dict[str, Any]] = []
    """One per weight file: `backbone`, `file`, `sha256`, `unfilled` (parameters of the network it does not hold);
    `taken`, where in the file the weights were, unless it is a plain state dict; and `repository` and `revision` on the
    Hugging Face Hub, if it lies in the hub's cache."""
    model: dict[str, Any] = {}
    """`parameters`, `flops` (forward, one image), `views`, `input` (pixels)."""

    metrics: dict[Selection, Metrics] = {}
    branches: dict[str, float] = {}
    """Top-1 on the test set of each classifier that the method trains beside its prediction (SEF's groups, DFL-CNN's
    streams), alone and with the last epoch's weights; empty for methods without, and in records from before 0.2.0."""
    readouts: dict[str, ReadOut] = {}
    """Of each further prediction that the paper reports of the same weights (PMG's concatenated one, CAL's eight
    views), on the test set with the last epoch's weights; empty for methods without, and in records from before 0.2.0.
    `metrics` has the headline, which none of them replaces."""
    training: dict[str, float] = {}
    """`images_per_s` end to end, `seconds` of training alone, `compile_seconds` before it where something was compiled;
    `processes`, and `micro_batch`, the images that one backward pass took at the most; `threads` of torch in each
    process, which decide how a CPU's sums are rounded, and on a GPU only what a method fits on the host (k-means, an
    SVM); unknown where it is absent. `images_before_cut`: images trained on before memory ran out and batches were cut
    to `micro_batch`; absent if they were cut from the beginning or not at all. On a GPU, in bytes, `peak_memory` of the
    training itself and `resident_bytes` of the images that were kept there (a CPU's memory is measured by profile Runs,
    each alone in its process); records from before 0.2.0 have no `resident_bytes`, and their peak includes the images.
    `evaluation_seconds`, and `checkpoint_seconds` in which the training waited for its checkpoints; neither is part of
    `seconds`. `parallel`: how many trainings the plan carried out at a time on the device, where it was more than this
    one; all rates and times are then those of a shared device."""
    compiled: CompileMode | None = None
    """How a training's losses and forward passes went through torch.compile; None: they did not, or the record is from
    before 0.2.0. It is no setting, but a method's random draws differ in compiled code."""
    notes: list[str] = []
    """What happened during the Run, in sentences: memory that ran out, what could not be compiled, what took long
    besides the steps."""
    speed: dict[Mode, Speed] = {}
    exceeded: dict[Mode, int] = {}
    """Bytes that a mode had when it ran out of memory: it needs more."""
    limits: Limits | None = None
    """Of the device, measured by a profile Run."""
    state: dict[Literal["before", "after"] | Mode, dict[str, Any]] = {}
    """Clocks, temperature, throttling and load before and after the work of a Run, and while each mode of a profile Run
    worked. Trainings have it since 0.2.0."""
    localisation: Localisation | None = None
    """None until `run_all.py attention` measured it."""
    missing: dict[str, str] = {}
    """Name of a missing value -> the reason."""
    published: list[dict[str, Any]] = []
    """The paper's rows that this Run answers, as in the method's `published.yaml`."""
    deviations: list[str] = []
    """What the sources of the method leave open or contradict, and what was chosen, in sentences: where this Run may
    depart from what was published."""
    changed: list[str] = []
    """Of a Run by its paper's recipe, each setting that was changed by hand: `epochs: 2 in place of 160`."""
    checksums: dict[str, str] = {}
    """File -> SHA-256 of what was written together with this record; under `record.json` that of the record itself but
    for this entry (`results.integrity`). The store fills it in; records from before that have none."""

    @field_serializer("run")
    def _whole_run(self, run: AnyRun) -> dict[str, Any]:
        """Also the settings that are None, which the rest of a record leaves out."""
        return run.model_dump(mode="json")

    @property
    def compile_mode(self) -> CompileMode | None:
        """How a training was compiled; None: not at all. Records from before modes have its seconds alone."""
        return self.compiled or ("default" if "compile_seconds" in self.training else None)

    @property
    def current(self) -> bool:
        """Whether today's rules and settings give this Run the hash that it was recorded with. Results of two sets of
        rules are never pooled or compared."""
        return self.hash == self.run.hash
