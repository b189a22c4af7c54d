"""The recipe of a Run: the common one or the paper's, with changes on top."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.config import deep_merge, parse, read_yaml
from benchmarks.errors import UserError
from benchmarks.planning.method_files import method_file
from methods.tags import split_tag
from results.recipe import Recipe

COMMON = Path(__file__).parents[1] / "common.yaml"
BUDGETS = ("epochs", "steps")
"""Settings of a recipe, of which a training has one."""


def common() -> dict[str, Any]:
    """The common recipe as its file has it."""
    return dict(read_yaml(COMMON))


def recipe_for(
    method: str, variant: str, protocol: str, dataset: str, backbone: str, *changes: Mapping[str, Any]
) -> Recipe:
    """The recipe of one Run under the `common` or the `paper` protocol, with `changes` applied in their order."""
    file = method_file(method)
    if protocol == "common":
        values, where = merged(common(), file.common.model_dump()), "common recipe"
    else:
        values = merged(
            file.recipe.recipe,
            file.recipe.backbones.get(backbone, {}),
            file.recipe.datasets.get(dataset, {}),
            file.variants[variant].recipe,
        )
        where = f"paper recipe of {method}"
    for asked in changes:
        values = merged(values, _stored_in_proportion(values, asked), asked)
    return parse(Recipe, values, where)


def merged(recipe: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with changes on top. `epochs` takes the place of `steps`, and `steps` that of `epochs`.

    Raises `UserError` for changes to both at once.
    """
    values = dict(recipe)
    for change in changes:
        given = [budget for budget in BUDGETS if change.get(budget) is not None]
        if len(given) > 1:
            raise UserError("epochs and steps are two budgets of one training; set one of them")
        if given:
            values = {name: value for name, value in values.items() if name not in BUDGETS}
        values = deep_merge(values, change)
    return values


def backbone_options(method: str, variant: str, protocol: str, backbone: str) -> dict[str, Any]:
    """Options that the paper's recipe sets for its network. None under the common protocol: all methods share one."""
    if protocol == "common":
        return {}
    file, (network, _) = method_file(method), split_tag(backbone)
    changes = (file.recipe.backbone_options, file.variants[variant].backbone_options)
    return deep_merge(*(change.get(network, {}) for change in changes))


def weights(method: str, variant: str, protocol: str, network: str, asked: str = "auto") -> str:
    """What a network starts from: `asked`, or in the place of `auto` the weights that the paper's recipe names.

    Still `auto` where the recipe names none, and under the common protocol.
    """
    if asked != "auto":
        return asked
    file = method_file(method)
    named = {**file.recipe.weights, **file.variants[variant].weights} if protocol == "paper" else {}
    return named.get(network, "auto")


def _stored_in_proportion(recipe: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, int]:
    """The `stored_size` for a new `image_size`, unless it is set as well: a 64 px crop of images stored for 224 px
    crops would show only a corner of each."""
    size = asked.get("image_size")
    if not isinstance(size, int) or "stored_size" in asked:
        return {}
    return {"stored_size": max(size, stored_size_for(size, recipe))}


def stored_size_for(image_size: int, recipe: Mapping[str, Any]) -> int:
    """Pixels to store images at for crops of `image_size` px, in the recipe's own proportion of the two; rounded up."""
    return -(-image_size * int(recipe["stored_size"]) // int(recipe["image_size"]))
