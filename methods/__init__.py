"""Methods: one folder per paper, discovered by its `model.py`.

In your own code, `methods.build("ws_dan", backbone="resnet50", num_classes=200)` returns the method as an `nn.Module`:
calling it on images gives logits, and `steps(images, labels)` the losses of each optimiser step, whose sum is what to
minimise; `after_step()` follows each.
`methods.build(trained=PATH)` gives a trained one back.
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
    name: str | None = None,
    backbone: str | None = None,
    num_classes: int | None = None,
    *,
    variant: str | None = None,
    image_size: int | None = None,
    pretrained: Path | str | Literal["timm"] | None = None,
    trained: Path | str | None = None,
    **options: Any,
) -> Method:
    """A method on any timm backbone, for use in your own code: images `(B, 3, H, W)` -> logits `(B, num_classes)`.

    `pretrained` fills the backbone: None leaves it random, a path names a weight file (its state dict), a name with a
    tag (`"resnet50.tv_in1k"`) the file that `run_all.py weights fetch` brought, and `"timm"` has timm download its
    own weights. Normalise images as the weights ask: `WeightFile.of(path).scaling(backbone)` of
    `methods.weight_files`, or the mean and std of timm's `pretrained_cfg`. `variant` is the paper's own if not given;
    `image_size` in pixels (224) matters to backbones of one fixed size. `options` override the variant's.

    `build(trained=PATH)` gives a trained network back instead, in evaluation mode: PATH is a folder that `run_all.py
    publish --share` wrote, its `model.safetensors`, or the folder of a Run. What its images are like, and its class
    names, are in `methods.trained.read(PATH)`.

    Raises `ValueError` for an unknown method or variant, for numbers below 1, and for arguments that contradict what
    was trained, `BackboneError` for a backbone or file that can't serve, and what the method raises for an option it
    refuses.
    """
    if trained is not None:
        given: dict[str, Any] = {"name": name, "backbone": backbone, "num_classes": num_classes, "variant": variant}
        given |= {"image_size": image_size, "pretrained": pretrained}
        return _trained(Path(trained), {key: value for key, value in given.items() if value is not None}, options)
    from methods.backbones import TimmBackbones

    if name is None or backbone is None or num_classes is None:
        raise ValueError("name a method, a backbone and num_classes, or a trained network with trained=PATH")
    method = load(name)
    known, variant = variants(name), variant or "paper"
    if variant not in known:
        raise ValueError(unknown(name, "variant", variant, known))
    image_size = 224 if image_size is None else image_size
    for what, number in {"num_classes": num_classes, "image_size": image_size}.items():
        if number < 1:
            raise ValueError(f"{what} is {number}; it must be 1 or more")
    source = TimmBackbones(backbone, image_size, **_weights(pretrained))
    return method(source, num_classes, **{**known[variant], **options})


def _trained(path: Path, given: dict[str, Any], options: dict[str, Any]) -> Method:
    """The trained network at `path`. Raises `ValueError` for an argument of `build` that says otherwise."""
    from methods import trained

    found, method = trained.load(path)
    known = {"name": found.method, "backbone": found.backbone, "num_classes": len(found.class_names)}
    known |= {"variant": found.variant, "image_size": found.image_size} | found.options
    for key, value in {**given, **options}.items():
        if key not in known or known[key] != value:
            raise ValueError(f"{path}: was not trained with {key}={value!r}; leave {key} out")
    return method


def _weights(pretrained: Path | str | None) -> dict[str, Any]:
    """What `pretrained` of `build` means to `TimmBackbones`."""
    if pretrained is None:
        return {}
    if pretrained == "timm":
        return {"from_timm": True}
    from methods import hub

    if isinstance(pretrained, str) and hub.is_tag(pretrained) and not Path(pretrained).exists():
        return {"pretrained": pretrained}
    return {"pretrained": Path(pretrained), "weights_root": Path(pretrained).parent}
