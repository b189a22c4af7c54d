"""`list methods --check` finds what is wrong in a method's files before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

import methods
from benchmarks.config import deep_merge
from benchmarks.errors import UserError
from benchmarks.planning import method_checks, method_files, recipes
from tests.helpers.fakes.fake_stages import stand_in_for_plain


def with_fault(monkeypatch: pytest.MonkeyPatch, method: str, fault: dict[str, Any]) -> None:
    """The method's `recipe.yaml` with something else in it."""
    values = deep_merge(method_files.method_file(method).model_dump(), fault)
    file = method_files.MethodFile.model_validate(values)
    for module in method_checks, recipes:
        monkeypatch.setattr(module, "method_file", lambda name: file)


@pytest.mark.parametrize(
    ("method", "fault", "said"),
    [
        ("bilinear_cnn", {"variants": {"matlab": {"options": {"root": "exactt"}}}}, "matlab.*exact"),
        ("ws_dan", {"variants": {"maps_4": {"options": {"maps": -4}}}}, "maps_4.*-4"),
        ("sef", {"variants": {"groups_2": {"options": {"grops": 2}}}}, "did you mean 'groups'"),
        ("dfl_cnn", {"variants": {"paper": {"recipe": {"epochs": 0}}}}, "epochs"),
        ("plain", {"recipe": {"backbone": "resnet5O"}}, "resnet50"),
        ("plain", {"recipe": {"datasets": {"cub_200_2012": {}}}}, "cub_200_2011"),
        ("plain", {"recipe": {"backbones": {"vgg61": {}}}}, "vgg61"),
        ("plain", {"recipe": {"weights": {"resnet50": "resnet50.tv_in2k"}}}, "nearest: resnet50.tv_in1k"),
        ("plain", {"recipe": {"weights": {"resnet50": "resnet18.tv_in1k"}}}, "resnet50 starts from resnet18.tv_in1k"),
        ("ws_dan", {"variants": {"paper": {"weights": {"vgg16": "vgg16"}}}}, "give timm's name with a tag, vgg16.TAG"),
        ("plain", {"recipe": {"weights": {"resnet5O": "none"}}}, "nearest: resnet50"),
    ],
)
def test_a_fault_in_a_recipe_is_named(
    monkeypatch: pytest.MonkeyPatch, method: str, fault: dict[str, Any], said: str
) -> None:
    with_fault(monkeypatch, method, fault)
    with pytest.raises(UserError, match=f"(?s){said}"):
        method_checks.check(method)


def test_a_recipe_may_start_from_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    with_fault(monkeypatch, "plain", {"variants": {"stride_16": {"weights": {"resnet50": "none"}}}})
    method_checks.check("plain")
    assert recipes.weights("plain", "stride_16", "paper", "resnet50") == "none"
    assert recipes.weights("plain", "paper", "paper", "resnet50") == "resnet50.tv_in1k"


def test_a_published_row_is_answered_by_a_network_whatever_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    row = method_files.published("sef")[0]
    assert row.answered_by is not None
    tagged = row.answered_by.model_copy(update={"backbone": "resnet50.tv_in1k"})
    monkeypatch.setattr(method_checks, "published", lambda name: [row.model_copy(update={"answered_by": tagged})])
    with pytest.raises(UserError, match="name the network alone"):
        method_checks.check("sef")


def test_a_readout_that_the_variant_does_not_have_is_named_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_plain(monkeypatch)
    row = method_files.published("plain")[0]
    assert row.answered_by is not None
    for readout in ("both", "bothh"):
        answer = row.answered_by.model_copy(update={"readout": readout})
        rows = [row.model_copy(update={"answered_by": answer})]
        monkeypatch.setattr(method_checks, "published", lambda name, rows=rows: rows)
        if readout == "both":
            method_checks.check("plain")
            continue
        with pytest.raises(UserError, match=r"no read-out of plain .*'bothh'; did you mean 'both'"):
            method_checks.check("plain")


@pytest.mark.parametrize("method", methods.available())
def test_the_files_as_they_are_pass(method: str) -> None:
    method_checks.check(method)
