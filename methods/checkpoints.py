"""Checkpoints as people have them: what kind of file it is, and where in it the weights of a network are.

Nothing in a file is ever executed: it is safetensors, or a pickle that torch opens with `weights_only=True`.
"""

from __future__ import annotations

import argparse
import pickle
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from methods.errors import BackboneError

State = dict[str, Tensor]

TIMM_CONVERSIONS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
"""Names under which timm's modules have the function that renames the tensors of a network's other checkpoints."""

LEAST = 0.25
"""Share of a network's tensors that a file of its weights holds; a file that fills fewer is of another network."""
DEPTH = 3
"""Dictionaries in dictionaries that are searched for tensors."""


@dataclass(frozen=True)
class Weights:
    """Tensors of a file, under the names of a network."""

    state: State
    keys: tuple[str, ...] = ()
    """Where they are in the file: `("state_dict",)`."""
    prefix: str = ""
    """What their names begin with in the file and not in the network: `module.`."""

    @property
    def averaged(self) -> bool:
        """Whether they are called an exponential moving average (EMA) of the weights."""
        return any(word == "ema" for part in (*self.keys, self.prefix) for word in re.split(r"[^a-z]", part.lower()))

    @property
    def place(self) -> str:
        """For people; empty for a file that holds the network's own names and no more."""
        words = [".".join(self.keys)] if self.keys else []
        return " ".join([*words, *([f"without the prefix {self.prefix!r}"] if self.prefix else [])])


def weights_of(file: Path, net: nn.Module) -> tuple[State, str]:
    """The tensors in the file that are the network's, under its names, and where they were found, in words.

    They may lie in dictionaries (`state_dict`, `model` …), and have names with a prefix (`module.`, `model.backbone.`
    …); timm's own conversion of other names is applied. Where a moving average (EMA) lies beside the raw weights and
    fills as much, it is taken, as timm does. Of a network on the meta device, the tensors have shapes alone. Raises
    `BackboneError` for a file that can't be read, has no state dict, or has several for this network.
    """
    content = read(file, next(iter(net.state_dict().values())).device.type)
    names = {key for key in net.state_dict() if not key.endswith("num_batches_tracked")}
    found = [
        Weights(converted(_without(prefix, state), net), keys, prefix)
        for keys, state in _states(content)
        for prefix in _prefixes(state, names)
    ]
    if not found:
        raise BackboneError(
            f"{file}: holds no state dict (names with tensors) but {_described(content)}; save one with "
            "torch.save(model.state_dict(), FILE)"
        )
    filled = [len(names & one.state.keys()) for one in found]
    most = max(filled)
    best = [one for one, count in zip(found, filled, strict=True) if count == most]
    chosen = ([one for one in best if one.averaged] or best)[0]
    rivals = [one for one in best if one.averaged == chosen.averaged and not _equal(one, chosen, names)]
    if rivals and most >= LEAST * len(names):
        places = ", ".join(one.place or "the file itself" for one in (chosen, *rivals))
        raise BackboneError(f"{file}: has several networks that fit ({places}); save one to a file of its own")
    beside = ", ".join(dict.fromkeys(one.place for one in best if one.averaged != chosen.averaged))
    return chosen.state, f"{chosen.place}, the moving average, not {beside}" if beside else chosen.place


def is_finite(file: Path) -> bool:
    """Whether no tensor of the file holds NaN or infinite values. Raises `BackboneError` as `read`."""
    tensors = (value for _, state in _states(read(file)) for value in state.values() if value.is_floating_point())
    return all(map(_is_finite, tensors))


def _is_finite(tensor: Tensor) -> bool:
    """A sum that is finite says so at once; one that is not may have overflowed."""
    values = tensor if tensor.element_size() > 1 else tensor.float()  # torch adds up no eight-bit kinds
    return bool(values.sum().isfinite() or values.isfinite().all())


