"""A Run by its paper's recipe stands beside the published number; what it was changed in stands beside both."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.planning import method_files, published, recipes
from results.settings import Run


def paper_run(**changes: Any) -> Run:
    """As the paper has it, but for the data, which are not here."""
    method, dataset, backbone = "bilinear_cnn", "cub_200_2011", "vgg16"
    (answer, *_) = [row.answered_by for row in method_files.published(method) if row.answered_by and row.value]
    assert answer is not None
    dataset, backbone = answer.dataset, answer.backbone
    recipe = recipes.recipe_for(method, answer.variant, "paper", dataset, backbone, changes.pop("recipe", {}))
    settings = {
        "method": method,
        "variant": answer.variant,
        "options": method_files.options_of(method, answer.variant),
        "dataset": dataset,
        "split_sha256": "",
        "backbone": backbone,
        "pretrained": f"{recipes.weights(method, answer.variant, 'paper', backbone)}.safetensors",
        "protocol": "paper",
        "recipe": recipe,
        "seed": 0,
    }
    return Run.model_validate(settings | changes)


def test_a_run_as_the_paper_has_it_is_changed_in_nothing() -> None:
    assert published.rows(paper_run())
    assert published.deviations(paper_run()) == method_files.method_file("bilinear_cnn").unspecified
    assert published.changed(paper_run()) == []
    assert published.changed(paper_run(pretrained="vgg16.tv_in1k_to_features.pth.tar")) == []


def test_weights_of_a_network_whose_recipe_names_none_are_those_of_the_network() -> None:
    for file in ("resnet18.safetensors", "resnet18.a1_in1k.pth", "resnet18_to_layer3.safetensors"):
        assert published.changed(paper_run(backbone="resnet18", pretrained=file)) == []
    said = "pretrained: resnet50.safetensors in place of weights named after resnet18"
    assert published.changed(paper_run(backbone="resnet18", pretrained="resnet50.safetensors")) == [said]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": {"batch_size": 3}}, "batch_size: 3 in place of "),
        ({"recipe": {"phases": {"all": {"epochs": 1}}}}, "phases.all.epochs: 1 in place of "),
        ({"precision": "bf16"}, "precision: bf16 in place of fp32"),
        ({"pretrained": "none"}, "pretrained: none in place of vgg16.tv_in1k"),
        ({"pretrained": "vgg16.safetensors"}, "pretrained: vgg16.safetensors in place of vgg16.tv_in1k"),
        ({"allow_unfilled": True}, "allow_unfilled: True in place of False"),
    ],
)
def test_a_changed_one_still_stands_beside_the_published_number_and_says_in_what(
    change: dict[str, Any], said: str
) -> None:
    run = paper_run(**change)
    assert published.rows(run) == published.rows(paper_run())
    found = published.changed(run)
    assert any(sentence.startswith(said) for sentence in found), found


def test_other_options_are_another_method_and_the_common_recipe_answers_no_paper() -> None:
    assert published.rows(paper_run(options={"tap": 8})) == []
    common = paper_run(protocol="common")
    assert (published.rows(common), published.deviations(common), published.changed(common)) == ([], [], [])
