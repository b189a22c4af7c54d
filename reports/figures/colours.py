"""Colours of figures, on white paper and on the page when it is dark.

The palette was searched for the largest distance between any two colours (in OKLab) for readers with normal sight,
protanopia, deuteranopia and tritanopia (Machado et al. 2009), with a contrast of at least 3 to white. The dark one has
the same hues and a contrast of at least 4.5 to the dark page.
"""

from __future__ import annotations

PALETTE = ("#175ad3", "#e6702b", "#0d6905", "#82017d", "#269da5", "#ae7bf8")
PLAIN = "#2b2b2b"
"""Of the baseline."""
DARK = dict(zip(PALETTE, ("#0d86f9", "#e28201", "#97ec58", "#e79cfc", "#54bcaa", "#a278ae"), strict=True))
DARK |= {PLAIN: "#dcdcd6"}
"""Colour of a method -> its partner on the dark page."""
INK, QUIET, RULE, PAPER = "#222222", "#555555", "#e4e4e4", "#ffffff"
"""Text; notes and axes; grid; background."""
BETTER, WORSE, NEUTRAL = PALETTE[0], PALETTE[1], "#999999"
"""Gains, losses and neither."""
SHADES = (0.0, -0.4, 0.35)
"""Of a method's variants, the whole method first: how far its colour is moved towards white, or, if negative, black."""


def shade(color: str, amount: float) -> str:
    """The colour, moved by `amount` in [-1, 1] towards white or black."""
    end = 255 if amount > 0 else 0
    parts = (round(part + abs(amount) * (end - part)) for part in channels(color))
    return "#" + "".join(f"{part:02x}" for part in parts)


def channels(color: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`, 0 … 255."""
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue
