"""Which published row `reproduce METHOD` trains."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import methods
from benchmarks.planning import method_files, published
from benchmarks.planning.headline import answered, headline, value


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("api_net", 88.6),
        ("bilinear_cnn", 84.1),
        ("cal", 90.6),
        ("compact_bilinear", 84.98),
        ("dcl", 87.8),
        ("dfl_cnn", 87.4),
        ("hbp", 87.1),
        ("isqrt_cov", 88.0),
        ("mc_loss", 87.3),
        ("pairwise_confusion", 80.21),
        ("plain", 85.49),
        ("pmg", 89.6),
        ("sef", 87.3),
        ("snapmix", 87.75),
        ("swinfc", 92.5),
        ("ws_dan", 89.4),
    ],
)
def test_the_headline_is_the_number_on_cub_that_people_mean(method: str, value: float) -> None:
    one = headline(method)
    assert one.dataset == "cub_200_2011"
    first, *_ = method_files.published_answered(method, one.variant, one.dataset, one.backbone)
    assert (first.value, first.verified) == (value, True)


@pytest.mark.parametrize("method", methods.available())
def test_no_replication_is_the_headline(method: str) -> None:
    one = headline(method)
    first, *_ = method_files.published_answered(method, one.variant, one.dataset, one.backbone)
    assert "replication" not in first.table


@pytest.mark.parametrize(
    ("dataset", "backbone", "chosen"),
    [
        ("fgvc_aircraft", None, ("released_groups_3", "fgvc_aircraft", "resnet50")),  # three groups, as the authors
        (None, "resnet18", ("released", "cub_200_2011", "resnet18")),
        ("stanford_cars", "resnet18", ("groups_2", "stanford_cars", "resnet18")),
        ("stanford_cars", "resnet34", ("groups_2", "stanford_cars", "resnet34")),  # no row has it
        ("my_birds", None, ("released", "my_birds", "resnet50")),
    ],
)
def test_a_dataset_or_backbone_chooses_the_row_of_its_own(
    dataset: str | None, backbone: str | None, chosen: tuple[str, str, str]
) -> None:
    one = headline("sef", dataset, backbone)
    assert (one.variant, one.dataset, one.backbone) == chosen


def test_each_run_with_a_published_number_is_named_once() -> None:
    found = answered("plain")
    assert len(found) == len(set(found))
    of_cub = [one for one in found if (one.dataset, one.backbone) == ("cub_200_2011", "resnet50")]
    rows = method_files.published_answered("plain", "paper", "cub_200_2011", "resnet50")
    assert len(of_cub) == 1 < len(rows), "several tables have a ResNet-50"
    assert all(one.variant != "baseline" for one in answered("sef")), "its row has no number"


def test_rows_that_differ_in_their_readout_alone_are_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(row for row in method_files.published("sef") if row.answered_by and row.value)
    assert first.answered_by is not None
    eight = first.answered_by.model_copy(update={"readout": "eight views"})
    rows = (first.model_copy(update={"answered_by": eight, "value": 90.0}), first)
    monkeypatch.setattr(method_files, "published", lambda name: rows)
    assert answered("sef") == [first.answered_by]
    assert headline("sef") == first.answered_by
    run = first.answered_by
    assert method_files.published_answered("sef", run.variant, run.dataset, run.backbone) == list(rows)
    assert value(rows) == first.value, "the prediction's own number, wherever it stands"
    assert value(rows[:1]) == 90.0


def test_a_record_names_the_readout_of_a_row_and_is_unchanged_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = next(row for row in method_files.published("sef") if row.answered_by and row.value)
    assert first.answered_by is not None
    run = first.answered_by
    eight = first.model_copy(update={"answered_by": run.model_copy(update={"readout": "eight views"})})
    monkeypatch.setattr(method_files, "published", lambda name: (first, eight))
    where = {"method": "sef", "variant": run.variant, "options": method_files.options_of("sef", run.variant)}
    where |= {"protocol": "paper", "task": run.dataset, "backbone": run.backbone}
    whole, further = published.rows(SimpleNamespace(**where))  # type: ignore[arg-type]
    assert whole["answered_by"] == {"variant": run.variant, "dataset": run.dataset, "backbone": run.backbone}
    assert further["answered_by"] == whole["answered_by"] | {"readout": "eight views"}
