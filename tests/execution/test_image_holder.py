"""One copy of the decoded images on the device for all trainings of a plan; without it, each has its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from benchmarks import isolation
from benchmarks.environment import Environment, Execution
from benchmarks.errors import UserError
from benchmarks.execution import execute
from benchmarks.execution.image_holder import HeldStores, ImageHolder
from benchmarks.planning import expand, suite_builders
from benchmarks.training.listener import Listener
from benchmarks.training.shared_images import HeldSource, open_images, store_of
from datasets.loading.sources import Source, open_source
from results.record import Record
from results.settings import AnyRun, Run
from results.store import WEIGHTS, ResultStore
from tests.helpers.small_training import small_run

CPU = torch.device("cpu")
RESIDENT = Environment(feed="resident")
"""On a CPU, images are held in shared memory, where that is asked for."""
ROWS = [np.array([3, 1, 4]), np.array([15, 9])]


def seeds(number: int = 2) -> list[Run]:
    return [small_run().model_copy(update={"seed": seed}) for seed in range(number)]


def opened(run: Run, environment: Environment, notes: list[str], device: torch.device = CPU) -> Source:
    dataset = environment.open(run.dataset, run.dataset_options)
    return open_images(run, dataset, environment, device, notes.append)


def require_same_pixels(source: Source, run: Run) -> None:
    dataset = Environment().open(run.dataset, run.dataset_options)
    own = open_source(dataset, run.recipe.stored_size, run.recipe.resize, CPU, "mapped")
    for (images, sizes), (expected, others) in zip(source.batches(ROWS), own.batches(ROWS), strict=True):
        assert torch.equal(images.cpu(), expected)
        assert torch.equal(sizes, others)


@pytest.fixture
def holder() -> Iterator[ImageHolder]:
    """Of a plan of two seeds."""
    found = ImageHolder(seeds(), RESIDENT)
    yield found
    found.close()


def test_trainings_of_one_store_map_the_same_pixels(holder: ImageHolder) -> None:
    notes: list[str] = []
    sources = [opened(run, holder.environment_of(run, notes.append), notes) for run in seeds()]
    for run, source in zip(seeds(), sources, strict=True):
        assert isinstance(source, HeldSource)
        require_same_pixels(source, run)
    first, second = (source.store.pixels for source in sources if isinstance(source, HeldSource))
    before = int(first[0])
    first[0] = 255 - before  # nobody else writes there: it shows that both are one memory
    assert int(second[0]) == 255 - before


def test_a_plan_with_one_training_of_a_store_needs_no_holder() -> None:
    other = small_run(stored_size=40)
    alone = ImageHolder([seeds(1)[0], other], RESIDENT)
    assert [alone.environment_of(run, pytest.fail) for run in (seeds(1)[0], other)] == [RESIDENT, RESIDENT]
    streamed = replace(RESIDENT, feed="mapped")
    assert ImageHolder(seeds(), streamed).environment_of(seeds()[0], pytest.fail) == streamed


def test_a_holder_that_dies_ends_the_trainings_that_map_it_and_others_copy(holder: ImageHolder) -> None:
    notes: list[str] = []
    run = seeds()[0]
    environment = holder.environment_of(run, notes.append)
    source = opened(run, environment, notes)
    batches = source.batches(ROWS)
    next(batches)
    holder.close()
    with pytest.raises(UserError, match="has died; the same command resumes"):
        next(batches)
    own = opened(run, environment, notes)
    assert not isinstance(own, HeldSource)
    require_same_pixels(own, run)
    assert ["not shared with other trainings" in note for note in notes] == [True]


def test_images_that_were_given_up_stay_so_for_the_plan(holder: ImageHolder) -> None:
    run = seeds()[0]
    environment = holder.environment_of(run, pytest.fail)
    source = opened(run, environment, [])
    assert isinstance(source, HeldSource)
    source.give_up()
    later = opened(run, replace(environment, feed="auto"), [])
    assert not isinstance(later, HeldSource)
    require_same_pixels(later, run)


def test_where_processes_cant_share_memory_the_holder_keeps_none() -> None:
    held, name = HeldStores(RESIDENT), store_of(seeds()[0])
    assert held.answer(name, pytest.fail)[0] == "pixels"
    refusal = ("failed", "CUDA error: invalid argument")
    assert held.not_shared(refusal[1]) == held.answer(name, pytest.fail) == refusal
    assert not held.pixels


@pytest.mark.parametrize("end", [HeldSource.close, HeldSource.give_up])
def test_a_training_maps_the_images_no_more_when_it_tells_the_holder_of_its_end(
    end: Callable[[HeldSource], None], holder: ImageHolder
) -> None:
    """The holder can free the memory of a GPU only then."""
    run = seeds()[0]
    source = opened(run, holder.environment_of(run, pytest.fail), [])
    assert isinstance(source, HeldSource)
    pixels, mapped = weakref.ref(source.store.pixels), list[bool]()
    theirs = source.holder

    class Watched:
        """The connection to the holder; notes what is mapped when something is said there."""

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None:
            self.close()

        def send(self, what: str) -> None:
            mapped.append(pixels() is not None)
            theirs.send(what)

        def recv(self) -> object:
            return theirs.recv()

        def close(self) -> None:
            mapped.append(pixels() is not None)
            theirs.close()

    source.holder = Watched()  # type: ignore[assignment]
    end(source)
    assert set(mapped) == {False}


def test_a_measurement_finds_no_holder_and_the_next_training_a_new_one(holder: ImageHolder) -> None:
    run = seeds()[0]
    measured, *_ = expand.expand(suite_builders.profile(["plain"], ["test_resnet"], [32], [4]), Environment())
    before = holder.environment_of(run, pytest.fail)
    assert holder.environment_of(measured, pytest.fail) == RESIDENT
    assert not isinstance(opened(run, before, []), HeldSource)
    assert isinstance(opened(run, holder.environment_of(run, pytest.fail), []), HeldSource)


def refuse(*_: object, **__: object) -> None:
    raise isolation.WorkerDied("its process could not be started")


def test_without_a_holder_the_plan_goes_on_with_one_note(holder: ImageHolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "Isolated", refuse)
    notes: list[str] = []
    assert [holder.environment_of(run, notes.append) for run in seeds()] == [RESIDENT, RESIDENT]
    assert len(notes) == 1


def require_held(case: AnyRun, store: ResultStore, environment: Environment, listener: Listener, **_: object) -> Record:
    from benchmarks.execution import worker

    assert isinstance(case, Run)
    assert isinstance(opened(case, environment, []), HeldSource)
    return worker.carry_out(case, store, environment, listener)


def test_trainings_on_held_images_have_the_bits_of_others(tmp_path: Path) -> None:
    plan = seeds()
    own, held = (ResultStore(tmp_path / name) for name in ("own", "held"))
    execute.execute(plan, own, Environment(), Console(quiet=True))
    environment = replace(RESIDENT, execution=Execution(parallel=2))
    summary = execute.execute(plan, held, environment, Console(quiet=True), True, require_held)
    assert sorted(summary.done) == sorted(run.id for run in plan)
    for run in plan:
        one, other = (load_file(store.root / run.id / WEIGHTS) for store in (own, held))
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, whose memory processes share by CUDA IPC")
def test_a_gpus_images_are_held_once() -> None:
    environment, notes = Environment(device="cuda"), list[str]()
    holder, device = ImageHolder(seeds(), environment), torch.device("cuda")
    try:
        for run in seeds():
            source = opened(run, holder.environment_of(run, notes.append), notes, device)
            assert isinstance(source, HeldSource), notes
            assert source.store.pixels.is_cuda
            require_same_pixels(source, run)
    finally:
        holder.close()
