"""The contract between a method and the runner.

A method sees tensors. It never opens a file, picks a split, reads a clock or computes a metric: the runner does, so
all methods are measured alike, and a method's folder can be copied into another project unchanged.

Images are float tensors `(B, 3, H, W)`, normalised as the backbone's weights ask; 0 is the mean colour. Labels are
int64 `(B,)` in `0 .. K-1`, logits `(B, K)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from methods.errors import BackboneError

__all__ = [
    "BackboneError",
    "BackboneSource",
    "FeatureExtractor",
    "Gather",
    "Method",
    "Phase",
    "Sampling",
    "Tap",
    "TokenExtractor",
    "Tokens",
    "alone",
]

Gather = Callable[[Tensor], Tensor]
"""A tensor `(b, …)` of each process that shares a batch -> `(B, …)` of all of them, in the batch's order."""


def alone(values: Tensor) -> Tensor:
    """The `Gather` of a single process."""
    return values


Tap = int | str
"""Where features are taken: a stride (16), a module's name (`"Mixed_7a"`), or `"final"` (the network's last map).

`"pooled"` is the vector that the network's own classifier reads, as a map of one position `(B, C, 1, 1)`: the mean of
the last map for ResNets, the class token for most vision transformers, and what further layers make of either.
`"classified"` is `"pooled"` where the last features are tokens, and else `"final"`: its mean over positions is what the
network's authors classify by, whichever kind it is.

Swin networks also have `"attention"` and `"attention_rollout"`, `(B, heads, h, w)`: the attention that each position of
the last stage receives in its last block, or through all of its blocks; and `"merged_8"`, `"merged_16"`, `"merged_32"`,
`(B, C, h, w)`: the patches merged to this stride, before the stage's blocks."""


class FeatureExtractor(Protocol):
    """A backbone cut at its taps: images `(B, 3, H, W)` -> one map `(B, C, h, w)` per tap, in the order requested."""

    channels: tuple[int, ...]
    """C of each map."""

    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns (h, w) of each map of an image of the Run's size, for layers that need to know them."""
        ...

    def __call__(self, images: Tensor) -> list[Tensor]: ...


class Tokens(NamedTuple):
    """What blocks of a vision transformer compute of a batch, each in the order requested.

    `N` tokens are `prefix` tokens, the class token first, then the patches row by row.
    """

    after: tuple[Tensor, ...]
    """Tokens `(B, N, C)` after each block, before any last norm."""
    attention: tuple[Tensor, ...]
    """Softmax attention `(B, heads, N, N)` of each block, queries as rows, at least float32; before its dropout."""
    queries: tuple[Tensor, ...] = ()
    """Queries `(B, heads, N, d)` of each block, scaled: `softmax(queries @ keys.mT)` is its attention."""
    keys: tuple[Tensor, ...] = ()
    """Keys `(B, heads, N, d)` of the same blocks."""


class TokenExtractor(Protocol):
    """A vision transformer cut before its last blocks: images `(B, 3, H, W)` -> `Tokens`."""

    channels: int
    """C of a token."""
    heads: int
    depth: int
    """Blocks of the whole network."""
    prefix: int
    """Tokens before the patches: the class token, a distillation token, registers."""
    grid: tuple[int, int]
    """Rows and columns of patches."""

    def __call__(self, images: Tensor) -> Tokens: ...

    def rest(self, tokens: Tensor) -> Tensor:
        """Passes any tokens `(B, n, C)`, all or a choice of them, through the blocks that were left out and the
        network's last norm."""
        ...

    def take_rest(self) -> nn.Module:
        """Hands over what `rest` is, weights and all: `(B, n, C)` -> `(B, n, C)`. Its submodules are `blocks`, `norm`.

        It then belongs to the method and to its group `head`, where it may be copied or start anew. The extractor has
        no `rest` and no last norm any more.
        """
        ...


