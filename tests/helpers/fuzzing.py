"""Inputs that nobody means: bytes, text and settings changed at random, and what may become of them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeVar

from benchmarks.errors import REFUSED
from datasets.fetching.download import FetchError, MirrorError
from methods.errors import HubError
from results.errors import ResultsError
from results.values.text import LONGEST_LINE, one_line

T = TypeVar("T")

USER_ERRORS = (*REFUSED, ResultsError, FetchError, MirrorError, HubError)
LONGEST_MESSAGE = 20_000
"""Characters of a message before it is cut for the terminal: it never holds what made it as large as a bomb."""

NASTY: list[Any] = [
    *(None, True, False, "", " ", "x", "none", "all", "auto"),
    *("..", "../../etc/passwd", "/etc/passwd", "a/b", "a:b", "~"),
    *(-1, 0, 1, 2, 7, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63), 0.0, -0.5, 0.5, 1.5, 1e-320, 1e308, 1e400),
    *(float("nan"), float("-inf"), "nan", "inf", "1e-5", "1e999"),
    *("9" * 5000, "0x10", "²", "٣", "1_000", "true", "null"),
    *([], {}, [None], [[]], [1, 2], {"": 1}, {"name": "x"}, {"a": {"a": {"a": 1}}}, ["x"] * 300),
    *("\x1b[31m", "a\rb", "a\nb", "\u202egpj", "[red]x[/]", "[/]", "=1+1", "\0", "é", "e\u0301", "a" * 300, "a" * 5000),
    *("%s%n", "{0}", "${HOME}", "`id`", "$(id)", "<script>", "'; --", "&a", "*a", "!!int x", "2024-01-01", "\ufeff"),
]
"""Values that break what takes them for what they look like."""


class Fuzz:
    """One test's inputs, and how many were accepted and refused. Each is drawn from its own number, so that a failure
    can be repeated."""

    def __init__(self, seed: str, factor: float) -> None:
        self.seed, self.factor = seed, factor
        self.counts: dict[str, Counter[str]] = {}
        self.kind, self.number = "", 0

    def draws(self, kind: str, count: int) -> Iterator[Random]:
        """A source of random numbers for each of `count` inputs; of more in a long run."""
        self.kind, self.counts[kind] = kind, Counter()
        for number in range(max(int(count * self.factor), 1)):
            self.number = number
            yield Random(f"{self.seed}/{kind}/{self.number}")

    def attempt(self, call: Callable[[], T]) -> T | None:
        """What the call returns; None if it refuses its input in one line. Any other outcome fails the test."""
        counts = self.counts[self.kind]
        counts["tried"] += 1
        try:
            result = call()
        except USER_ERRORS as error:
            said = str(error)
        except BaseException as error:
            error.add_note(f"{self.where}: neither a result nor an error of the user")
            raise
        else:
            counts["accepted"] += 1
            return result
        counts["refused"] += 1
        assert said, self.where
        assert len(said) <= LONGEST_MESSAGE, f"{self.where}: a message of {len(said)} characters"
        assert len(one_line(said).splitlines()) == 1, self.where
        assert len(one_line(said)) <= LONGEST_LINE, self.where
        return None

    def altered(self) -> None:
        """Counts the last result as one that is not what was meant, and that nothing said."""
        self.counts[self.kind]["silently other"] += 1

    @property
    def where(self) -> str:
        """How to repeat the current input."""
        return f"FGBENCH_FUZZ_SEED={self.seed}, {self.kind} number {self.number}"


def damaged(content: bytes, draw: Random) -> bytes:
    """Bytes with one to four faults: flipped, overwritten, cut, lost, doubled or inserted ones."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(data) + 1)
        length = draw.choice((1, 1, 2, 4, 16, 200))
        match draw.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
            case 1:
                data[at : at + length] = draw.randbytes(len(data[at : at + length]))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                data[at:at] = draw.randbytes(length)
            case 6:
                data[at : at + length] = draw.choice((b"\0", b"\xff")) * len(data[at : at + length])
    return bytes(data)


def damaged_text(text: str, draw: Random) -> str:
    """Text with one to three faults: pieces lost, doubled, or replaced by what nobody means there."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(text) + 1)
        end = min(at + draw.choice((0, 1, 3, 10, 40)), len(text))
        put = draw.choice(
            ("", text[at:end] * 2, str(draw.choice(NASTY)), draw.choice("[]{},:#&*!|>'\"%@`\t\n\r\0\x1b-"))
        )
        text = text[:at] + put + text[end:]
    return text


def damaged_values(values: Any, draw: Random) -> Any:
    """Settings in which one to three values, anywhere, are lost, renamed, or replaced by a nasty one."""
    values = copy.deepcopy(values)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(values))
        if not places:
            return draw.choice(NASTY)
        inside, key = draw.choice(places)
        match draw.randrange(6):
            case 0:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[str(draw.choice(NASTY))] = inside.pop(key)
            case 2 if isinstance(inside, dict):
                inside[str(draw.choice(NASTY))] = draw.choice(NASTY)
            case 3:
                inside[key] = [inside[key]]
            case _:
                inside[key] = copy.deepcopy(draw.choice(NASTY))
    return values


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every dictionary or list within, with each of its keys."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(items):
        yield values, key
        yield from _places(value)
