"""A Run from weights of the Hugging Face Hub: its settings and its record."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from benchmarks.training.networks.build_method import build_method
from methods import hub_download
from tests.helpers.fakes.fake_hub import REVISION, TAG, FakeHub, weights_of
from tests.helpers.small_training import small_run

WEIGHTS = weights_of()


def test_only_the_record_says_that_the_file_came_from_the_hub(fake: FakeHub, tmp_path: Path) -> None:
    fake.offer(TAG, WEIGHTS)
    hub_download.fetch(TAG)
    run = small_run(backbone={"name": "test_resnet", "pretrained": TAG})
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    assert (run.backbone, run.pretrained, run.weights_sha256) == ("test_resnet", f"{TAG}.safetensors", sha256)
    _, (loaded,) = build_method(run, 3, None, torch.device("cpu"))
    assert loaded == {
        "backbone": "test_resnet",
        "file": f"{TAG}.safetensors",
        "sha256": sha256,
        "unfilled": [],
        "repository": f"timm/{TAG}",
        "revision": REVISION,
    }
    (tmp_path / f"{TAG}.safetensors").write_bytes(WEIGHTS)
    _, (loaded,) = build_method(run, 3, tmp_path, torch.device("cpu"))
    assert (loaded["sha256"], "revision" in loaded) == (sha256, False)
