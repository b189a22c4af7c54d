"""A Run's input scaling is used wherever its network sees an image, and notes say what was taken from its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from torch import Tensor

from benchmarks.attention.run import measure_attention
from benchmarks.environment import Environment
from benchmarks.execution import execute
from benchmarks.training.networks.trained_run import predict
from benchmarks.training.train import Trainer
from datasets import open_dataset
from datasets.loading.augment import IMAGENET, normalise
from datasets.loading.store import resized
from methods.sef.model import SEF
from methods.weight_files import find_weights
from results.augmentation import InputScaling
from results.store import ResultStore
from tests.helpers.small_training import Interrupts, small_run

UNSCALED = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
"""Images stay in 0 .. 1; normalised with ImageNet's values, each would have pixels below 0 or above 1."""


def noting(own: Callable[..., Any], seen: list[bool]) -> Callable[..., Any]:
    """A method's function that also notes whether its images are in 0 .. 1."""

    def noted(self: SEF, images: Tensor, *more: Any) -> Any:
        seen.append(bool(images.min() >= 0 and images.max() <= 1))
        return own(self, images, *more)

    return noted


def test_training_evaluation_prediction_and_attention_scale_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: dict[str, list[bool]] = {name: [] for name in ("losses", "forward", "attention", "explain")}
    for name, seen in met.items():
        monkeypatch.setattr(SEF, name, noting(getattr(SEF, name), seen))
    store, run = ResultStore(tmp_path), small_run("sef", epochs=1, scaling=UNSCALED)
    execute.execute([run], store, Environment(), Console(quiet=True))
    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    predict(store, run.id, [tmp_path / "white.png"], "cpu")
    measure_attention(store, run.id, Environment(), images=1)
    record = store.read(run.id)
    assert record is not None
    assert record.run.model_dump(mode="json")["scaling"] == UNSCALED
    assert all(seen and all(seen) for seen in met.values())


def test_what_was_taken_from_a_weight_file_is_noted_and_recorded(tmp_path: Path) -> None:
    state = {f"module.{key}": value for key, value in timm.create_model("test_resnet").state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    run = small_run().model_copy(update={"pretrained": "last.ckpt", "scaling": InputScaling(mean=(0.5,) * 3)})
    listener = Interrupts()
    trainer = Trainer(run, Environment(weights_root=tmp_path), tmp_path, listener)
    assert trainer.engine.weights[0]["taken"] == "state_dict without the prefix 'module.'"
    assert listener.notes[:2] == [
        "last.ckpt: its weights are those of state_dict without the prefix 'module.'",
        "images are normalised with mean 0.5 0.5 0.5, std 0.229 0.224 0.225",
    ]


def test_imagenet_weights_name_birds_and_flowers_best_with_their_own_scaling(
    real_data: Path, real_weights: Path
) -> None:
    """EfficientNet-Lite0 on European goldfinches (ImageNet's class 11) and daisies (985), of which ImageNet has both.

    Its README: 180 of 200 ImageNet images are right with 0.5 / 0.5, 163 with ImageNet's mean and standard deviation.
    """
    file = find_weights("tf_efficientnet_lite0", "auto", real_weights)
    assert file is not None
    mean, std = file.scaling("tf_efficientnet_lite0")
    net = timm.create_model("tf_efficientnet_lite0", checkpoint_path=str(file.path)).float().eval()
    finches = list(_test_images("cub100", real_data, "048.European_Goldfinch"))
    daisies = list(_test_images("flowers17", real_data, "11.Daisy"))
    pictures = torch.stack([_centre(image, 224) for image in (*finches, *daisies)])
    labels = torch.tensor([11] * len(finches) + [985] * len(daisies))
    right = {}
    for scaling in (InputScaling(mean=mean, std=std), IMAGENET):
        with torch.inference_mode():
            answers = torch.cat([net(normalise(part, scaling)).argmax(1) for part in pictures.split(10)])
        right[scaling] = int((answers == labels).sum())
    assert len(right) == 2
    own, other = right.values()
    assert own > other
    assert own / len(labels) > 0.9


def _test_images(name: str, root: Path, folder: str) -> Iterator[NDArray[np.uint8]]:
    """The test images `(H, W, 3)` below a folder of a dataset."""
    dataset = open_dataset(name, root)
    for index, path in enumerate(dataset.paths):
        if not dataset.is_train[index] and Path(path).parent.name == folder:
            yield dataset.image(index)


def _centre(image: NDArray[np.uint8], size: int) -> Tensor:
    stored = resized(image, 232, "short_side", "x.png")
    top, left = ((side - size) // 2 for side in stored.shape[1:])
    return stored[:, top : top + size, left : left + size]
