"""Runs that learn nothing by gradients: features are computed once, kept, and fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.environment import Environment
from benchmarks.training.checkpoints.state import TrainingResult
from benchmarks.training.frozen.feature_cache import FeatureCache, Kept
from methods.plain.model import Plain
from tests.helpers.small_training import IMAGES, equal, outcome, small_run, train
from tests.training.test_distributed import together


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images of each pass through a frozen network."""
    own, images = Plain.frozen_features, list[int]()

    def counted(self: Plain, batch: Tensor) -> Tensor:
        images.append(len(batch))
        return own(self, batch)

    monkeypatch.setattr(Plain, "frozen_features", counted)
    return images


def fit(folder: Path, variant: str = "linear_probe", **changes: Any) -> TrainingResult:
    return train(small_run(f"plain:{variant}", **changes), folder)


ALL = IMAGES["classes"] * (IMAGES["train_per_class"] + IMAGES["test_per_class"])
COMPARED = 8
"""Images that are computed again before kept features are trusted."""


@pytest.mark.usefixtures("cache")
def test_the_logits_are_those_of_the_fitted_network_on_the_cropped_test_images(tmp_path: Path) -> None:
    run = small_run("plain:linear_probe", image_size=24)
    trained = train(run, tmp_path)
    dataset = Environment().open(run.dataset, run.dataset_options)
    pixels = torch.stack([torch.from_numpy(dataset.image(row)).permute(2, 0, 1) for row in trained.test_rows])
    centre = pixels[:, :, 4:28, 4:28].float() / 255
    mean, std = (torch.tensor(one)[:, None, None] for one in (run.scaling.mean, run.scaling.std))
    with torch.no_grad():
        expected = trained.method.eval()((centre - mean) / std)
    torch.testing.assert_close(trained.state.chosen["last"].logits, expected, rtol=1e-4, atol=1e-4)


def test_kept_features_give_what_computed_ones_give(cache: Path, passed: list[int], tmp_path: Path) -> None:
    first = fit(tmp_path / "a")
    assert sum(passed) == ALL
    assert len(list(cache.iterdir())) == 1
    passed.clear()
    second = fit(tmp_path / "b")
    assert sum(passed) == COMPARED
    assert equal(outcome(first), outcome(second))
    assert [note for note in second.notes if "kept from an earlier Run" in note]
    assert not first.notes


def test_another_probe_and_another_slice_take_the_same_features(cache: Path, passed: list[int], tmp_path: Path) -> None:
    fit(tmp_path / "a")
    for number, changes in enumerate(({"variant": "centroid"}, {"variant": "knn"}, {"validation": 0.0})):
        passed.clear()
        fit(tmp_path / f"b{number}", **changes)
        assert sum(passed) == COMPARED
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},  # other random weights
        {"variant": "linear_probe_patches"},
        {"image_size": 24},
        {"stored_size": 40},
        {"precision": "bf16"},
        {"scaling": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}},
        {"resize": "short_side"},
        {"options": {"tap": 16}},
    ],
    ids=str,
)
def test_what_changes_the_features_computes_them_anew(
    cache: Path, passed: list[int], tmp_path: Path, changes: dict[str, Any]
) -> None:
    fit(tmp_path / "a")
    passed.clear()
    run = small_run(f"plain:{changes.get('variant', 'linear_probe')}")
    seed, options = changes.get("seed", 0), {**run.options, **changes.get("options", {})}
    others = {key: value for key, value in changes.items() if key not in ("variant", "seed", "options")}
    other = small_run(f"plain:{run.variant}", **others).model_copy(update={"seed": seed, "options": options})
    train(other, tmp_path / "b")
    assert sum(passed) == ALL
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["truncated", "other bytes", "another file", "no longer true"])
def test_features_that_can_t_be_trusted_are_computed_anew(
    cache: Path, passed: list[int], tmp_path: Path, damage: str
) -> None:
    first = fit(tmp_path / "a")
    (file,) = cache.iterdir()
    content = file.read_bytes()
    if damage == "truncated":
        file.write_bytes(content[:-10])
    elif damage == "other bytes":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "another file":
        save_file({"features": load_file(file)["features"]}, file)
    else:
        kept = Kept(-load_file(file)["features"], 1.0, "a device")
        own = FeatureCache(small_run("plain:linear_probe"), {}, ALL, cache)
        own.path, own.key = file, _key(file)
        assert own.write(kept) is None
    passed.clear()
    assert equal(outcome(first), outcome(fit(tmp_path / "b")))
    assert sum(passed) >= ALL
    passed.clear()
    fit(tmp_path / "c")
    assert sum(passed) == COMPARED, "the damaged file was not replaced"


def _key(file: Path) -> str:
    with safe_open(file, framework="pt") as opened:
        return opened.metadata()["key"]


def test_a_cache_that_can_t_be_written_only_costs_time(cache: Path, tmp_path: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file where the folder would be")
    trained = fit(tmp_path / "a")
    assert [note for note in trained.notes if "can't be kept for later" in note]
    assert trained.state.chosen["last"].logits.isfinite().all()


@pytest.mark.usefixtures("cache")
def test_its_history_has_one_row_and_its_rate_counts_training_images(tmp_path: Path) -> None:
    trained = fit(tmp_path, "linear_probe")
    (row,) = trained.state.history
    assert row["images"] == trained.counts["train"] == 18
    assert trained.images_per_s == pytest.approx(18 / row["seconds"])
    assert set(trained.state.chosen) == {"last", "validation", "best_on_test"}
    assert row["l2"] > 0
    assert 0 < row["loss"] < 2


def fit_in_process(folder: Path) -> dict[str, Any]:
    return outcome(fit(folder, "linear_probe"))


@pytest.mark.usefixtures("cache")
def test_processes_that_share_the_images_fit_the_same(tmp_path: Path) -> None:
    found = together(2, fit_in_process, tmp_path / "two")
    alone = fit_in_process(tmp_path / "one")
    for one in found:
        torch.testing.assert_close(one["chosen"]["last"]["logits"], alone["chosen"]["last"]["logits"])
