"""The files that belong to a method, of every method that is found: all there, all sound, naming what exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm

import datasets
import methods
from benchmarks.planning import method_checks, method_files, recipes


@pytest.mark.parametrize("name", methods.available())
def test_its_folder_is_complete(name: str):
    folder = methods.FOLDER / name
    wanted = ("model.py", "recipe.yaml", "published.yaml", "README.md", "test_*.py")
    assert not [pattern for pattern in wanted if not list(folder.glob(pattern))]


@pytest.mark.parametrize("name", ["_template", *methods.available()])
def test_its_readme_has_the_sections_that_a_reader_finds_in_the_others(name: str):
    lines = (methods.FOLDER / name / "README.md").read_text().splitlines()
    sections = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    # The baseline is no paper's, and what it costs is the measure of all others.
    wanted = ["Results"] if name == "plain" else ["How ours differs", "Variants", "Results", "Cost"]
    assert [sections.count(one) for one in wanted] == [1] * len(wanted)


@pytest.mark.parametrize("name", methods.available())
def test_its_recipe_and_published_rows_are_sound(name: str):
    method_checks.check(name)


@pytest.mark.parametrize("name", methods.available())
def test_what_its_files_name_exists(name: str):
    """Networks that timm has, and datasets that there are: a typo would set a recipe aside without a word."""
    own, rows = method_files.method_file(name).recipe, method_files.published(name)
    networks = {own.backbone, *own.backbones, *(row.answered_by.backbone for row in rows if row.answered_by)}
    assert not [network for network in networks if not timm.is_model(network)]
    assert set(own.datasets) <= set(datasets.reader_classes())


@pytest.mark.parametrize("name", methods.available())
def test_every_published_row_says_which_weights_its_network_starts_from(name: str):
    """Whoever has just the network's name would get timm's default, often a later training than the paper's."""
    answers = [row.answered_by for row in method_files.published(name) if row.answered_by]
    unnamed = [one for one in answers if recipes.weights(name, one.variant, "paper", one.backbone) == "auto"]
    assert not unnamed


HAWKEYE = [name for name in methods.available() if "hawkeye" in method_files.method_file(name).variants]


@pytest.mark.parametrize("name", HAWKEYE)
def test_a_port_of_hawkeye_s_is_augmented_as_its_train_py_augments_all_methods(name: str):
    seen = recipes.recipe_for(name, "hawkeye", "paper", "", "", {}).augment
    assert (seen.crop, seen.flip, seen.policy.name, seen.erase) == ("resized", 0.5, "trivialaugment", 0.1)


def test_pairwise_confusion_s_port_of_hawkeye_s_warms_up_and_spares_the_network():
    """As its Examples/PairConfusion.py: Adam's rate for the classifier, a tenth of it for all else."""
    recipe = recipes.recipe_for("pairwise_confusion", "hawkeye", "paper", "", "", {})
    assert (recipe.optimizer.lr, recipe.lr_scale) == (0.0004, {"backbone": 0.1})
    assert (recipe.schedule.name, recipe.schedule.warmup_epochs, recipe.epochs) == ("cosine", 5, 60)


@pytest.mark.parametrize("name", methods.available())
def test_every_row_of_an_ablation_is_a_variant(name: str):
    """Also where its number was not found; such a row stands in `published.yaml` for its variant alone."""
    rows = [row for row in method_files.published(name) if "ablation" in row.table or row.value is None]
    assert not [row.variant for row in rows if row.answered_by is None]


@pytest.mark.parametrize("name", ["ops", *methods.available()])
def test_it_can_be_copied_with_the_contract_and_the_shared_blocks(name: str):
    """Of this project, a method's code imports its own folder, `methods.interface` and `methods.ops` alone; and it asks
    the runner for what processes share, never torch.distributed."""
    allowed = (f"methods.{name}", "methods.interface", "methods.ops")
    files = [file for file in (methods.FOLDER / name).rglob("*.py") if not file.name.startswith("test_")]
    assert files
    for file in files:
        for module in imported(file):
            own = module.split(".")[0] in ("methods", "benchmarks", "datasets", "results", "reports", "tests")
            fits = any(module == one or module.startswith(f"{one}.") for one in allowed)
            assert fits or not own, f"{file}: imports {module}"
            assert not module.startswith("torch.distributed"), f"{file}: after_step has `gather` for that"


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports, and the names that it imports from them, as `module.name`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: name the module in full"
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            yield f"torch.{node.attr}"  # used without an import of its own