def read(file: Path, device: str = "cpu") -> Any:
    """What the file holds; on the device `meta`, names and shapes alone.

    Raises `BackboneError` with the reason if it is no file of tensors alone.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(64)
        if not head:
            raise BackboneError(f"{file}: is empty; fetch it again")
        if head[8:9] == b"{":  # after the length of the header, which is JSON
            return _shapes(file) if device == "meta" else load_file(file)
        if head.startswith(b"version https://git-lfs"):
            raise BackboneError(f"{file}: is a pointer of Git LFS, not the weights; run `git lfs pull` in its clone")
        if head.isascii() and "".join(head.decode().split()).isprintable():
            raise BackboneError(f"{file}: is text, not weights (it begins {head.decode()[:20]!r}); fetch it again")
        if zipfile.is_zipfile(file) and _is_torchscript(file):
            raise BackboneError(
                f"{file}: is a TorchScript archive, which holds code, and was not opened; if you trust it, save its "
                "tensors alone: torch.save(torch.jit.load(FILE).state_dict(), NEW)"
            )
        # A Namespace is a plain record: the options of a training. torch takes a path's suffix for what the file is.
        with torch.serialization.safe_globals([argparse.Namespace]), file.open("rb") as opened:
            return torch.load(opened, device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise BackboneError(_why_not_opened(file, str(error))) from error
    except BackboneError:
        raise
    except OSError as error:
        raise BackboneError(f"{file}: can't be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged file raises errors of many types
        raise BackboneError(f"{file}: is not a readable weight file, or is cut off; fetch it again") from error


def _shapes(file: Path) -> State:
    """Of a safetensors file, whose head has them."""
    with safe_open(file, "pt") as opened:
        shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118 - it is no dict
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _is_torchscript(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(Path(name).name == "constants.pkl" for name in archive.namelist())


def _why_not_opened(file: Path, message: str) -> str:
    if unsafe := re.search(r"GLOBAL ([\w.]+)", message):
        return (
            f"{file}: holds more than tensors ({unsafe[1]}), which could run code, and was not opened; if you trust "
            "it, save its state dict alone: torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)"
        )
    return f"{file}: is no file of tensors that PyTorch wrote, or is damaged; fetch it again"


def _states(content: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], State]]:
    """Every dictionary of tensors in the file, and the keys that lead to it."""
    if not isinstance(content, Mapping):
        return
    state = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if state:
        yield keys, state
    for key, value in content.items():
        if isinstance(key, str) and len(keys) < DEPTH:
            yield from _states(value, (*keys, key))


def _prefixes(state: State, names: set[str]) -> list[str]:
    """What the file's names may have in front of the network's: nothing, or what leaves most of the network's names;
    where nothing does, as before timm's conversion, what they all begin with."""
    votes: Counter[str] = Counter()
    for key in state:
        starts = [0, *(place + 1 for place, letter in enumerate(key) if letter == ".")]
        votes.update(key[:start] for start in starts if key[start:] in names)
    most = max(votes.values(), default=0)
    prefixes = [prefix for prefix, count in votes.items() if count == most]
    return list(dict.fromkeys(["", *(prefixes or _common(list(state)))]))


def _common(keys: list[str]) -> list[str]:
    """The dotted words that all keys begin with, and each shorter part of them."""
    parts = [key.split(".")[:-1] for key in keys]
    common: list[str] = []
    for words in zip(*parts, strict=False):
        if len(set(words)) > 1:
            break
        common.append(f"{common[-1] if common else ''}{words[0]}.")
    return common


def _without(prefix: str, state: State) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def converted(state: State, net: nn.Module) -> State:
    """The state under the network's names by timm's own conversion: renames old and torchvision's checkpoints where
    timm knows how, and resizes position tables. Unchanged if it is of no network that the conversion knows."""
    module = sys.modules[type(net).__module__]
    convert = next((getattr(module, name) for name in TIMM_CONVERSIONS if hasattr(module, name)), None)
    if convert is None:
        return state
    try:
        try:
            result = convert(dict(state), net)
        except TypeError:  # some take the state alone
            result = convert(dict(state))
    except Exception:  # they read names and shapes without a check: any error means another network
        return state
    return {key: value for key, value in result.items() if isinstance(value, Tensor)}


def _equal(one: Weights, other: Weights, names: set[str]) -> bool:
    """Whether both hold the same tensors: one network under two names. Tensors without values are taken to be equal."""
    common = names & one.state.keys()
    return common == names & other.state.keys() and all(
        one.state[key] is other.state[key] or one.state[key].is_meta or torch.equal(one.state[key], other.state[key])
        for key in common
    )


def _described(content: Any) -> str:
    """What a file without tensors by name holds."""
    if not isinstance(content, (Mapping, list, tuple)) or not len(content):
        return f"one {type(content).__name__}"
    values = list(content.values() if isinstance(content, Mapping) else content)
    if isinstance(content, Mapping) and len(values) == 1 and isinstance(values[0], Mapping):
        return _described(values[0])
    kind, count = Counter(type(value).__name__ for value in values).most_common(1)[0]
    return f"a {type(content).__name__} of {count} values of type {kind}"
