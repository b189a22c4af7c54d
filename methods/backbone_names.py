"""How papers write the names of timm's networks: ResNet-50 for `resnet50`."""

from __future__ import annotations

import re
from collections.abc import Callable

_SIZES = {"tiny": "T", "small": "S", "base": "B", "large": "L", "xlarge": "XL", "huge": "H"}
_VIT_SIZES = {**_SIZES, "tiny": "Ti", "giant": "g", "gigantic": "G"}
_VIT = rf"vit_({'|'.join(_VIT_SIZES)})_patch(\d+)"
_SIZE = f"({'|'.join(_SIZES)})"


def _vit(found: re.Match[str], family: str = "") -> str:
    return f"{family}ViT-{_VIT_SIZES[found[1]]}/{found[2]}"


def _sized(family: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{family}-{_SIZES[found[1]]}"


def _wide(family: str) -> Callable[[re.Match[str]], str]:
    """Networks whose width is given in hundredths: 100 is the paper's own."""
    return lambda found: family if found[1] == "100" else f"{family} ×{int(found[1]) / 100:g}"


_FORMS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"resnet(\d+)", r"ResNet-\1"),
    (r"seresnet(\d+)", r"SE-ResNet-\1"),
    (r"wide_resnet(\d+)_(\d+)", r"Wide ResNet-\1-\2"),
    (r"resnext(\d+)_(\d+x\d+d)", r"ResNeXt-\1 \2"),
    (r"vgg(\d+)", r"VGG-\1"),
    (r"vgg(\d+)_bn", r"VGG-\1-BN"),
    (r"densenet(\d+)", r"DenseNet-\1"),
    (r"inception_v(\d)", r"Inception-v\1"),
    (r"(?:tf_)?efficientnet_b(\d)", r"EfficientNet-B\1"),
    (r"(?:tf_)?efficientnet_lite(\d)", r"EfficientNet-Lite\1"),
    (r"(?:tf_)?efficientnetv2_([sml])", lambda found: f"EfficientNetV2-{found[1].upper()}"),
    (r"mobilenetv2_(\d{3})", _wide("MobileNetV2")),
    (r"mobilenetv3_large_(\d{3})", _wide("MobileNetV3-Large")),
    (r"mobilenetv3_small_(\d{3})", _wide("MobileNetV3-Small")),
    (rf"convnext_{_SIZE}", _sized("ConvNeXt")),
    (rf"convnextv2_{_SIZE}", _sized("ConvNeXtV2")),
    (rf"swin_{_SIZE}_patch4_window\d+_\d+", _sized("Swin")),
    (rf"swinv2_{_SIZE}_window\d+_\d+", _sized("SwinV2")),
    (rf"{_VIT}_\d+", _vit),
    (rf"{_VIT}_dinov2", lambda found: _vit(found, "DINOv2 ")),
    (rf"{_VIT}_clip_\d+", lambda found: _vit(found, "CLIP ")),
)
"""Form of a whole name -> how papers write it."""


def display_name(network: str) -> str:
    """Of a network without its tag; `network` itself where it has none of the known forms.

    Names leave out what papers state apart, such as the input size, so two networks may share one.
    """
    for form, written in _FORMS:
        if found := re.fullmatch(form, network):
            return found.expand(written) if isinstance(written, str) else written(found)
    return network
