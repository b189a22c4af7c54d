"""How a name that does not exist is answered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(owner: str, kind: str, name: str, known: Iterable[str]) -> str:
    """One line such as `timm has no network 'resnet5'; nearest: resnet50, resnet51q`."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"{owner} has no {kind} {name!r}; nearest: {', '.join(near) or 'none'}"
