"""Checks of a method that need its code: which options it takes, which phases it has, which backbones it can use."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

import timm
import torch
from torch import nn

import datasets
import methods
from benchmarks.config import fault_of, parse
from benchmarks.errors import UserError, first_line, require_known
from benchmarks.planning.method_files import Answer, method_file, published
from benchmarks.planning.phases import never_thawed, too_short
from benchmarks.planning.recipes import recipe_for
from benchmarks.planning.suite import DatasetChoice
from methods import activation_checkpointing
from methods.backbones import require_blocks
from methods.errors import BackboneError
from methods.interface import Method, Tap
from methods.networks import check_name, check_options, without_weights
from methods.tags import split_tag
from methods.transformers import swin_attention, tokens
from results.settings import AnyRun, Run, method_label


def check(method: str) -> None:
    """Raises `UserError` unless a method's files are sound: keys, values, variants, options, published rows."""
    file = method_file(method)
    if "paper" not in file.variants:
        raise UserError(f"{method}: recipe.yaml has no variant called 'paper', which is the default one")
    accepted = constructor_options(method)
    readouts: dict[str, list[str]] = {}
    for name, variant in file.variants.items():
        for option in variant.options:
            require_known(f"option of {method} (variant {name})", option, accepted)
        readouts[name] = list(stand_in(f"{method}, variant {name}", method, variant.options).readout_views)
        for dataset in ("", *file.recipe.datasets):
            recipe_for(method, name, "paper", dataset, file.recipe.backbone, {})
        recipe_for(method, name, "common", "", file.recipe.backbone, {})
    for dataset in file.recipe.datasets:
        require_known(f"dataset of {method} (recipe)", dataset, datasets.reader_classes())
    for network in (file.recipe.backbone, *file.recipe.backbones):
        _check_network(f"recipe of {method}", network)
    for named in (file.recipe.weights, *(one.weights for one in file.variants.values())):
        for network, weights in named.items():
            _check_weights(f"weights of {method} (recipe)", network, weights)
    for changes in (file.recipe.backbone_options, *(one.backbone_options for one in file.variants.values())):
        for network, network_options in changes.items():
            _check_network(f"recipe of {method}", network, network_options)
    for row in published(method):
        if row.answered_by:
            _check_answer(f"of {method} (published row {row.variant!r})", row.answered_by, readouts)


def check_all() -> None:
    """Raises `UserError` with the first fault of every method that has one."""
    faults = []
    for name in methods.available():
        try:
            check(name)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("; ".join(faults))


def _check_answer(what: str, answer: Answer, readouts: Mapping[str, Sequence[str]]) -> None:
    """`readouts`: of each variant."""
    require_known(f"variant {what}", answer.variant, readouts)
    if answer.readout is not None:
        require_known(f"read-out {what}", answer.readout, readouts[answer.variant])
    chosen = parse(DatasetChoice, {"name": answer.dataset}, f"dataset {what}")
    require_known(f"dataset {what}", chosen.name, datasets.reader_classes())
    _check_network(f"answer {what}", answer.backbone)
    if split_tag(answer.backbone)[1]:
        raise UserError(f"answer {what}: name the network alone; its weights stand in recipe.yaml")


def _check_network(what: str, name: str, options: Mapping[str, Any] = MappingProxyType({})) -> None:
    try:
        check_name(name)
        check_options(name, options)
    except BackboneError as error:
        raise UserError(f"{what}: {error}") from error


def _check_weights(what: str, network: str, weights: str) -> None:
    if weights == "none":
        _check_network(what, network)
        return
    named, tag = split_tag(weights)
    if named != network or not tag:
        raise UserError(f"{what}: {network} starts from {weights}; give timm's name with a tag, {network}.TAG, or none")
    _check_network(what, weights)


def load(method: str) -> type[Method]:
    """The method's class. Raises `UserError` for a folder that does not define exactly one."""
    try:
        return methods.load(method)
    except methods.NotOneMethod as error:
        raise UserError(str(error)) from error


def constructor_options(method: str) -> list[str]:
    """Names of the keyword options that a method's constructor takes."""
    parameters = inspect.signature(load(method)).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


@dataclass
class _FakeBackbones:
    """A `BackboneSource` whose backbones have channels and sizes alone: enough to build a method, not to run it."""

    name: str = "stand-in"
    taps: set[Tap] = field(default_factory=set)
    """Requested of the Run's own network."""
    rests: set[int] = field(default_factory=set)
    """How many last blocks it left to `rest`, each time that it asked for tokens."""
    others: list[str] = field(default_factory=list)
    """Names of the other networks that were requested."""

    def features(self, taps: Sequence[Tap], name: str | None = None) -> Any:
        if self._is_own(name):
            self.taps |= set(taps)
        net: Any = nn.Module()
        net.channels = (64,) * len(taps)
        net.sizes = lambda: ((14, 14),) * len(taps)
        return net

    def tokens(
        self,
        after: Sequence[int] | None = (),
        attention: Sequence[int] | None = (),
        rest: int = 0,
        name: str | None = None,
        queries: Sequence[int] | None = (),
    ) -> Any:
        if self._is_own(name):
            self.rests.add(rest)
        net: Any = nn.Module()
        layer = nn.ModuleDict({"q_norm": nn.Identity(), "k_norm": nn.Identity()})
        blocks = nn.Sequential(nn.ModuleDict({"attn": layer}))
        net.take_rest = lambda: nn.ModuleDict({"blocks": blocks, "norm": nn.Identity()})
        net.channels, net.heads, net.depth, net.prefix, net.grid = 64, 4, 12, 1, (14, 14)
        return net

    def _is_own(self, name: str | None) -> bool:
        if name is None or name == self.name:
            return True
        check_name(name)
        self.others.append(name)
        return False


