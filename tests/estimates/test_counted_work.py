"""Work is counted without computing, equals what a profile counts, and is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import methods
from benchmarks.environment import Environment
from benchmarks.estimates.counted_work import CountedWork
from benchmarks.estimates.pace import of_work
from benchmarks.planning import expand, method_files
from benchmarks.planning.suite import Suite
from benchmarks.profiling.counting import count
from benchmarks.profiling.profiled_method import ProfiledMethod
from methods.backbones import TimmBackbones
from methods.plain.model import Plain
from results.settings import AnyRun, ProfileRun
from tests.helpers.small_training import small_backbone, small_run


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FGBENCH_CACHE", str(tmp_path))


OTHERS = {"mc_loss": {"name": "resnet18"}}
"""MC-Loss needs a channel for each of 200 classes, which none of the smallest networks has."""


def profile_run(name: str, image_size: int = 64) -> ProfileRun:
    backbone = OTHERS.get(name) or small_backbone(name)
    entry = {
        "methods": [name],
        "backbones": [backbone],
        "image_sizes": [image_size],
        "batch_sizes": [4],
        "classes": 200,
    }
    (run,) = expand.expand(Suite.model_validate({"about": "for tests", "profile": [entry]}), Environment())
    assert isinstance(run, ProfileRun)
    return run


@pytest.mark.parametrize("name", methods.available())
def test_every_method_is_counted_as_a_step_of_it_is(name: str) -> None:
    run = profile_run(name)
    work = CountedWork().of(run)
    assert work is not None
    profiled = ProfiledMethod(run)
    step = profiled.step("train")
    step()
    counts = count(profiled.method, step)
    passes = 3 * work.with_gradients + (1 - work.with_gradients)
    counted = counts.flops / run.batch_size
    # Some backward passes are sparse.
    assert passes * work.flops == pytest.approx(counted, rel=0.25)
    assert work.weights == sum(
        one.numel() * one.element_size() for one in (*profiled.method.parameters(), *profiled.method.buffers())
    )


def test_work_grows_with_the_area_and_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = CountedWork()
    small = counted.of(profile_run("plain", 64))
    monkeypatch.setattr(Plain, "losses", None)  # would be met if it were counted again
    large = counted.of(profile_run("plain", 128))
    kept = CountedWork().of(profile_run("plain", 64))
    assert small is not None
    assert large is not None
    assert large.flops == pytest.approx(4 * small.flops)
    assert kept == small


def test_a_variant_counts_by_its_passes() -> None:
    paper, counted = profile_run("ws_dan"), CountedWork()
    one_pass = paper.model_copy(update={"options": method_files.options_of("ws_dan", "only_pooling")})
    three, one = counted.of(paper), counted.of(one_pass)
    assert three is not None
    assert one is not None
    assert one.flops == pytest.approx(three.flops / 3, rel=0.1)


def test_steps_of_a_batch_all_take_time_but_memory_one_after_the_other() -> None:
    paper, counted = profile_run("pmg"), CountedWork()
    one_step = paper.model_copy(update={"options": method_files.options_of("pmg", "one_step")})
    four, one = counted.of(paper), counted.of(one_step)
    assert four is not None
    assert one is not None
    assert one.flops == pytest.approx(four.flops, rel=0.01)
    assert one.activations == pytest.approx(4 * four.activations, rel=0.1)


@pytest.mark.parametrize(("name", "share"), [("plain", 1), ("pmg", 1 / 4), ("cal", 2 / 3)])
def test_an_evaluation_is_a_share_of_a_batch_of_several_passes(name: str, share: float) -> None:
    """PMG trains in four passes and predicts in one; CAL trains in three and predicts in two."""
    work = CountedWork().of(profile_run(name))
    assert work is not None
    assert work.evaluated == pytest.approx(share)
    pace = of_work(small_run(name), CountedWork(), "cpu")
    assert pace is not None
    assert pace.evaluated == pytest.approx(share * pace.forwarded)


def test_a_pass_without_gradients_has_no_backward_pass_in_a_guess() -> None:
    """SnapMix looks at a batch once for its class maps and once to learn."""
    work = CountedWork().of(profile_run("snapmix"))
    assert work is not None
    assert work.with_gradients == pytest.approx(1 / 2)
    by_area = profile_run("snapmix").model_copy(update={"options": method_files.options_of("snapmix", "area")})
    without_maps = CountedWork().of(by_area)
    assert without_maps is not None
    assert without_maps.with_gradients == 1
    paces = [of_work(small_run(name), CountedWork(), "cpu") for name in ("snapmix", "plain")]
    snapmix, plain = (pace.trained / pace.forwarded for pace in paces if pace)
    assert snapmix == pytest.approx((plain + 1) / 2, rel=0.05)


def test_a_method_that_reads_values_can_not_be_counted_and_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses(self: Plain, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self(images).sum() * float(labels.float().mean())}

    monkeypatch.setattr(Plain, "losses", losses)
    run: AnyRun = profile_run("plain")
    assert CountedWork().of(run) is None
    monkeypatch.setattr(TimmBackbones, "features", lambda *_: pytest.fail("it was tried again"))
    assert CountedWork().of(run) is None
