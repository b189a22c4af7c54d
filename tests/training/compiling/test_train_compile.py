"""A compiled training gives the same result, and compiles nothing after it has begun."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch.nn import functional

from benchmarks.errors import UserError
from benchmarks.training.compiling import compile
from benchmarks.training.compiling.compile import CompiledMethod
from benchmarks.training.engine import Engine
from methods.plain.model import Plain
from tests.helpers.fakes.fake_stages import STAGES, Stages, stand_in_for_plain
from tests.helpers.methods_under_test import build, images_and_labels
from tests.helpers.small_training import interrupted_after_the_epochs, outcome, small_run, train


class Backend:
    """Compiles nothing, but counts the graphs."""

    def __init__(self) -> None:
        self.graphs = 0
        self.before_training: int | None = None

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        self.graphs += 1
        return graph.forward


class Overwriting:
    """Does what CUDA graphs do with memory: what compiled code returned is lost when the next step begins."""

    def __init__(self) -> None:
        self.returned: list[Tensor] = []
        self.steps = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any], **options: Any) -> Any:
        return aot_autograd(fw_compiler=self.compile, bw_compiler=self.compile)(graph, inputs)

    def compile(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        def replay(*values: Any) -> list[Any]:
            outputs = [one.clone() if isinstance(one, Tensor) else one for one in graph(*values)]
            self.returned += [one.detach() for one in outputs if isinstance(one, Tensor) and one.is_floating_point()]
            return outputs

        return make_boxed_func(replay)

    def begin_step(self) -> None:
        self.steps += 1
        with torch.inference_mode():
            for output in self.returned:
                output.fill_(torch.nan)
        self.returned.clear()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    backend, warm_up = Backend(), Engine.warm_up

    def counted(self: Engine, *arguments: Any) -> str | None:
        note = warm_up(self, *arguments)
        backend.before_training = backend.graphs
        return note

    monkeypatch.setattr(Engine, "warm_up", counted)
    monkeypatch.setattr(compile, "BACKEND", backend)
    return backend


@pytest.mark.parametrize("method", ["plain", "bilinear_cnn", "sef"])
def test_compiled_training_is_the_same_and_compiles_nothing_on_its_way(
    method: str, backend: Backend, tmp_path: Path
) -> None:
    """Also in a second phase, in evaluations, and with a smaller last batch."""
    run = small_run(method)
    written, compiled = train(run, tmp_path / "written"), train(run, tmp_path / "compiled", compile=True)
    assert backend.graphs == backend.before_training
    assert backend.graphs >= 2  # losses, and the forward pass of evaluations
    assert written.compile_seconds is None
    assert compiled.compile_seconds is not None
    assert compiled.compile_seconds > compiled.training_seconds
    assert compiled.notes == []
    torch.testing.assert_close(outcome(compiled)["weights"], outcome(written)["weights"], rtol=1e-3, atol=1e-4)


def test_a_frozen_group_that_learns_later_is_compiled_both_ways_before_the_training(
    backend: Backend, tmp_path: Path
) -> None:
    run = small_run(epochs=3, freeze={"backbone": 1})
    written, compiled = train(run, tmp_path / "written"), train(run, tmp_path / "compiled", compile=True)
    assert backend.graphs == backend.before_training == 4  # losses and forward pass, of both kinds
    assert compiled.notes == []
    torch.testing.assert_close(outcome(compiled)["weights"], outcome(written)["weights"], rtol=1e-3, atol=1e-4)


def test_every_step_of_a_batch_is_compiled_by_itself(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_for_plain(monkeypatch)
    run = small_run()
    written, compiled = train(run, tmp_path / "written"), train(run, tmp_path / "compiled", compile=True)
    assert backend.graphs == backend.before_training == STAGES + 2  # the step on whole images, and the forward pass
    assert compiled.notes == []
    torch.testing.assert_close(outcome(compiled)["weights"], outcome(written)["weights"], rtol=1e-3, atol=1e-4)


def test_more_kinds_of_steps_than_torch_keeps_by_itself_are_compiled(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_for_plain(monkeypatch)

    def many(self: Stages, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        for divisor in range(1, 12):
            yield self.scaled_losses(images, labels, divisor)

    def scaled(self: Stages, images: Tensor, labels: Tensor, divisor: int) -> dict[str, Tensor]:
        return {"scaled": functional.cross_entropy(self(images), labels) / divisor}

    monkeypatch.setattr(Stages, "loss_functions", ("scaled_losses",))
    monkeypatch.setattr(Stages, "steps", many)
    monkeypatch.setattr(Stages, "scaled_losses", scaled, raising=False)
    train(small_run(epochs=1, validation=0), tmp_path, compile=True)
    assert backend.graphs == 11 + 1


def test_a_loss_function_within_another_is_compiled_as_its_part(backend: Backend) -> None:
    method = build("plain")
    inner, images_labels = method.losses, images_and_labels(4)
    method.outer_losses = lambda images, labels: method.losses(2 * images, labels)  # type: ignore[assignment]
    method.loss_functions = ("losses", "outer_losses")
    compiled, (images, labels) = CompiledMethod(method), images_labels
    with compiled.learning():
        found = method.outer_losses(images, labels)["cross_entropy"]
    torch.testing.assert_close(found, inner(2 * images, labels)["cross_entropy"], rtol=1e-4, atol=1e-5)
    assert backend.graphs == 1


@pytest.mark.parametrize(("method", "pieces"), [("plain", 1), ("plain", 2), ("ws_dan", 2)])
def test_nothing_is_read_that_a_cuda_graph_has_overwritten(
    method: str, pieces: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses are kept over steps, logits over batches, gradients over the pieces of a batch, and WS-DAN's features
    until its centres have moved."""
    graphs = Overwriting()
    monkeypatch.setattr(compile, "BACKEND", graphs)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", graphs.begin_step)
    run = small_run(method, accumulate=pieces, batch_size=6)  # 18 images: no batch is smaller, none runs uncompiled
    written = train(run, tmp_path / "written")
    compiled = train(run, tmp_path / "compiled", compile=True, compile_mode="reduce-overhead")
    assert graphs.steps >= 2 * 3 + 2 * 2  # steps, and batches of two evaluations
    for row, expected in zip(compiled.state.history, written.state.history, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    for name, choice in compiled.state.chosen.items():
        torch.testing.assert_close(choice.logits, written.state.chosen[name].logits, rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(outcome(compiled)["weights"], outcome(written)["weights"], rtol=1e-3, atol=1e-4)


def test_every_epoch_is_compiled_if_images_are_mixed_in_the_first_ones_alone(backend: Backend, tmp_path: Path) -> None:
    run = small_run(epochs=3, augment={"mixing": {"mixup": 0.2, "epochs": 1}})
    trained = train(run, tmp_path, compile=True)
    assert trained.notes == []
    assert backend.graphs == backend.before_training == 3  # losses of either form of labels, and the forward pass


def test_losses_of_shapes_that_the_warm_up_did_not_meet_are_noted(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def narrower(self: Plain, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        yield self.losses(images if backend.before_training is None else images[..., 1:], labels)

    monkeypatch.setattr(Plain, "steps", narrower)
    (note,) = train(small_run(), tmp_path, compile=True).notes
    assert note.startswith("8 times losses were computed uncompiled")  # in 2 epochs of 4 batches
    assert "(5, 3, 32, 31) and (5,)" in note


@pytest.mark.parametrize("images", [1, 3, 4])
def test_one_graph_computes_the_logits_of_batches_of_any_size(images: int, backend: Backend) -> None:
    method = build("plain").eval()
    compiled = CompiledMethod(method)
    forward = compiled.forward.in_batches_of(4)
    with torch.inference_mode():
        batch = images_and_labels(4)[0].contiguous(memory_format=torch.channels_last)
        with compiled.learning():
            forward(batch[:2])
        torch.testing.assert_close(forward(batch[:images]), method(batch[:images]), rtol=1e-4, atol=1e-5)
    assert backend.graphs == 1
    assert not compiled.forward.unknown


def test_an_evaluation_that_was_cut_for_memory_is_compiled_for_its_new_size(backend: Backend) -> None:
    method = build("plain").eval()
    compiled = CompiledMethod(method)
    with torch.inference_mode():
        batch = images_and_labels(4)[0].contiguous(memory_format=torch.channels_last)
        compiled.forward.in_batches_of(4)(batch)
        assert backend.graphs == 0  # nothing is compiled without a warm-up
        with compiled.learning():
            compiled.forward.in_batches_of(4)(batch)
        smaller = compiled.forward.in_batches_of(2)
        for images in (batch[:2], batch[2:], batch[:1]):
            torch.testing.assert_close(smaller(images), method(images), rtol=1e-4, atol=1e-5)
    assert backend.graphs == 2


def test_a_method_whose_steps_do_not_call_losses_is_noted_as_not_compiled(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(self: Plain, images: Tensor, labels: Tensor) -> Iterator[dict[str, Tensor]]:
        yield {"own": functional.cross_entropy(self(images), labels)}

    monkeypatch.setattr(Plain, "steps", own)
    (note,) = train(small_run(), tmp_path, compile=True).notes
    assert "`losses`: its training is not compiled" in note


def test_without_a_compiler_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        train(small_run(), tmp_path, compile=True)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_every_precision_trains(precision: str, tmp_path: Path) -> None:
    exact, rough = (train(small_run(precision=p), tmp_path / p) for p in ("fp32", precision))
    assert rough.state.history[-1]["loss"] == pytest.approx(exact.state.history[-1]["loss"], rel=0.05)


def test_a_training_without_remaining_steps_notes_nothing_about_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "BACKEND", "eager")
    assert interrupted_after_the_epochs(tmp_path, monkeypatch, compile=True).notes == []
