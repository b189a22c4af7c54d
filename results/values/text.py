"""Text from outside, such as names of files and classes and what servers say, made fit to be shown."""

from __future__ import annotations

import re
import unicodedata

LONGEST_LINE = 1000
"""Characters of an error's line."""
LONGEST_VALUE = 100
"""Characters of a value that a message repeats."""

_MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning in Markdown; underscores only outside words."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that change the direction of the text around them."""


def visible(text: str) -> str:
    r"""`text` in which everything that a terminal would obey, rather than show, is written as an escape: `\x1b`.

    These are control characters but for line feed and tab, marks of text direction, line separators, and halves of
    surrogate pairs, as which Python reads file names that are not UTF-8.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in "\n\t" or (character.isprintable() and character not in _BIDI):
        return character
    if unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"} or character in _BIDI:
        return character.encode("unicode_escape").decode()
    return character


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """`text` as one line of at most so many characters that is safe on a terminal; of a longer one, begin and end."""
    whole = cut(" ".join(text.split()) if "\n" in text or "\r" in text else text, longest)
    return cut(visible(whole).replace("\t", " "), longest)


def in_markdown(line: str) -> str:
    """A line of text as Markdown, and the HTML inside it, show it."""
    text = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(lambda found: "\\" + found[0], text)


def in_a_row(text: str) -> str:
    """`text` as a cell of a table: without line breaks and control characters, which would break the row or reach into
    the terminal; marks of text direction, which would turn the row round, are shown."""
    return visible(_CONTROL.sub(" ", text))


def cut(text: str, longest: int) -> str:
    """`text`, or its begin and end with `…` between them if it has more than `longest` characters."""
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def can_be_path(text: str) -> bool:
    """Whether a file can have this path: Linux has 255 bytes for each name and 4096 for all of it, and none is zero.

    Asking the system whether a longer one exists raises an `OSError`.
    """
    path = text.encode(errors="surrogatepass")
    return b"\0" not in path and len(path) < 4096 and max(map(len, path.split(b"/"))) <= 255


def shown(value: object) -> str:
    """`value` as Python writes it, cut to what a message can hold."""
    if isinstance(value, str):
        return cut(repr(cut(value, LONGEST_VALUE)), LONGEST_VALUE)
    try:
        return cut(repr(value), LONGEST_VALUE)
    except ValueError:  # Python writes no integer of thousands of digits
        return "a number with too many digits"


def spaced(number: int) -> str:
    """5902 -> "5 902"."""
    return f"{number:,}".replace(",", " ")


def counted(number: int, word: str, ending: str = "s") -> str:
    """`1 Run`, `2 Runs`, `5 902 images`; `ending` makes the plural."""
    return f"{spaced(number)} {word}{'' if number == 1 else ending}"
