"""Which methods of a suite can use which backbones, with which options."""

from __future__ import annotations

from benchmarks.config import deep_merge
from benchmarks.errors import UserError, require_known
from benchmarks.planning import method_checks, method_files
from benchmarks.planning.method_files import split_name
from benchmarks.planning.overrides import NO_CHANGES, Changes
from benchmarks.planning.suite import BackboneChoice, Profiling, Suite, Training
from methods.networks import check_name, check_options
from results.settings import AnyRun


def left_out(suite: Suite, changes: Changes = NO_CHANGES) -> list[str]:
    """One line for each method that `methods: all` leaves out because it can't use one of the backbones.

    A method that the suite names elsewhere, on a backbone of its own, is not left out.
    """
    entries: list[Training | Profiling] = [*suite.train, *suite.profile]
    named = {name for entry in entries if not entry.skip_unsupported for name in entry.methods}
    faults = (
        unsupported(entry, name, backbone, changes)
        for entry in entries
        for name in entry.methods
        if name not in named
        for backbone in entry.backbones
    )
    return list(dict.fromkeys(fault for fault in faults if fault))


def unsupported(entry: Training | Profiling, name: str, backbone: BackboneChoice, changes: Changes) -> str | None:
    """Why a method of `all` can't use a backbone; None if it can, or was asked for by its own name."""
    if not entry.skip_unsupported:
        return None
    method, variant = split_name(name)
    asked = deep_merge(entry.set, changes.set).get("options", {})
    options = deep_merge(method_files.options_of(method, variant), asked)
    check_name(backbone.name)
    fault = method_checks.missing_attention(name, method, options, backbone.network)
    return fault and f"left out: {name} on {backbone.network}: {fault}"


def check_method(run: AnyRun) -> None:
    """Raises `BackboneError` or `UserError` unless backbone and method have the options that the Run sets."""
    check_options(run.backbone, run.backbone_options)
    for option in run.options:
        require_known(f"option of {run.method}", option, method_checks.constructor_options(run.method))
    if fault := method_checks.missing_attention(run.label, run.method, run.options, run.backbone):
        raise UserError(f"{run.label}: {fault}")
