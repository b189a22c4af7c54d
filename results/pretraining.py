"""What a backbone was trained on before, as the name of its weights says, and which of that overlaps with test sets.

timm's tags name the training sets in their order: `laion2b_ft_in12k_in1k`. What no name says is unknown, never guessed;
what a teacher of distilled weights saw, no name says either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NOTHING = "random weights"
UNKNOWN = "unknown"
"""Of weights whose name names no training set."""
DRAWN = "drawn birds"
IMAGENET_1K, IMAGENET_12K, IMAGENET_21K = "IN-1k", "IN-12k", "IN-21k"
LVD, INATURALIST = "LVD-142M", "iNat21"
_SETS = {
    "in1k": IMAGENET_1K,
    "in12k": IMAGENET_12K,
    "in21k": IMAGENET_21K,
    "in22k": IMAGENET_21K,  # two names of one set of 21 841 classes
    "inw21k": IMAGENET_21K,
    "mae": IMAGENET_1K,  # methods of self-supervision whose weights in timm were trained on its images
    "dino": IMAGENET_1K,
    "fcmae": IMAGENET_1K,
    "inat21": INATURALIST,
    "lvd142m": LVD,
    "lvd1689m": "LVD-1689M",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "laiona": "LAION-Aesthetics",
    "openai": "OpenAI's WIT-400M",
    "datacomp1b": "DataComp-1B",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "webli": "WebLI",
    "cc12m": "CC-12M",
    "yfcc15m": "YFCC-15M",
    "yfcc100m": "YFCC-100M",
    "ig1b": "Instagram-1B",
    "jft": "JFT-300M",
    "sa1b": "SA-1B",
    "m30m": "Merged-30M",
    "m38m": "Merged-38M",
}
"""Word of a tag -> the set's name in tables."""
_SUFFIXES = re.compile(r"(\.(safetensors|pth|pt|bin|tar|npz))+$")

_IMAGENET = frozenset({IMAGENET_1K, IMAGENET_12K, IMAGENET_21K})
_CUB = frozenset({"cub_200_2011", "cub100"})
_PHOTOGRAPHS = _CUB | {"nabirds", "stanford_cars", "stanford_dogs", "fgvc_aircraft", "oxford_flowers102", "oxford_pets"}
_OVERLAPS: Sequence[tuple[frozenset[str], frozenset[str], str]] = (
    (
        _IMAGENET,
        frozenset({"stanford_dogs"}),
        "all images of Stanford Dogs are from ImageNet's training set, test images too",
    ),
    # The warning on CUB's page; the number is that of Spatial Transformer Networks (NIPS 2015).
    (
        _IMAGENET,
        _CUB,
        "ImageNet has some of CUB's test images: 22 of 5 794 were found in it",
    ),
    (
        frozenset({LVD}),
        _PHOTOGRAPHS,
        "LVD-142M holds ImageNet and images found by their likeness to fine-grained datasets: this one may be in it",
    ),
    (
        frozenset({INATURALIST}),
        _CUB | {"nabirds"},
        "iNat21 has the species of CUB and NABirds, in other photographs",
    ),
    (frozenset({DRAWN}), frozenset({"synthetic"}), "drawn by the same program, as birds of other classes"),
)
"""Training sets, datasets, and what is known of them."""


def training_sets(pretrained: str) -> tuple[str, ...]:
    """The sets in the order of training, from the name of a weight file as in `Run.pretrained`: `("IN-21k", "IN-1k")`.

    Empty for `none`, and for a name that says nothing.
    """
    name = _SUFFIXES.sub("", pretrained)
    if re.fullmatch(r"test_\w+_birds", name):  # the small networks that come with the project
        return (DRAWN,)
    words = name.partition(".")[2].split("_")
    return tuple(dict.fromkeys(_SETS[word] for word in words if word in _SETS))


def described(pretrained: str) -> str:
    """The same in words, for people: `IN-21k + IN-1k`."""
    if pretrained == "none":
        return NOTHING
    return " + ".join(training_sets(pretrained)) or UNKNOWN


def overlaps(pretrained: str, dataset: str) -> tuple[str, ...]:
    """What is known to lie in both the training sets and the dataset. Nothing known does not mean that nothing does."""
    known = set(training_sets(pretrained))
    return tuple(text for sets, names, text in _OVERLAPS if known & sets and dataset in names)
