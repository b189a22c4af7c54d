"""A figure on a dark page: the same SVG, whose colours follow those of the page that shows it as an image."""

from __future__ import annotations

import colorsys
import re

import numpy as np

from reports.figures.colours import DARK, SHADES, channels, shade

DARK_INK, DARK_PAPER = "#e4e3de", "#16181b"
"""Text and background of the dark page."""
GREY = 0.05
"""Saturation up to which a colour is a grey."""
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}(?=[;\"}])")
_KNOWN = {shade(color, by): shade(partner, -by) for color, partner in DARK.items() for by in SHADES}
"""A variant's shade is as far from the page's colour in the dark as on white."""


def themed(svg: str) -> str:
    """The SVG with a second set of colours for `prefers-color-scheme: dark`."""
    colors = sorted(set(_COLOUR.findall(svg)))
    if not colors:
        return svg
    light, dark = (
        "".join(f"--{color[1:]}:{to(color)};" for color in colors) for to in (lambda color: color, in_the_dark)
    )
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    coloured = _COLOUR.sub(lambda found: f"var(--{found[0][1:]})", svg)
    return re.sub(r"<svg\b[^>]*>", lambda tag: tag[0] + style, coloured, count=1)


def in_the_dark(color: str) -> str:
    """The colour's partner on the dark page: that of a method by `DARK`; of any other the lightness is turned around,
    so that white becomes the page, black becomes its text, and text on a coloured cell stays readable."""
    if color in _KNOWN:
        return _KNOWN[color]
    hue, light, saturation = colorsys.rgb_to_hls(*(part / 255 for part in channels(color)))
    paper, ink = (np.array(channels(end)) / 255 for end in (DARK_PAPER, DARK_INK))
    turned = ink + (paper - ink) * light
    if saturation > GREY:
        turned = np.array(colorsys.hls_to_rgb(hue, float(turned.mean()), saturation))
    return "#" + "".join(f"{round(255 * part):02x}" for part in turned)
