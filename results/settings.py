"""Every setting of a Run: checked, frozen, hashable. What is not a field here has no influence on a result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from results.augmentation import Augment, InputScaling
from results.recipe import Recipe
from results.values.numbers import (
    Batch,
    Bytes,
    Classes,
    Pixels,
    Revision,
    Seed,
)

RULES = 2
"""Version of the protocol's meaning, part of every hash. Raised when the same settings give another result with every
method, for example after a default was changed. If that is so with one method alone, its `revision` is raised."""
MIXING_RULES = 2
"""The same for Runs with mixup or CutMix alone: 1 drew a share for each image, 2 draws one for each batch."""


FeedMode = Literal["auto", "resident", "pinned", "mapped", "streamed"]
"""How images come to the device; `auto`: by what fits."""

Precision = Literal["fp32", "tf32", "bf16"]
"""bf16: autocast to bfloat16. tf32: a GPU multiplies float32 with 10 bits of mantissa; fp32: with all of them."""

CompileMode = Literal["default", "reduce-overhead", "max-autotune"]
"""Of torch.compile. reduce-overhead: CUDA graphs, which spare the host the start of each kernel. max-autotune: also
tries several kernels for each product, which makes compiling slow."""


def _check_split_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name):
        raise ValueError(f"a split's name has letters, digits, dots, underscores and hyphens, 40 at most; not {name!r}")
    if name.lower() == "official":
        raise ValueError("the official split has no name; leave split_name out")
    return name


SplitName = Annotated[str, AfterValidator(_check_split_name)]
"""A user's name of a split, safe in tables and in folder names."""


def task(dataset: str, options: Mapping[str, Any], split_name: str | None = None) -> str:
    """What is to be learnt, in a word: `webfg_496:bird`, and `fgvc_aircraft@half` on a split of the user's own.

    An option that is a word (a subset, a level of a hierarchy) makes another task of a dataset; so does a list (of
    classes), which is named by its length and a digest; one that is a number does not.
    """
    words = [value for value in options.values() if isinstance(value, str)]
    lists = [
        f"{len(value)}-{option}-{hash_of({option: value})[:6]}"
        for option, value in options.items()
        if isinstance(value, list)
    ]
    named = ":".join([dataset, *words, *lists])
    return named if split_name is None else f"{named}@{split_name}"


class Settings(BaseModel):
    """Base of all settings: a wrong key or value is an error, a built one never changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def hash_of(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings as JSON has them, whatever their order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


class RunSettings(Settings):
    """What a training Run and a profile Run share: a method on a backbone."""

    job: str
    method: str
    variant: str
    options: dict[str, Any] = {}
    """The method's constructor options: the variant's, and those set by hand."""
    backbone: str
    backbone_options: dict[str, Any] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting that is not at its default, and the version of the rules that give them their meaning, as JSON
        has them. Defaults are left out, so a new setting that changes nothing by default keeps earlier results
        and checkpoints valid."""
        return {"rules": RULES, **self.model_dump(mode="json", exclude_defaults=True)}

    @property
    def hash(self) -> str:
        """SHA-256 of the settings: equal exactly if all are equal."""
        return hash_of(self.settings)

    @property
    def replicate(self) -> int:
        """Which of the Runs of one experiment: the seed, or the repeat of a measurement."""
        raise NotImplementedError

    @property
    def experiment(self) -> str:
        """SHA-256 of the settings without the replicate: equal for the Runs of one experiment."""
        raise NotImplementedError

    def folder_name(self, *parts: object) -> str:
        """`parts` joined to something readable and safe as a folder name, and the first digits of the hash."""
        words = [re.sub(r"[^A-Za-z0-9_.@]+", "_", str(part)).strip("_.") for part in parts]
        return "-".join([*words, self.hash[:10]])


class Run(RunSettings):
    """One training, from initial weights to predictions for every test image."""

    job: Literal["train"] = "train"
    dataset: str
    dataset_options: dict[str, Any] = {}
    split_sha256: str
    split_name: SplitName | None = None
    """The user's name of a split that isn't the official one. None: the official split, or a dataset without one."""
    images_sha256: str | None = None
    """Of the images' files (`Dataset.images_sha256`). None: drawn images, or a Run from before this was checked."""
    classes_sha256: str | None = None
    """Of the class names in the order of their labels (`results.identity`). None: as for the images."""
    pretrained: str
    """File name of the backbone's weights, or `none`."""
    weights_sha256: str | None = None
    second_weights: dict[str, str] = {}
    """Of the method's further networks, such as Bilinear CNN's second: timm name -> SHA-256 of the weight file."""
    allow_unfilled: bool = False
    """Whether layers may start from random weights where the file does not hold them."""
    scaling: InputScaling = InputScaling()
    """Of the network's input: the recipe's, or else what the weights were trained with."""
    protocol: Literal["common", "paper"]
    precision: Precision = "fp32"
    recipe: Recipe
    revision: Revision = 1
    """Of the method's code, as in its `recipe.yaml`: raised when the same settings give another result."""
    seed: Seed

    @property
    def settings(self) -> dict[str, Any]:
        mixing = {"mixing_rules": MIXING_RULES} if self.recipe.augment.mixing.active else {}
        return {**super().settings, **mixing}

    @property
    def replicate(self) -> int:
        return self.seed

    @property
    def experiment(self) -> str:
        return self.model_copy(update={"seed": 0}).hash

    @property
    def image_size(self) -> int:
        """Pixels of the square the network sees."""
        return self.recipe.image_size

    @property
    def task(self) -> str:
        """The dataset, which subset or level of it, and the split if it isn't the official one."""
        return task(self.dataset, self.dataset_options, self.split_name)

    @property
    def id(self) -> str:
        """Name of the Run's folder."""
        return self.folder_name(self.method, self.variant, self.task, self.backbone, f"seed{self.seed}")

    @property
    def label(self) -> str:
        """For people: what distinguishes this Run in a list."""
        return f"{method_label(self.method, self.variant)} · {self.task} · {self.backbone} · seed {self.seed}"


class Input(Settings):
    """Where real images come from, for a profile of their way to the device."""

    dataset: str
    dataset_options: dict[str, Any] = {}
    stored_size: Pixels
    """As a recipe's, and so are the next two."""
    resize: Literal["squash", "short_side"] = "squash"
    augment: Augment = Augment()
    feed: FeedMode = "auto"


Extra = Literal["breakdown", "operations", "largest_batch", "trace"]
"""breakdown: the time of each part of a step. operations: its costliest ones. trace: all of them, in a file."""


class ProfileRun(RunSettings):
    """One measurement of speed and memory; neither the weights' values nor the images' content matter."""

    job: Literal["profile"] = "profile"
    classes: Classes
    image_size: Pixels
    batch_size: Batch
    precision: Precision = "fp32"
    compile: bool = False
    compile_mode: CompileMode = "default"
    """Without a meaning unless `compile`."""
    checkpointing: bool = False
    """Whether the backbone's activations are computed again in the backward pass, in place of being kept."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """SGD with momentum keeps one number per weight, the others two."""
    input: Input | None = None
    """None: compute alone is measured, from random tensors."""
    extras: tuple[Extra, ...] = ()
    """What else is measured; none of it changes another number."""
    memory_limit: Bytes | None = None
    """Bytes that it may take; None: no limit."""
    device: Literal["cpu", "cuda"]
    hardware: str
    """Name of the processor or GPU: a rate holds for one only."""
    repeat: Seed = 0
    """Which of several measurements of the same: each is a Run of its own, in a process of its own."""
    in_sweep: bool = Field(False, exclude=True)
    """Whether its batch size is one of a sweep, which may end before it (`benchmarks.planning.batch_sweep.end`).
    Not part of `settings`: it says why the Run is planned, not what is measured."""

    @property
    def replicate(self) -> int:
        return self.repeat

    @property
    def experiment(self) -> str:
        return self.model_copy(update={"repeat": 0}).hash

    @property
    def ways(self) -> list[str]:
        """How it is computed, in words, where that differs from the default."""
        return [compiling(self.compile_mode)] * self.compile + ["checkpointed"] * self.checkpointing

    @property
    def id(self) -> str:
        """Name of the Run's folder."""
        size = f"{self.image_size}px{self.batch_size}"
        ways = [way.replace(" ", "_") for way in self.ways]
        names = (self.method, self.variant, self.backbone, size, self.precision, *ways, self.device)
        return self.folder_name("profile", *names)

    @property
    def label(self) -> str:
        """For people: what distinguishes this Run in a list."""
        words = [method_label(self.method, self.variant), self.backbone]
        words += [f"{self.image_size} px", f"batch {self.batch_size}", self.precision]
        words += self.ways
        words += [f"repeat {self.repeat}"] if self.repeat else []
        return " · ".join(words)


AnyRun = Run | ProfileRun


def compiling(mode: CompileMode) -> str:
    """`compiled`, or `compiled reduce-overhead` in another mode than the default."""
    return "compiled" if mode == "default" else f"compiled {mode}"


def method_label(method: str, variant: str) -> str:
    """`method`, or `method:variant` where the variant is not the paper's own."""
    return method if variant == "paper" else f"{method}:{variant}"


HERE_AND_THERE = "{} here, {} in the checkpoint"


def differences(here: dict[str, Any], there: dict[str, Any], words: str = HERE_AND_THERE) -> list[str]:
    """Each setting that differs, as `epochs: 5 here, 8 in the checkpoint`, or in other `words`."""
    left, right = flat(here), flat(there)
    return [
        f"{key.removeprefix('recipe.')}: {words.format(left.get(key), right.get(key))}"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries to one level with dotted keys: `{"a": {"b": 1}}` -> `{"a.b": 1}`."""
    row: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            row.update(flat(value, f"{prefix}{key}."))
        else:
            row[f"{prefix}{key}"] = value
    return row
