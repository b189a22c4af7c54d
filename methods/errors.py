"""Errors of methods and backbones. Apart from the tensor code, so that catching them does not load torch."""

from __future__ import annotations


class BackboneError(Exception):
    """A backbone or weight file can't be used. The message is one line that names it and says what to do."""


class NotOneMethod(TypeError):  # noqa: N818 - reads as what it is
    """A method's folder does not define exactly one method."""
