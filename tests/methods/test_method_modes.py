"""What every method keeps to while it trains and predicts: modes, maps, branches, batches, the course of a training.

The rest of the contract of `methods/interface.py`, what is computed, is in `test_method_contract.py`.
"""

from __future__ import annotations

import copy

import torch

from methods.interface import Method, Sampling
from tests.helpers.methods_under_test import (
    BATCH,
    CLASSES,
    Subject,
    build,
    images_and_labels,
    logits_of,
    total_loss,
    train_once,
)


def test_evaluation_draws_nothing_and_changes_nothing(method: Method):
    images, _ = images_and_labels(2)
    before = copy.deepcopy(method.eval().state_dict())
    first, second = logits_of(method, images, seed=0), logits_of(method, images, seed=1)
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert not any(module.training for module in method.modules())


def test_training_leaves_it_in_training_mode(method: Method):
    train_once(method, images_and_labels(BATCH))
    assert all(module.training for module in method.modules())


def test_with_checkpointing_a_step_leaves_nothing_behind_of_the_graph_that_it_built(subject: Subject):
    """Its blocks run again in the backward pass, and what they keep then is taken by nobody."""
    method = build(subject.name, checkpointing=True)
    train_once(method, images_and_labels(BATCH))
    copy.deepcopy(method)  # fails on tensors that hang in a graph


def test_its_attention_is_a_map_of_non_negative_weights(method: Method):
    images, _ = images_and_labels(2)
    with torch.no_grad():
        maps = method.eval().attention(images)
    if maps is not None:
        assert maps.ndim == 4
        assert len(maps) == 2
        assert maps.isfinite().all()
        assert (maps >= 0).all()


def test_its_branches_are_named_logits_of_the_same_classes(method: Method):
    images, _ = images_and_labels(3)
    with torch.no_grad():
        branches, again = method.eval().branches(images), method.branches(images)
    for name, logits in branches.items():
        assert logits.shape == (3, CLASSES)
        assert logits.isfinite().all()
        assert torch.equal(logits, again[name])


def test_its_batches_as_they_are_drawn_train(method: Method):
    """Several images of each class, one after another, where it asks for them; the runner then gives each step the
    whole batch, and what it gathers."""
    assert isinstance(method.sampling, Sampling)
    each = method.sampling.images_per_class or 2
    images, _ = images_and_labels(2 * each)
    labels = torch.arange(2 * each) // each
    steps = 0
    for losses in method.train().steps(images, labels):
        assert sum(losses.values()).isfinite()
        with torch.no_grad():
            method.after_step(lambda values: values)
        steps += 1
    assert steps


def test_it_may_be_told_at_any_time_how_far_the_training_is(method: Method):
    batch = images_and_labels(BATCH)
    for epoch, over in ((0, 0.0), (7, 0.4), (3, 0.2), (99, 1.0)):
        method.train().before_batch(epoch, over)
        assert total_loss(method, batch).isfinite()
        assert all(module.training for module in method.modules())
        assert logits_of(method, batch[0]).isfinite().all()


def test_what_it_is_told_compiles_nothing_again(method: Method):
    if type(method).before_batch is Method.before_batch:
        return
    torch._dynamo.reset()
    graphs = []
    for name in method.loss_functions:
        backend = lambda graph, _: graphs.append(graph) or graph.forward  # noqa: E731
        setattr(method, name, torch.compile(getattr(method, name), fullgraph=True, dynamic=False, backend=backend))
    counts = []
    for epoch, over in ((0, 0.0), (1, 0.3), (2, 0.6)):
        method.train().before_batch(epoch, over)
        for _ in method.steps(*images_and_labels(BATCH)):
            pass
        counts.append(len(graphs))
    assert counts[1:] == counts[:1] * 2, "keep what `losses` needs of the training's course in a buffer"
