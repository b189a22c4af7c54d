"""The contract of a method: what the runner asks of it, and what it may ask of the runner.

A method sees tensors. It never opens a file, picks a split, reads a clock or computes a metric: the runner owns
those, so every method is measured alike, and a method's folder can be copied into another project as it stands.

Images are float tensors `(B, 3, H, W)`, normalised with the ImageNet mean and standard deviation. Labels are int64
`(B,)` in `0 .. K-1`, logits `(B, K)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Tap = int | str
"""Where features are taken: a stride (16), a module's name (`"Mixed_7a"`), or `"final"` (the network's last map).

Of a Swin also `"attention"` or `"attention_rollout"`: what each position of the last stage receives from the others in
the last block, or through all blocks of that stage, `(B, heads, h, w)`."""


class BackboneError(Exception):
    """A backbone or weight file can't serve. One line that names it and says what to do."""


class FeatureExtractor(Protocol):
    """A backbone cut at its taps: images `(B, 3, H, W)` -> one map `(B, C, h, w)` per tap, in the order asked for."""

    channels: tuple[int, ...]
    """C of each tap."""

    def __call__(self, images: Tensor) -> list[Tensor]: ...


class BackboneSource(Protocol):
    """Hands a method its backbone. The runner decides which network that is and where its weights come from."""

    name: str
    """timm name of the Run's network, for a method whose paper treats one network specially."""

    def features(self, taps: Sequence[Tap], name: str | None = None) -> FeatureExtractor:
        """Builds a backbone cut at `taps`; an `nn.Module`, so assigning it registers it.

        `name` asks for another network than the Run's own (a second stream). Raises `BackboneError` if the network
        has no such tap, or if its weight file leaves a layer before the tap unfilled.
        """
        ...


@dataclass(frozen=True)
class Phase:
    """A stretch of training in which only some parameters learn."""

    name: str
    trains: tuple[str, ...] | None = None
    """Names of the parameter groups that learn; None: all of them."""
    share: float = 1.0
    """Share of the epochs where the recipe gives one number of epochs for the whole training."""


@dataclass(frozen=True)
class Sampling:
    """How batches are drawn: a plain shuffle, or `classes` classes with `images_per_class` images each."""

    classes: int | None = None
    images_per_class: int | None = None


class Method(nn.Module, ABC):
    """One paper. Subclasses take `(backbones: BackboneSource, num_classes: int, **options)`.

    The keyword options are what ablations switch; a named set of them is a *variant* in the method's `recipe.yaml`.
    """

    views: int = 1
    """Forward passes through the backbone per test image; stated beside every accuracy and image rate."""
    sampling: Sampling = Sampling()
    soft_labels: bool = False
    """Whether `losses` and `steps` also take class probabilities `(B, K)`, as mixup and CutMix make them. Not so where
    a loss asks whether two images are of one class, or what an image's one class is."""

    maps_of_class: bool = False
    """Whether the maps of `attention` are the predicted class's own, so that map k is not the same for all images."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Images `(B, 3, H, W)` -> logits `(B, K)`: the paper's read-out, one fixed one."""

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Named, already weighted scalar losses; their sum is minimised and each is logged. Default: cross-entropy.

        `labels` (B,), or `(B, K)` probabilities where `soft_labels` says so.
        """
        return {"cross_entropy": nn.functional.cross_entropy(self(images), labels)}

    def steps(self, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        """Losses of each optimiser step that one batch makes; the runner steps between two of them. Default: one."""
        yield self.losses(images, labels)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one named group; recipes give each group its learning-rate multiplier.

        Default: `backbone` (the modules made by the `BackboneSource`, told by their `is_backbone` mark) and `head`.
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
        """The stretches of training in their order. Default: one, in which everything learns."""
        return (Phase("all"),)

    def initialise(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Called once before training, outside autograd and in evaluation mode, with un-augmented training batches
        `(images, labels)`. Default: nothing.
        """

    def after_step(self) -> None:
        """Called after each optimiser step, outside autograd (moving centres …). Default: nothing."""

    def finish(self, batches: Iterable[tuple[Tensor, Tensor]]) -> bool:
        """Called once after the last epoch, as `initialise` and with its batches: fits what is not learned by
        gradient (an SVM on the features …) and returns whether it changed anything. It counts for the last epoch's
        accuracy alone: no earlier epoch was evaluated with it. Default: nothing.
        """
        return False

    def attention(self, images: Tensor) -> Tensor | None:
        """Non-negative maps `(B, M, h, w)` of where the method looks, or None where it has none."""
        return None

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """What the paper shows of an image beside its attention maps (crops, selected patches …).

        Named pictures `(B, 3, H, W)`, normalised as `images` are. In evaluation mode; draws nothing. Default: none.
        """
        return {}
