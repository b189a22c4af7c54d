"""timm's names with tags: `resnet50.tv_in1k` is the network `resnet50` with the pretrained weights `tv_in1k`."""

from __future__ import annotations


def split_tag(name: str) -> tuple[str, str]:
    """Network and tag of a name as timm writes it; the tag is empty where the name has none."""
    network, _, tag = name.partition(".")
    return network, tag
