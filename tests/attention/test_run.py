"""A trained Run's attention: scores in its record, galleries in its folder, a table in the report."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

import methods
from benchmarks.attention.gallery import photos
from benchmarks.attention.run import measure_attention, score_rows, unmeasured
from benchmarks.environment import Environment
from benchmarks.errors import UserError
from benchmarks.execution import execute
from datasets.loading import augment
from datasets.readers import synthetic
from reports.evidence import Evidence
from reports.render import markdown
from reports.report import write_report
from reports.tables.localisation import localisation, part_hits
from results.augmentation import InputScaling
from results.localisation import Estimate, Localisation, PartHits
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes import fake_results
from tests.helpers.host_waits import host_waits_forbidden
from tests.helpers.methods_under_test import build, images_and_labels
from tests.helpers.small_training import small_run

QUIET = Console(quiet=True)


def trained(store: ResultStore, method: str) -> str:
    run = small_run(method)
    execute.execute([run], store, Environment(), QUIET)
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
    report = measure_attention(store, run_id, Environment(), images=3)
    record = record_of(store, run_id)
    assert record.localisation == report.localisation
    assert record.metrics == before.metrics
    if report.localisation is None:
        assert record.missing["localisation"] == f"{method} gives no attention maps"
        assert not report.galleries
        return
    found = report.localisation
    assert found.images == before.split["test"]
    assert {"peak_on_part", "near_parts", "in_box", "crop_iou"} <= set(found.scores)
    assert set(found.random) == set(found.over_random) == {"peak_on_part", "maps_on_parts", "peak_in_box"}
    for estimates in (found.scores, found.centre, found.elsewhere, found.random):
        assert all(0 <= one.low <= one.value <= one.high <= 1 for one in estimates.values())
    assert set(found.parts) == {"eye", "tail", "beak", "wing", "crown", "breast", "legs"}
    assert len(score_rows(report)) == len(found.scores)
    assert "patches" in {path.stem for path in report.galleries}
    for path in report.galleries:
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_a_second_measurement_gives_the_same_and_a_measured_run_is_not_offered_again(store: ResultStore):
    run_id = trained(store, "plain")
    assert unmeasured(store) == [run_id]
    first = measure_attention(store, run_id, Environment(), images=3)
    pictures = {path: path.read_bytes() for path in first.galleries}
    assert unmeasured(store) == []
    assert measure_attention(store, run_id, Environment(), images=3).localisation == first.localisation
    assert {path: path.read_bytes() for path in first.galleries} == pictures


def test_the_report_shows_it_beside_the_centre_and_links_the_galleries(store: ResultStore, tmp_path: Path):
    for method in ("plain", "bilinear_cnn"):
        measure_attention(store, trained(store, method), Environment(), images=2)
    report = write_report(store, tmp_path / "elsewhere" / "report", "t")
    assert report.tables["localisation"].frame["method"].tolist() == ["plain", "centre"]
    assert report.tables["part_hits"].frame["method"].tolist() == ["plain", "centre"]
    assert report.galleries
    for _, path in report.galleries:
        assert (report.page.parent / path).is_file()
        assert f"(<{path}>)" in report.page.read_text(encoding="utf-8")
    assert "bilinear_cnn gives no attention maps" in set(report.tables["missing"].frame["reason"])


def test_boxes_that_cover_the_image_are_left_out_with_a_reason(store: ResultStore, monkeypatch: pytest.MonkeyPatch):
    run_id = trained(store, "plain")
    monkeypatch.setattr("benchmarks.attention.localise.WHOLE_IMAGE", 0.1)
    report = measure_attention(store, run_id, Environment(), images=0)
    assert report.localisation is not None
    assert set(report.localisation.scores) == {"peak_on_part", "maps_on_parts", "near_parts"}
    assert "nearly everything is inside them" in record_of(store, run_id).missing["localisation.boxes"]


def test_a_run_without_weights_is_refused(store: ResultStore):
    run_id = trained(store, "plain")
    (store.root / run_id / "weights.safetensors").unlink()
    assert unmeasured(store) == []
    with pytest.raises(UserError, match="keeps no weights"):
        measure_attention(store, run_id, Environment(), images=0)


@pytest.mark.parametrize("scaling", [InputScaling(), InputScaling(mean=(0.5, 0.4, 0.3), std=(0.5, 0.6, 0.7))])
def test_photos_are_the_images_before_normalisation(scaling: InputScaling):
    pixels = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    for photo, one in zip(photos(augment.normalise(pixels, scaling), scaling), pixels, strict=True):
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
        method.attention(images)  # the first call may wait
        with host_waits_forbidden(device, monkeypatch):
            method.attention(images)
            method.explain(images)


def test_without_annotations_there_are_galleries_and_a_reason(store: ResultStore, monkeypatch: pytest.MonkeyPatch):
    run_id = trained(store, "plain")
    for annotation in ("boxes", "parts"):
        monkeypatch.setattr(f"datasets.readers.synthetic.Synthetic.{annotation}", None)
    report = measure_attention(store, run_id, Environment(), images=2)
    assert report.localisation is None
    assert report.missing == {"localisation": "synthetic has neither boxes nor parts"}
    assert report.galleries
    assert unmeasured(store) == []


@pytest.mark.parametrize("box", [[0.1, 0.2, 0.5, 0.5], [0, 0, 0, 0], [10, 10, -3, 4], [900, 0, 5, 5]])
def test_boxes_that_are_none_are_refused_with_a_reason(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch, box: list[float]
):
    run_id = trained(store, "plain")
    original = synthetic.Synthetic.boxes.fget
    assert original is not None

    def boxes(dataset: synthetic.Synthetic) -> NDArray[np.float32]:
        changed = original(dataset).copy()
        changed[np.flatnonzero(~dataset.is_train)[1]] = box
        return changed

    monkeypatch.setattr(synthetic.Synthetic, "boxes", property(boxes))
    report = measure_attention(store, run_id, Environment(), images=2)
    assert report.localisation is None
    assert re.match(
        r"1 of \d+ boxes can't be used \(.*: box .*\); correct them: data verify", report.missing["localisation"]
    )
    assert report.galleries, "the maps are shown without them"


def test_seeds_of_one_experiment_are_one_row_with_their_spread():
    def one(value: float) -> Localisation:
        scores = {
            name: Estimate(value=value, low=value - 0.1, high=value + 0.1, images=9)
            for name in ("peak_on_part", "maps_on_parts")
        }
        prior = {"peak_on_part": Estimate(value=0.2, low=0.1, high=0.3, images=9)}
        return Localisation(
            images=9,
            blank=0,
            maps=1,
            map_size=(5, 5),
            tolerance=0.1,
            scores=scores,
            centre=prior,
            elsewhere=prior,
            over_centre={"peak_on_part": Estimate(value=value - 0.2, low=0, high=1, images=9)},
            random={"maps_on_parts": Estimate(value=0.3, low=0.2, high=0.4, images=9)},
            over_random={"maps_on_parts": Estimate(value=value - 0.3, low=-0.1, high=0.5, images=9)},
            parts={"eye": PartHits(visible=4, hit=value, centre=0.25)},
        )

    records = [fake_results.trained("plain", seed, localisation=one(value)) for seed, value in enumerate([0.5, 0.7])]
    own, centre = localisation(Evidence(records)).rows
    assert own["peak_on_part"] == pytest.approx(60)
    assert own["peak_on_part_sd"] == pytest.approx(100 * 0.02**0.5)
    assert [own["peak_on_part_low"], own["peak_on_part_high"]] == pytest.approx([50, 70])
    assert own["peak_on_part_over_centre"] == pytest.approx(40)
    assert own["peak_on_part_elsewhere"] == pytest.approx(20)
    assert own["maps_on_parts_random"] == pytest.approx(30)
    assert own["maps_on_parts_over_random"] == pytest.approx(30)
    assert [own["maps_on_parts_over_random_low"], own["maps_on_parts_over_random_high"]] == pytest.approx([-10, 50])
    assert centre["method"] == "centre"
    assert centre["peak_on_part"] == pytest.approx(20)
    text = markdown.markdown(localisation(Evidence(records)))
    assert "60.0 ± 14.1" in text
    assert part_hits(Evidence(records)).frame["on eye, %"].tolist() == pytest.approx([60, 25])
