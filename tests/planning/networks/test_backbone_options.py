"""Options of a Run's network: what was set by hand, else the recipe's, else what the weights need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.planning import expand, method_checks, method_files, published
from benchmarks.planning.method_files import MethodFile
from benchmarks.planning.suite import Suite
from results.settings import Run

TENSORFLOW = "inception_v3.tf_in1k.safetensors"
"""Weights whose pools leave padding out, as `methods/weights/known.yaml` has it."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for name in (TENSORFLOW, "inception_v3.tv_in1k.safetensors"):
        save_file({"x": torch.zeros(1)}, tmp_path / name)
    return tmp_path


def planned(folder: Path, method: str, protocol: str, pretrained: str = TENSORFLOW, **changes: Any) -> Run:
    entry = {
        "methods": [method],
        "datasets": [{"name": "synthetic", "options": {"classes": 3}}],
        "backbones": [{"name": "inception_v3", "pretrained": pretrained}],
        "protocol": protocol,
        "seeds": 1,
        "set": changes,
    }
    (run,) = expand.expand(Suite.model_validate({"about": "", "train": [entry]}), Environment(weights_root=folder))
    assert isinstance(run, Run)
    return run


def test_methods_that_are_compared_have_one_network_that_of_the_weights(weights: Path) -> None:
    for method in ("plain", "ws_dan", "ws_dan:released_wvinzh"):
        assert planned(weights, method, "common").backbone_options == {"count_include_pad": False}
        assert planned(weights, method, "common", "inception_v3.tv_in1k").backbone_options == {}


def test_a_papers_recipe_goes_before_the_weights(weights: Path) -> None:
    """The authors' network is TensorFlow's, whose batch norm has no scale; the replications are PyTorch's."""
    authors = {"count_include_pad": False, "norm_scale": False}
    for pretrained in (TENSORFLOW, "inception_v3.tv_in1k"):
        assert planned(weights, "ws_dan", "paper", pretrained).backbone_options == authors
        for variant in method_files.variants_of("ws_dan"):
            expected = dict.fromkeys(authors, True) if variant.startswith("released_") else authors
            assert planned(weights, f"ws_dan:{variant}", "paper", pretrained).backbone_options == expected
    assert planned(weights, "plain", "paper").backbone_options == {"count_include_pad": False}


def test_what_is_set_by_hand_goes_before_both_and_stands_beside_the_published_number(weights: Path) -> None:
    run = planned(weights, "ws_dan", "paper", backbone_options={"norm_scale": True})
    assert run.backbone_options == {"count_include_pad": False, "norm_scale": True}
    said = "backbone_options.norm_scale: True in place of False"
    assert said in published.changed(run)
    assert said not in published.changed(planned(weights, "ws_dan", "paper"))


def test_an_option_of_a_recipe_that_its_network_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    file = method_files.method_file("plain")
    recipe = file.recipe.model_copy(update={"backbone_options": {"inception_v3": {"norm_scales": False}}})
    wrong: MethodFile = file.model_copy(update={"recipe": recipe})
    monkeypatch.setattr(method_checks, "method_file", lambda _: wrong)
    with pytest.raises(UserError, match=r"recipe of plain: inception_v3 has no option 'norm_scales'; nearest: norm_sc"):
        method_checks.check("plain")
