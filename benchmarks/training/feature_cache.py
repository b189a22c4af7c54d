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
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from datasets.cache_folder import default_cache
from results.files import put_whole
from results.settings import Run

FORMAT = 1
"""Increase it when files, or what is computed, change: old features are then not found any more."""
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
        folder = default_cache() / "features" if folder is None else folder
        self.path = folder / f"{run.dataset.replace('/', '_')}-{run.backbone}-{self.key[:16]}.safetensors"

    def read(self) -> Kept | None:
        """None if there are none, or if the file is damaged: it can be made anew at any time."""
        try:
            with safe_open(self.path, framework="pt") as file:
                about, features = file.metadata() or {}, file.get_tensor("features")
            kept = Kept(features, float(about["seconds_per_image"]), about["device"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        sound = features.ndim == 2 and len(features) == self.images and features.dtype == torch.float32
        if not sound or about.get("key") != self.key or about.get("checksum") != _checksum(features):
            return None
        with contextlib.suppress(OSError):  # a cache owned by others can be read, too
            os.utime(self.path)  # the time of last use
        return kept

    def write(self, kept: Kept) -> str | None:
        """Keeps them; a sentence that says why not if they can't be: that only costs time."""
        needed = kept.features.nbytes
        about = {
            "key": self.key,
            "checksum": _checksum(kept.features),
            "seconds_per_image": repr(kept.seconds_per_image),
            "device": kept.device,
        }
        if needed > LARGEST:
            return f"features of {needed / 2**30:.1f} GiB are too large to be kept for later"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _make_room(self.path.parent, LARGEST - needed)
            if shutil.disk_usage(self.path.parent).free < 2 * needed:
                return f"{self.path.parent}: is too full to keep features for later"
            put_whole(self.path, lambda file: save_file({"features": kept.features}, file, about))
        except OSError as error:
            return f"{self.path}: features can't be kept for later ({error.strerror or error})"
        return None


def _make_room(folder: Path, left: int) -> None:
    """Removes the longest unused features until all others have `left` bytes or less."""
    found = [(path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*.safetensors")]
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= left:
            return
        path.unlink(missing_ok=True)
        total -= size


def _checksum(features: Tensor) -> str:
    return str(zlib.crc32(features.contiguous().numpy().data))
