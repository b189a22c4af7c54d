"""Errors of methods and backbones. Separate from the tensor code, so that catching them does not load torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 200
"""Characters of a name that is compared with others: that takes time with their square."""


class BackboneError(Exception):
    """A backbone or weight file can't be used. The message is one line that names it and says what to do."""


class MissingWeights(BackboneError):  # noqa: N818 - reads as what it is
    """Weights that are asked for are not on this machine."""

    def __init__(self, message: str, tag: str | None) -> None:
        super().__init__(message)
        self.tag = tag
        """timm's name of weights on the hub that would serve; None where it has none."""


class HubError(Exception):
    """A file of the Hugging Face Hub can't be fetched. The message is one line that says what to do."""


class SilentHubError(HubError):
    """The hub gives no answer at all: there is no network, or it has a fault of its own."""


class NotOneMethod(TypeError):  # noqa: N818 - reads as what it is
    """A method's folder does not define exactly one method."""


def unknown(owner: str, kind: str, name: str, known: Iterable[str]) -> str:
    """One line such as `timm has no network 'resnet5'; nearest: resnet50, resnet51q`."""
    known = list(known)
    letters = _letters(name)
    otherwise = [one for one in known if _letters(one) == letters]
    alike = difflib.get_close_matches(name, known, n=3) if len(name) <= LONGEST else []
    near = list(dict.fromkeys([*otherwise, *alike]))[:3]
    return f"{owner} has no {kind} {name!r}; nearest: {', '.join(near) or 'none'}"


def _letters(name: str) -> str:
    """Equal for `ResNet-50` and `resnet50`."""
    return "".join(character for character in name.casefold() if character.isalnum())
