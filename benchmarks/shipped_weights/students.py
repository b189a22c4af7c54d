"""The small networks that are distilled, and which of their maps imitate which of the teacher's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from methods.backbones import Backbone, TimmBackbones
from methods.interface import Tap
from methods.transformers.tokens import TokenBackbone

SIZE = 96


class TokenMaps(nn.Module):
    """A vision transformer's tokens as maps: images `(B, 3, H, W)` -> three maps `(B, C, h, w)`.

    The patches after the middle block, on their own grid; the patches after the last norm, averaged over 2 × 2; and the
    class token after it, a map of one cell. So the class token learns what the teacher's average over the image says.
    """

    def __init__(self, tokens: TokenBackbone) -> None:
        super().__init__()
        self.tokens = tokens
        self.net: Any = tokens.net
        self.channels = (tokens.channels,) * 3

    def forward(self, images: Tensor) -> list[Tensor]:
        middle, last = self.tokens(images).after
        last = self.tokens.rest(last)
        return [self._patches(middle), avg_pool2d(self._patches(last), 2), last[:, 0, :, None, None]]

    def _patches(self, tokens: Tensor) -> Tensor:
        return tokens[:, self.tokens.prefix :].transpose(1, 2).unflatten(2, self.tokens.grid)


@dataclass(frozen=True)
class Student:
    """A network to distil and how it is trained."""

    network: str
    options: Mapping[str, Any]
    maps: Callable[[TimmBackbones], Backbone | TokenMaps]
    """Cuts the network at the maps that imitate; its last norm is before the last of them."""
    teacher_taps: Sequence[Tap]
    """The teacher's map that each of them imitates."""
    train_per_class: int
    epochs: int
    learning_rate: float

    def build(self) -> Backbone | TokenMaps:
        """The untrained network."""
        return self.maps(TimmBackbones(self.network, SIZE, options=self.options))


STUDENTS = {
    "test_swin_birds": Student(
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 32, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8], "window_size": 6},
        maps=lambda backbones: backbones.features((16, "final")),
        teacher_taps=(16, 32),
        train_per_class=140,
        epochs=12,
        learning_rate=1e-3,
    ),
    "test_vit_birds": Student(
        "vit_tiny_patch16_224",
        {"patch_size": 12, "embed_dim": 96, "depth": 6, "num_heads": 4},
        maps=lambda backbones: TokenMaps(backbones.tokens(after=(2, -1))),
        teacher_taps=(8, 16, 32),
        train_per_class=70,
        epochs=6,
        learning_rate=2e-3,
    ),
}
"""Name of the weight file -> what is trained for it."""
