"""A report on many Runs is made while one waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.report import write_report
from results.record import Record
from results.store import ResultStore
from tests.helpers.fakes.fake_results import fill, profiled, trained

METHODS = ("plain", "bilinear_cnn", "dfl_cnn", "ws_dan", "sef", "swinfc")
IMAGES = 500
"""Test images with predictions; real test sets are about ten times as large."""


@pytest.mark.benchmark(group="report")
@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
def test_report_on_a_thousand_runs(benchmark, tmp_path: Path, again: bool):
    """Again: nothing has changed, so no figure is drawn."""
    store = ResultStore(tmp_path / "results")
    records = _thousand()
    fill(store, records, IMAGES)
    if again:
        write_report(store, tmp_path / "report", "Many")
    report = benchmark.pedantic(write_report, (store, tmp_path / "report", "Many"), rounds=1)
    benchmark.extra_info["runs"] = len(records)
    assert len(report.tables["head_to_head"].frame) == 192
    assert all(path.is_file() for path in report.paths)


def _thousand() -> list[Record]:
    records = [
        trained(method, seed, 0.8, variant=variant, dataset=dataset, backbone=backbone)
        for method in METHODS
        for variant in ("paper", "released")
        for dataset in ("cub", "cars", "aircraft", "dogs")
        for backbone in ("resnet50", "swin", "vgg16", "inception_v3")
        for seed in range(5)
    ]
    records += [
        profiled(method, variant=variant, backbone=backbone, id=f"profile-{method}-{variant}-{backbone}")
        for method in METHODS
        for variant in ("paper", "released")
        for backbone in ("resnet50", "swin", "vgg16", "inception_v3")
    ]
    return records