class BackboneSource(Protocol):
    """Gives a method its backbone. The runner decides which network it is and where its weights come from."""

    name: str
    """timm's name of the Run's network, without a tag, for methods whose paper treats one network specially."""

    def features(self, taps: Sequence[Tap], name: str | None = None) -> FeatureExtractor:
        """Builds a backbone cut at `taps`. It is an `nn.Module`, so assigning it to an attribute registers it.

        `name` selects another network than the Run's (for a second stream). Raises `BackboneError` if the network has
        no such tap, or if its weight file does not fill a layer before a tap.
        """
        ...

    def tokens(
        self,
        after: Sequence[int] | None = (),
        attention: Sequence[int] | None = (),
        rest: int = 0,
        name: str | None = None,
        queries: Sequence[int] | None = (),
    ) -> TokenExtractor:
        """Builds a vision transformer that gives the tokens after some blocks, and of some the attention or what it is
        made of: with `queries` the queries and keys.

        Blocks are counted from 0, or from the end of the whole network by negative numbers; None: all that run. The
        last `rest` blocks don't run: `TokenExtractor.rest` passes tokens through them. Attention that is read is not
        fused, so ask for no more than is used: a block's takes `heads · N²` numbers an image. Queries and keys leave it
        fused, and suffice where only a token's row or column is used, or where no gradient flows through the attention.
        It is a module, like what `features` gives.

        Raises `BackboneError` for a network that is no vision transformer, for a block that doesn't run, and for a
        `rest` or `queries` of blocks that know the places of a whole grid (BEiT's relative, EVA's rotary positions).
        """
        ...


@dataclass(frozen=True)
class Phase:
    """A part of the training in which all or only some parameters learn."""

    name: str
    trains: tuple[str, ...] | None = None
    """Names of the parameter groups that learn; None for all."""
    share: float = 1.0
    """Share of the epochs, used if the recipe gives one number of epochs for the whole training."""


