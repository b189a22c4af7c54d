"""YAML from outside, read to what JSON has: words, finite numbers, lists, and settings by name.

What is written twice, means something only Python can hold, or unfolds to more than a person would write is refused
with its line, before anything is built from it.
"""

from __future__ import annotations

import math
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from results.values.text import shown

LONGEST = 256_000
"""Characters of a text."""
LARGEST = 20_000
"""Values of a text, those behind an alias counted each time."""
DEEPEST = 32
"""Levels of lists and settings within each other, aliases unfolded."""
LARGEST_INTEGER = 2**64

_TAG = "tag:yaml.org,2002:"


class YamlTextError(ValueError):
    """The text is refused; the message says why, in words. `line` counts from 1; None: the text as a whole."""

    def __init__(self, what: str, line: int | None) -> None:
        super().__init__(what)
        self.line = line


def read(text: str) -> Any:
    """The value that the text stands for. Raises `YamlTextError`."""
    if len(text) > LONGEST:
        raise YamlTextError(f"has {len(text)} characters, more than {LONGEST}", None)
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or " ".join(str(error).split())
        raise YamlTextError(f"is not valid YAML ({why})", mark.line + 1 if mark else None) from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, without times, sets and bytes, and with limits."""

    yaml_constructors = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_TAG) in {"null", "bool", "int", "float", "str", "seq", "map"}
    } | {f"{_TAG}{kind}": yaml.SafeLoader.construct_yaml_str for kind in ("timestamp", "value")}
    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.depth > DEEPEST:
            raise _fault(f"is nested more than {DEEPEST} levels deep", self.peek_event())
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def get_single_node(self) -> Node | None:
        node = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError) as error:  # `!!int x`, 5 000 digits
            raise _fault(f"{shown(node.value)} is not the number or word that it should be", node) from error
        if isinstance(value, str) and not _storable(value):
            raise _fault(f"{shown(value)} has characters that can't be stored", node)
        if isinstance(value, int) and abs(value) >= LARGEST_INTEGER:
            raise _fault(f"{shown(node.value)} is too large a number", node)
        if isinstance(value, float) and not math.isfinite(value):
            raise _fault(f"{shown(node.value)} is not a finite number", node)
        return value


def _fault(what: str, at: Any) -> YamlTextError:
    return YamlTextError(what, at.start_mark.line + 1)


def _measure(node: Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Values and levels of a node with its aliases unfolded; checks its keys. `known`: of nodes met before, None while
    they are measured. An alias follows what it names, so this is no deeper than the text is nested."""
    if id(node) in known:
        if (measured := known[id(node)]) is None:
            raise _fault("contains itself", node)
        return measured
    known[id(node)] = None
    below: list[Node] = []
    if isinstance(node, SequenceNode):
        below = node.value
    elif isinstance(node, MappingNode):
        _check_keys(node)
        below = [value for _, value in node.value]
    measures = [_measure(one, known) for one in below]
    size, depth = 1 + sum(size for size, _ in measures), 1 + max((depth for _, depth in measures), default=0)
    if size > LARGEST:
        raise _fault(f"unfolds to more than {LARGEST} values", node)
    if depth > DEEPEST + 1:
        raise _fault(f"is nested more than {DEEPEST} levels deep", node)
    known[id(node)] = size, depth
    return size, depth


def _check_keys(node: MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == f"{_TAG}merge":
            continue
        if not isinstance(key, ScalarNode) or key.tag != f"{_TAG}str":
            what = shown(key.value) if isinstance(key, ScalarNode) else "a list or a group of settings"
            raise _fault(f"{what} can't be the name of a setting; put it in quotes if it is meant as one", key)
        if key.value in seen:
            raise _fault(f"{shown(key.value)} is written twice (first in line {seen[key.value]}); join the two", key)
        seen[key.value] = key.start_mark.line + 1


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return "\0" not in text
