"""Methods: one folder per paper, found by being there."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from methods.interface import Method

FOLDER = Path(__file__).parent


def available() -> list[str]:
    """Names of the methods: the folders that hold a `model.py`."""
    return sorted(path.parent.name for path in FOLDER.glob("*/model.py"))


class NotOneMethod(TypeError):  # noqa: N818 - reads as what it is
    """A method's folder defines none, or several."""


@cache
def load(name: str) -> type[Method]:
    """The one `Method` that `methods/<name>/model.py` defines. Raises `NotOneMethod` if that is not exactly one."""
    module = importlib.import_module(f"methods.{name}.model")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise NotOneMethod(f"methods/{name}/model.py must define exactly one Method, it defines {len(found)}")
    return found[0]


def variants(name: str) -> dict[str, dict[str, Any]]:
    """Constructor options of each variant in the method's `recipe.yaml`, as the file has them (unchecked)."""
    recipe = yaml.safe_load((FOLDER / name / "recipe.yaml").read_text(encoding="utf-8"))
    return {variant: settings.get("options", {}) for variant, settings in recipe["variants"].items()}