@dataclass(frozen=True)
class Sampling:
    """How batches are drawn. Their size is the recipe's, and planning refuses one that does not fit.

    Raises `ValueError` for less than one image of a class.
    """

    images_per_class: int | None = None
    """Images of each class of a batch, which has `batch_size / images_per_class` distinct classes; None: a plain
    shuffle. The same as `MPerClassSampler` of PyTorch Metric Learning."""
    even: bool = False
    """Whether every batch, and each process's share of it, has an even number of images, so that they make pairs."""
    drop_last: bool = False
    """Whether an epoch's smaller last batch is left out."""

    def __post_init__(self) -> None:
        if self.images_per_class is not None and self.images_per_class < 1:
            raise ValueError(f"images_per_class is {self.images_per_class}; it must be 1 or more")

    @property
    def together(self) -> int:
        """Images, one after another, that are never parted: those of a class, or a pair. Neither processes that share a
        batch nor micro-batches cut between them."""
        return math.lcm(self.images_per_class or 1, 2 if self.even else 1)

    def groups(self, batch_size: int) -> tuple[int, int] | None:
        """Classes of a batch, and images of each; None for a plain shuffle."""
        return None if self.images_per_class is None else (batch_size // self.images_per_class, self.images_per_class)


class Method(nn.Module, ABC):
    """One paper's network and losses. Subclasses take `(backbones: BackboneSource, num_classes: int, *, **options)`.

    Ablations switch the keyword options. A named set of them is a *variant* in the method's `recipe.yaml`.
    """

    views: int = 1
    """Forward passes through the backbone per test image, reported with every accuracy and every images/s."""
    sampling: Sampling = Sampling()
    soft_labels: bool = False
    """Whether `losses` and `steps` also take class probabilities `(B, K)`, as mixup and CutMix produce. Losses that
    need one class per image (centres, pairs of a class) can't."""

    loss_functions: tuple[str, ...] = ("losses",)
    """Names of the functions from which `steps` gets its losses; `--compile` compiles each. They take tensors, and
    numbers that tell apart the kinds of step."""
    readout_views: Mapping[str, int] = MappingProxyType({})
    """Forward passes per test image of each of `readouts`."""
    maps_of_class: bool = False
    """Whether the maps of `attention` depend on the predicted class, so that map k means something else per class."""
    frozen_options: tuple[str, ...] = ()
    """Names of the options that decide what `frozen_features` gives; with other options, the same features serve."""
    fit_passes: int = 0
    """About how often `fit` computes the gradients of a linear layer `(K, D)` over all features, for estimates of time;
    0 where it takes next to none."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, 3, H, W)` -> logits `(B, K)`, the prediction that the paper reports."""

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Named, already weighted scalar losses. Their sum is minimised, each is logged. Default: cross-entropy.

        `labels` are `(B,)`, or probabilities `(B, K)` if `soft_labels` allows them.
        """
        return {"cross_entropy": nn.functional.cross_entropy(self(images), labels)}

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """The losses of each optimiser step made on one batch; the runner steps after each. Default: one step.

        Each step may change the images in its own way (PMG's jigsaws).
        """
        yield self.losses(images, labels)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Puts every parameter into exactly one named group; recipes set a learning-rate multiplier for each group.

        Default: `backbone` (modules with the mark `is_backbone`, as a `BackboneSource` makes them) and `head`.
        """
        backbone = {
            id(parameter)
            for module in self.modules()
            if getattr(module, "is_backbone", False)
            for parameter in module.parameters()
        }
        groups: dict[str, list[nn.Parameter]] = {"backbone": [], "head": []}
        for parameter in self.parameters():
            groups["backbone" if id(parameter) in backbone else "head"].append(parameter)
        return {name: parameters for name, parameters in groups.items() if parameters}

    def phases(self) -> tuple[Phase, ...]:
        """The phases of training in order. Default: one, in which everything learns.

        None, `()`, if nothing is learnt by gradients of images: the runner then computes the `frozen_features` of each
        image once, keeps them, and calls `fit`; `losses` and `steps` are never called.
        """
        return (Phase("all"),)

    def frozen_features(self, images: Tensor) -> Tensor:
        """Images `(B, 3, H, W)` -> `(B, D)`, which `classify` turns into the logits of `forward`; without phases only.

        They depend on the weights of the backbones and the options `frozen_options`, and on nothing that `fit` fills.
        Called in evaluation mode and without autograd.
        """
        raise NotImplementedError

    def fit(self, features: Tensor, labels: Tensor) -> dict[str, float]:
        """Learns from the features `(n, D)`, float32, and labels `(n,)` of all training images; without phases only.

        Returns numbers for the Run's history, by name; `loss` where it minimised one.
        """
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Features `(B, D)` -> logits `(B, K)`; without phases only."""
        raise NotImplementedError

    def initialise(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Called once before training with un-augmented training batches `(images, labels)`, without autograd and in
        evaluation mode. Default: nothing.
        """

    def before_batch(self, epoch: int, over: float) -> None:
        """Called before the steps of each batch, for what changes in the course of a training. Default: nothing.

        `epoch` counts from 0; `over` is the share of the training that is over, 0 .. 1. Keep what `losses` needs of it
        in a buffer: where a plain number of a module changes, compiled code is compiled again.
        """

    def after_step(self, gather: Gather = alone) -> None:
        """Called after each optimiser step, without autograd (to move centres, for example). Default: nothing.

        Where processes share a batch, `gather` brings their tensors together; all of them call it alike.
        """

    def finish(self, batches: Iterable[tuple[Tensor, Tensor]]) -> bool:
        """Called once after the last epoch like `initialise`: fits what gradients don't (an SVM on the features …).

        Returns whether it changed anything. Only the last epoch's accuracy includes it. Default: nothing.
        """
        return False

    def attention(self, images: Tensor) -> Tensor | None:
        """Non-negative maps `(B, M, h, w)` of where the method looks, or None if it has none."""
        return None

    def readouts(self, images: Tensor) -> dict[str, Tensor]:
        """Logits `(B, K)` of further predictions that the paper reports of the same weights, by name (CAL's eight
        views …). `forward` is the headline, fixed in advance; none of these ever takes its place.

        The runner scores each once, on the test images and with the last weights. Called in evaluation mode.
        Default: none.
        """
        return {}

    def branches(self, images: Tensor) -> dict[str, Tensor]:
        """Logits `(B, K)` of each classifier that the method trains beside its prediction, by name (SEF's groups …).

        The runner measures how accurate each is alone, once, on the test images and with the last weights. Called in
        evaluation mode. Default: none.
        """
        return {}

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """Named images `(B, 3, H, W)` that the paper shows besides attention maps (crops, selected patches …).

        Normalised like `images`. Called in evaluation mode; deterministic. Default: none.
        """
        return {}
