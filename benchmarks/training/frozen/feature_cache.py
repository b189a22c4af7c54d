"""Frozen features of a dataset's images, kept in the cache folder under everything that determines them.

One safetensors file each, whole or not there: `features`, float32 `(n, D)`, in the order of the rows, which are in the
key. They are kept as exact as they were computed, so that a Run with kept features equals one without.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from benchmarks.training.frozen.kept_files import FORMAT, feature_folder, to_be_removed
from results.files import put_whole, sweep
from results.settings import Run

LARGEST = 20 * 2**30
"""Bytes of all kept features together. The longest unused ones make room for new ones."""


class Kept(NamedTuple):
    """Features that were computed once."""

    features: Tensor
    """`(n, D)` float32, on the host."""
    seconds_per_image: float
    """That it took to compute them."""
    device: str
    """Name of the device that computed them."""


def network_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all weights and buffers: of random ones it differs from seed to seed."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


class FeatureCache:
    """The file of one set of features."""

    def __init__(self, run: Run, key: Mapping[str, Any], images: int, folder: Path | None = None) -> None:
        """`key`: what determines the features besides the Run's backbone and how it sees an image."""
        whole = {
            "format": FORMAT,
            "versions": [torch.__version__, timm.__version__],
            "method": [run.method, run.revision],
            "backbone": [run.backbone, run.backbone_options],
            "image_size": run.image_size,
            "scaling": run.scaling.model_dump(),
            "precision": run.precision,
            **key,
        }
        self.key = hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()
        self.images = images
        folder = feature_folder() if folder is None else folder
        self.path = folder / f"{run.dataset.replace('/', '_')}-{run.backbone}-{self.key[:16]}.safetensors"

    def read(self) -> Kept | None:
        """None if there are none, or if the file is damaged: it can be made anew at any time."""
        try:
            if not self.path.is_file():  # a pipe would wait for a writer
                return None
            with safe_open(self.path, framework="pt") as file:
                about, features = file.metadata() or {}, file.get_tensor("features")
            kept = Kept(features, float(about["seconds_per_image"]), about["device"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        if about.get("key") != self.key or not self._is_sound(kept) or about.get("checksum") != _checksum(features):
            return None
        with contextlib.suppress(OSError):  # a cache owned by others can be read, too
            os.utime(self.path)  # the time of last use
        return kept

    def _is_sound(self, kept: Kept) -> bool:
        features, seconds = kept.features, kept.seconds_per_image
        right = features.ndim == 2 and len(features) == self.images and features.dtype == torch.float32
        return right and isfinite(seconds) and seconds > 0

    def write(self, kept: Kept) -> str | None:
        """Keeps them; a sentence that says why not if they can't be: that only costs time."""
        needed = kept.features.nbytes
        if needed > LARGEST:
            return f"features of {needed / 2**30:.1f} GiB are too large to be kept for later"
        about = {
            "format": str(FORMAT),
            "key": self.key,
            "checksum": _checksum(kept.features),
            "seconds_per_image": repr(kept.seconds_per_image),
            "device": kept.device,
        }
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)  # what killed processes left
            old = [one for one in to_be_removed(folder, LARGEST - needed) if one.path != self.path]
            if shutil.disk_usage(folder).free + sum(one.bytes for one in old) < 2 * needed:
                return f"{folder}: is too full to keep features for later"
            for one in old:
                one.path.unlink(missing_ok=True)
            put_whole(self.path, lambda file: _write(file, kept.features, about))
        except OSError as error:
            return f"{self.path}: features can't be kept for later ({error.strerror or error})"
        return None


def _write(path: Path, features: Tensor, about: Mapping[str, str]) -> None:
    """As safetensors' `save_file`, which leaves a file under a name of its own if the process is killed: gigabytes that
    nobody would remove. `save`, to bytes, takes twice as many gigabytes of memory besides."""
    tensor = {"dtype": "F32", "shape": list(features.shape), "data_offsets": [0, features.nbytes]}
    header = json.dumps({"__metadata__": about, "features": tensor}).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(features.contiguous().numpy().data)


def _checksum(features: Tensor) -> str:
    return str(zlib.crc32(features.contiguous().numpy().data))
