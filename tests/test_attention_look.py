"""Looking at a trained Run: numbers in its record, galleries in its folder, a table in the report."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

import methods
from benchmarks import execute
from benchmarks.attention.gallery import photos
from benchmarks.attention.run import look_at, lookable, measured
from benchmarks.errors import UserError
from benchmarks.plan import Place
from datasets import augment
from reports.report import write_report
from results.record import Record
from results.store import ResultStore
from tests.host_waits import host_waits_forbidden
from tests.small_training import SWIN, small_run
from tests.test_method_contract import build, images_and_labels

QUIET = Console(quiet=True)


def trained(store: ResultStore, method: str) -> str:
    backbone = SWIN if method == "swinfc" else None
    run = small_run(method, backbone)
    execute.execute([run], store, Place(), QUIET)
    return run.id


def record_of(store: ResultStore, run_id: str) -> Record:
    record = store.read(run_id)
    assert record is not None
    assert record.status == "done", record.error
    return record


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.mark.parametrize("method", methods.available())
def test_every_method_with_attention_is_measured_and_shown(method: str, store: ResultStore):
    run_id = trained(store, method)
    before = record_of(store, run_id)
    looked = look_at(store, run_id, Place(), images=3)
    record = record_of(store, run_id)
    assert record.localisation == looked.localisation
    assert record.metrics == before.metrics
    if looked.localisation is None:
        assert record.missing["localisation"] == f"{method} gives no attention maps"
        assert not looked.galleries
        return
    found = looked.localisation
    assert found.images == before.split["test"]
    assert {"peak_on_part", "near_parts", "in_box", "crop_iou"} <= set(found.scores)
    for estimates in (found.scores, found.centre, found.elsewhere):
        assert all(0 <= one.low <= one.value <= one.high <= 1 for one in estimates.values())
    assert set(found.parts) == {"eye", "tail", "beak", "wing", "crown", "breast", "legs"}
    assert len(measured(looked)) == len(found.scores)
    assert "patches" in {path.stem for path in looked.galleries}
    for path in looked.galleries:
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_looking_twice_gives_the_same_and_a_run_looked_at_waits_no_more(store: ResultStore):
    run_id = trained(store, "plain")
    assert lookable(store) == [run_id]
    first = look_at(store, run_id, Place(), images=3)
    pictures = {path: path.read_bytes() for path in first.galleries}
    assert lookable(store) == []
    assert look_at(store, run_id, Place(), images=3).localisation == first.localisation
    assert {path: path.read_bytes() for path in first.galleries} == pictures


def test_the_report_shows_it_beside_the_centre_and_links_the_galleries(store: ResultStore, tmp_path: Path):
    for method in ("plain", "bilinear_cnn"):
        look_at(store, trained(store, method), Place(), images=2)
    report = write_report(store, tmp_path / "elsewhere" / "report", "t")
    assert report.tables["localisation"].frame["method"].tolist() == ["plain", "centre"]
    assert report.tables["part_hits"].frame["method"].tolist() == ["plain", "centre"]
    assert report.galleries
    for _, path in report.galleries:
        assert (report.page.parent / path).is_file()
        assert f"(<{path}>)" in report.page.read_text(encoding="utf-8")
    assert "bilinear_cnn gives no attention maps" in set(report.tables["missing"].frame["reason"])


def test_boxes_that_cover_the_image_are_left_out_and_said(store: ResultStore, monkeypatch: pytest.MonkeyPatch):
    run_id = trained(store, "plain")
    monkeypatch.setattr("benchmarks.attention.localise.WHOLE_IMAGE", 0.1)
    looked = look_at(store, run_id, Place(), images=0)
    assert looked.localisation is not None
    assert set(looked.localisation.scores) == {"peak_on_part", "maps_on_parts", "near_parts"}
    assert "nearly everything is inside them" in record_of(store, run_id).missing["localisation.boxes"]


def test_without_weights_there_is_nothing_to_look_with(store: ResultStore):
    run_id = trained(store, "plain")
    (store.root / run_id / "weights.safetensors").unlink()
    assert lookable(store) == []
    with pytest.raises(UserError, match="keeps no weights"):
        look_at(store, run_id, Place(), images=0)


def test_photos_are_the_images_before_they_were_normalised():
    pixels = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    for photo, one in zip(photos(augment.normalise(pixels)), pixels, strict=True):
        assert torch.equal(torch.from_numpy(photo).permute(2, 0, 1), one)


@pytest.mark.parametrize("name", methods.available())
def test_a_method_explains_an_image_by_pictures_of_its_size(name: str):
    method, (images, _) = build(name).eval(), images_and_labels(2)
    with torch.no_grad():
        pictures = method.explain(images)
        again = method.explain(images)
    for key, picture in pictures.items():
        assert picture.shape == images.shape
        assert picture.isfinite().all()
        assert torch.equal(picture, again[key]), f"{key} is drawn at random"


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("name", methods.available())
def test_attention_does_not_make_the_host_wait(name: str, device: str, monkeypatch: pytest.MonkeyPatch):
    method = build(name).eval().to(device)
    images = images_and_labels(2)[0].to(device)
    with torch.no_grad():
        method.attention(images)  # what is set up once may wait
        with host_waits_forbidden(device, monkeypatch):
            method.attention(images)
            method.explain(images)
