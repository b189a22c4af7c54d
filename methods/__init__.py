"""Methods: one folder per paper, discovered by its `model.py`.

In your own code, `methods.build("ws_dan", backbone="resnet50", num_classes=200)` returns the method as an `nn.Module`:
calling it on images gives logits, and the sum of `losses(images, labels)` is what to minimise.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from methods.errors import NotOneMethod, unknown

if TYPE_CHECKING:  # listing methods needs no torch
    from methods.interface import Method

FOLDER = Path(__file__).parent


def available() -> list[str]:
    """Names of the methods: the folders that hold a `model.py`. Those whose name begins with `_` are none."""
    return sorted(path.parent.name for path in FOLDER.glob("[!._]*/model.py"))


@cache
def load(name: str) -> type[Method]:
    """The one `Method` that `methods/<name>/model.py` defines. Raises `NotOneMethod` if that is not exactly one, and
    `ValueError` for a name that is no method's: it may come from a record, and importing a module runs it."""
    from methods.interface import Method

    if name not in available():
        raise ValueError(unknown("methods/", "method", name, available()))
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


def build(
    name: str,
    backbone: str,
    num_classes: int,
    *,
    variant: str = "paper",
    image_size: int = 224,
    pretrained: Path | str | Literal["timm"] | None = None,
    **options: Any,
) -> Method:
    """A method on any timm backbone, for use in your own code: images `(B, 3, H, W)` -> logits `(B, num_classes)`.

    `pretrained` fills the backbone: None leaves it random, a path names a weight file (its state dict), and `"timm"`
    has timm download its own weights. Normalise images as the weights ask: `WeightFile.of(path).scaling(backbone)` of
    `methods.weight_files`, or the mean and std of timm's `pretrained_cfg`. `image_size` in pixels matters to backbones
    of one fixed size. `options` override the variant's.

    Raises `ValueError` for an unknown method or variant and for numbers below 1, `BackboneError` for a backbone or file
    that can't serve, and what the method raises for an option it refuses.
    """
    from methods.backbones import TimmBackbones

    method = load(name)
    known = variants(name)
    if variant not in known:
        raise ValueError(unknown(name, "variant", variant, known))
    for what, number in {"num_classes": num_classes, "image_size": image_size}.items():
        if number < 1:
            raise ValueError(f"{what} is {number}; it must be 1 or more")
    source = TimmBackbones(backbone, image_size, **_weights(pretrained))
    return method(source, num_classes, **{**known[variant], **options})


def _weights(pretrained: Path | str | None) -> dict[str, Any]:
    """What `pretrained` of `build` means to `TimmBackbones`."""
    if pretrained is None:
        return {}
    if pretrained == "timm":
        return {"from_timm": True}
    return {"pretrained": Path(pretrained), "weights_root": Path(pretrained).parent}