def stand_in(label: str, method: str, options: Mapping[str, Any], backbones: _FakeBackbones | None = None) -> Method:
    """A method without a backbone, to be asked for its phases. Raises `UserError` if it refuses the options."""
    kinds = _kinds_of_options(method)
    for name in kinds.keys() & options:
        if fault := fault_of(kinds[name], options[name]):
            raise UserError(f"{label}: options.{name}: {fault}")
    try:
        return load(method)(backbones or _FakeBackbones(), 2, **options)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, BackboneError) as error:
        raise UserError(f"{label}: {first_line(error)}") from error


@cache
def _kinds_of_options(method: str) -> dict[str, Any]:
    """Types of a constructor's options, by name, as far as it says them."""
    hints = get_type_hints(load(method).__init__)
    return {name: hints[name] for name in constructor_options(method) if name in hints}


def further_networks(run: Run) -> list[str]:
    """Names of the networks that a Run's method takes beside the Run's own."""
    return networks_beside(run.method, run.options, run.backbone)


def networks_beside(method: str, options: Mapping[str, Any], backbone: str) -> list[str]:
    """Names of the networks that a method with these options takes beside `backbone`."""
    backbones = _FakeBackbones(backbone)
    stand_in(method, method, options, backbones)
    return backbones.others


def draws(run: Run) -> bool:
    """Whether seeds can differ: what is fitted to frozen features of given weights is the same for each."""
    return run.pretrained == "none" or bool(stand_in(run.label, run.method, run.options).phases())


def notes(runs: Sequence[AnyRun]) -> list[str]:
    """What a user should know of a plan's trainings, a line each."""
    trainings = {run.experiment: run for run in runs if isinstance(run, Run)}.values()
    once = dict.fromkeys(method_label(run.method, run.variant) for run in trainings if not draws(run))
    one_seed = f"{', '.join(once)}: one seed, since nothing is drawn and every seed would give the same"
    return [*short_phases(runs), *([one_seed] if once else [])]


def short_phases(runs: Iterable[AnyRun]) -> list[str]:
    """A line for each way in which trainings have too few epochs for their method's phases or for groups that are
    frozen at first, with the methods."""
    methods_of: dict[str, dict[str, None]] = {}
    for run in {run.experiment: run for run in runs if isinstance(run, Run)}.values():
        method = stand_in(run.label, run.method, run.options)
        for told in (too_short(method, run.recipe), never_thawed(method, run.recipe)):
            if told:
                methods_of.setdefault(told, {})[method_label(run.method, run.variant)] = None
    return [f"{', '.join(labels)}: {told}" for told, labels in methods_of.items()]


@cache
def taps_of(method: str, options: str, backbone: str) -> tuple[Tap, ...]:
    """Where a method takes features of its Run's own network; `options` are JSON."""
    backbones = _FakeBackbones(backbone)
    stand_in(method, method, json.loads(options), backbones)
    return tuple(sorted(backbones.taps, key=str))


@cache
def no_checkpointing(method: str, options: str, backbone: str, image_size: int, backbone_options: str) -> str | None:
    """Why the activations of a method's own network can't be checkpointed, in one line; None if they can. Options are
    JSON."""
    net = without_weights(backbone, image_size, json.loads(backbone_options))
    try:
        require_blocks(taps_of(method, options, backbone))
        if net is not None:
            activation_checkpointing.blocks(net)
    except BackboneError as error:
        return str(error)
    return None


def missing_attention(label: str, method: str, options: Mapping[str, Any], backbone: str) -> str | None:
    """Why a method that reads its network's own attention or tokens can't use this backbone, in one line; None if it
    can."""
    backbones = _FakeBackbones(backbone)
    stand_in(label, method, options, backbones)
    attends = bool(backbones.taps.intersection(swin_attention.TAPS))
    return _not_a_transformer(backbone, attends, tuple(backbones.rests))


@cache
def _not_a_transformer(backbone: str, attends: bool, rests: tuple[int, ...]) -> str | None:
    if not attends and not rests:
        return None
    with torch.device("meta"):  # the architecture matters, not the weights
        net = timm.create_model(backbone, pretrained=False, num_classes=0)
    try:
        if attends:
            swin_attention.keep(net)
        for rest in rests:
            tokens.require_tokens(net, rest)
    except BackboneError as error:
        return str(error)
    return None
