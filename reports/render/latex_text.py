"""Text and numbers as LaTeX has them, and how wide they are when they are set."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from reports.cell_format import DASH
from results.values.text import in_a_row

_ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_ESCAPED |= {symbol: f"\\{symbol}" for symbol in "&%$#_{}"}
_ESCAPED |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"}
_ESCAPED |= {"±": r"$\pm$", "≈": r"$\approx$", "−": "$-$", "→": r"$\rightarrow$", "·": r"$\cdot$"}
_ESCAPED |= {"≤": r"$\leq$", "≥": r"$\geq$", "Δ": r"$\Delta$", "…": r"\dots{}", "–": "--", "—": "---"}
_ESCAPED |= {"`": r"\textasciigrave{}", "\u00a0": "~"}
# LaTeX would read them as arguments of the `\\` before them.
_ESCAPED |= {"[": "{[}", "*": "{*}"}
_SPECIAL = re.compile("|".join([*map(re.escape, _ESCAPED), "-(?=-)"]))
_UNKNOWN = re.compile(r"[^\x20-\x7e¡-¬®-ĥĨ-ķĹ-ľŁ-ňŊ-ťŨ-ž‘’“”„†‡‰€™" + "".join(map(re.escape, _ESCAPED)) + "]")
"""What pdflatex does not know, with T1 fonts: letters beyond Latin, and some of it."""

_MINUS = re.compile(r"(?<![\w.])-(?=\d)")
_INTERVAL = re.compile(r"([+−-]?\d+(?:\.\d+)?) … ([+−-]?\d+(?:\.\d+)?)")
_MARKED = re.compile(r"(?P<value>.*?)(?P<tail>(?: ± [\d.]+)?(?:\*| \((?:n=\d+|seeds)\))*)")
_NUMBER = re.compile(r"(?:(?P<relation>[<>≈]) )?(?P<sign>[+−-]?)(?P<whole>\d+)(?:\.(?P<decimals>\d+))?")

_WIDTHS = {
    letter: width
    for letters, width in (
        (".,:;'|!ijl", 0.31),
        (" Ifrst()[]-{}", 0.4),
        ("acegoyz0123456789/…", 0.5),
        ("ABCDEFGHJKLNOPQRSTUVXYZ+=<>±−≈~^", 0.79),
        ("mwMW%&@→Δ—", 1.03),
    )
    for letter in letters
}
"""Of the letters of Computer Modern at 10 points, in em; of those that are not here, 0.6."""


def latex_text(text: str) -> str:
    """Escapes text for LaTeX, in one line. What pdflatex does not know is written as its code point: `U+4E2D`.

    More than pandas and tabulate escape: also signs such as ± and −, and `[` and `*` at the start of a row.
    """
    return _SPECIAL.sub(lambda found: _ESCAPED.get(found[0], "-{}"), latin(text))  # two hyphens are no dash


def latin(text: str) -> str:
    """One line in which letters that pdflatex does not know are code points."""
    return _UNKNOWN.sub(lambda found: f"U+{ord(found[0]):04X}", in_a_row(text))


def breakable(text: str, width: float) -> str:
    """As `latex_text`; words wider than so many em may break after signs, and runs of letters where one is as wide."""
    return " ".join(
        latex_text(word) if text_width(word) <= width else r"\allowbreak{}".join(map(latex_text, _pieces(word, width)))
        for word in latin(text).split(" ")
    )


def _pieces(word: str, width: float) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and (not pieces[-1][-1].isalnum() or text_width(pieces[-1] + letter) > width):
            pieces.append("")
        pieces[-1] += letter
    return pieces


def text_width(text: str) -> float:
    """At most so many em wide in Computer Modern."""
    return sum(_WIDTHS.get(letter, 0.6) for letter in text)


def lines(text: str, width: float) -> int:
    """About how many it takes where so many em are in a line, of which a fifth stays empty."""
    return math.ceil(text_width(text) / (0.8 * width))


class Value(NamedTuple):
    """A cell of a right-aligned column: what is aligned, and its spread and marks."""

    text: str
    """Escaped."""
    tail: str
    """Escaped; may be empty."""
    found: re.Match[str] | None
    """The number, where the text is one."""

    @property
    def number(self) -> str:
        """As siunitx reads it; empty where the text is none."""
        return self.found[0].replace("−", "-").replace("≈", r"\approx") if self.found else ""


def value(text: str) -> Value:
    """`81.0 ± 1.4 (n=2)*` -> what is aligned, and tail. An interval `low … high` becomes `[low, high]`."""
    parts = _MARKED.fullmatch(latin(text))
    assert parts
    words, tail = parts["value"], latex_text(parts["tail"]).replace(" ", "~")
    tail = tail.replace(r"~$\pm$~", r"\,$\pm$\,").replace("{*}", r"\textsuperscript{*}")
    shown = latex_text(_MINUS.sub("−", _INTERVAL.sub(r"[\1, \2]", words)))
    return Value(shown, tail, _NUMBER.fullmatch(words))


def number_format(values: Sequence[Value]) -> str | None:
    """siunitx's `table-format` of a column, or None if it has something other than numbers and dashes."""
    numbers = [one.found for one in values if one.found]
    if not numbers or any(not one.found and one.text not in {"", latex_text(DASH)} for one in values):
        return None
    whole, decimals = (max(len(number[part] or "") for number in numbers) for part in ("whole", "decimals"))
    relation = "<" if any(number["relation"] for number in numbers) else ""
    sign = "+" if any(number["sign"] for number in numbers) else ""
    return f"{relation}{sign}{whole}.{decimals}"
