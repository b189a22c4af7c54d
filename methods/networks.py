"""timm's networks: which names, options and image sizes they take, and how one is built."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from methods import network_options
from methods.errors import BackboneError, unknown
from methods.tags import split_tag
from methods.transformers.overlapping_patches import OverlappingPatches

NOT_OPTIONS = frozenset({"num_classes", "in_chans", "device", "dtype", "args", "kwargs"})
"""Parameters of timm's network classes that are not for a Run to choose."""


def check_name(name: str) -> None:
    """Raises `BackboneError` with the nearest names if timm has no network `name`, or no weights of its tag."""
    if not timm.is_model(name):
        raise BackboneError(unknown("timm", "network", name, timm.list_models()))
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # a network, but the tag after the dot names none of its weights
        known = timm.list_models(f"{split_tag(name)[0]}.*", pretrained=True)
        raise BackboneError(unknown("timm", "network", name, known)) from error


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises `BackboneError` for an option that is neither the network's own nor one of `methods.network_options`.

    An option must be a parameter of one of the network classes in timm's module: it shapes the network. What timm does
    with weights (`pretrained`, `checkpoint_path`, `pretrained_cfg` …) is none of them: an option never loads a file.
    A rate of dropping that is no share is refused too: timm takes any, and does not use those of parts it leaves out.
    """
    if not options:
        return
    module = sys.modules[timm.model_entrypoint(split_tag(name)[0]).__module__]
    classes = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, nn.Module)]
    networks = [one for one in classes if hasattr(one, "forward_features")]
    known = {key for one in networks for key in inspect.signature(one).parameters} - NOT_OPTIONS
    known |= set(network_options.OWN_OPTIONS)
    for key, value in options.items():
        if key not in known:
            raise BackboneError(unknown(name, "option", key, known))
        if "drop" in key and key.endswith("_rate") and not _is_share(value):
            raise BackboneError(f"backbone_options.{key} of {name} is {value!r}; it must be a number from 0 to 1")


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def is_fixed_size(name: str) -> bool:
    """Whether the network is built for one image size (position tables, windows) rather than for any."""
    return bool(timm.get_pretrained_cfg_value(name, "fixed_input_size"))


def create_network(name: str, image_size: int, options: Mapping[str, Any], from_timm: bool = False) -> nn.Module:
    """A timm network without a classifier for square images of `image_size` pixels, its weights random or timm's."""
    check_name(name)
    check_options(name, options)
    own = {key: value for key, value in options.items() if key in network_options.OWN_OPTIONS}
    options = {key: value for key, value in options.items() if key not in own}
    if is_fixed_size(name):
        options.setdefault("img_size", image_size)
    shaping = network_options.arguments(name, own)
    try:
        with _WithoutValues() if torch.get_default_device().type == "meta" else nullcontext():
            net = timm.create_model(name, pretrained=from_timm, num_classes=0, **options, **shaping)
    except (TypeError, ValueError, AssertionError, AttributeError, LookupError, ArithmeticError) as error:
        raise BackboneError(f"timm can't build {name} for {image_size} px with {options}: {error}") from error
    except (OSError, RuntimeError) as error:
        if not from_timm:
            if torch.get_default_device().type == "meta":  # a network that needs values to be built
                raise
            raise BackboneError(f"timm can't build {name} for {image_size} px with {options}: {error}") from error
        raise BackboneError(f"timm has no weights of {name} at hand ({error}); name a weight file instead") from error
    network_options.apply(net, name, own)
    return net


class _WithoutValues(TorchFunctionMode):
    """Within, nothing fills or changes values in place. On the meta device there are none, and torch's checks of what
    initialises a ViT's weights take most of the time to build it."""

    FILLS = frozenset({Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_})
    CHANGES = frozenset({Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_})
    """Of uniform values into those of a truncated normal distribution."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (func in self.FILLS or func in self.CHANGES) and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def check_size(name: str, image_size: int, options: Mapping[str, Any]) -> None:
    """Raises `BackboneError` if the network can't be built for such images, or would ignore some of their pixels.

    For planning, as `without_weights`.
    """
    net = without_weights(name, image_size, options)
    if net is not None:
        check_patches(name, net, image_size)


def without_weights(name: str, image_size: int, options: Mapping[str, Any]) -> nn.Module | None:
    """The network with shapes and no values (on torch's meta device), in evaluation mode; built once per process.

    None if it can't be built so. Raises `BackboneError` as `create_network`.
    """
    return _without_weights(name, image_size, json.dumps(dict(options), sort_keys=True))


@cache
def _without_weights(name: str, image_size: int, options: str) -> nn.Module | None:
    try:
        with torch.device("meta"):
            return create_network(name, image_size, json.loads(options)).eval()
    except (RuntimeError, NotImplementedError):
        return None


def check_patches(name: str, net: nn.Module, image_size: int) -> None:
    """Raises `BackboneError` if the network would ignore the last rows and columns of such images.

    So do networks that cut an image into patches, at a size that no whole number of them fills. A CNN whose first
    convolutions overlap or pad takes any size.
    """
    for patch, stride in _patches(net):
        if rest := (image_size - patch) % stride:
            lower = image_size - rest
            sizes = f"{lower} or {lower + stride}" if lower >= patch else str(patch)
            every = "" if stride == patch else f" every {stride} px"
            raise BackboneError(
                f"{name} cuts images into patches of {patch} px{every}: it would ignore the last {rest} rows and "
                f"columns of {image_size} px; set image_size to {sizes}"
            )


def _patches(net: nn.Module) -> list[tuple[int, int]]:
    """Sides in pixels of the patches that the network cuts images into, and the distance from one to the next."""
    if any(getattr(module, "dynamic_img_pad", False) for module in net.modules()):
        return []
    overlapping = {module.proj for module in net.modules() if isinstance(module, OverlappingPatches)}
    return [
        (module.kernel_size[0], module.stride[0])
        for module in net.modules()
        if type(module) is nn.Conv2d  # timm's own kinds pad by themselves
        and module.in_channels == 3
        and (module.kernel_size == module.stride or module in overlapping)
        and module.padding == (0, 0)
    ]
