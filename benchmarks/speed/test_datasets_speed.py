"""Speed of the drawn dataset: images, boxes and part points."""

from __future__ import annotations

import pytest

from datasets.readers.synthetic import Synthetic


@pytest.mark.benchmark(group="synthetic")
@pytest.mark.parametrize("size", [96, 224, 448])
def test_drawing_synthetic_birds(benchmark, size):
    dataset = Synthetic(train_per_class=1, test_per_class=1, size=size)

    def draw_all() -> int:
        return sum(dataset.image(index).shape[0] for index in range(len(dataset)))

    assert benchmark(draw_all) == size * len(dataset)
    if benchmark.stats is not None:  # None if benchmarks are disabled
        benchmark.extra_info["images/s"] = len(dataset) / benchmark.stats.stats.mean


@pytest.mark.benchmark(group="synthetic")
def test_laying_out_boxes_and_parts(benchmark):
    def lay_out_all() -> int:
        dataset = Synthetic(train_per_class=2, test_per_class=1)
        return len(dataset.boxes)

    count = benchmark(lay_out_all)
    if benchmark.stats is not None:
        benchmark.extra_info["images/s"] = count / benchmark.stats.stats.mean
