"""The contract of `methods/interface.py`, run over every method that is found: nothing to edit when one is added.

The default variant gets every check, on a network small enough for a CPU; the other variants get the cheap ones.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

import methods
from benchmarks.planning import method_files, recipes
from benchmarks.planning.phases import phase_plans
from benchmarks.training.device import numerics
from benchmarks.training.networks.build_method import state_on_cpu
from benchmarks.training.optim import build_optimizer, select_trainable
from methods.backbones import BackboneError, TimmBackbones
from methods.interface import Method, Phase
from results.recipe import Recipe
from tests.helpers.methods_under_test import (
    BATCH,
    CLASSES,
    SIZE,
    TINY_SWIN,
    TINY_VIT,
    Subject,
    assert_near,
    build,
    images_and_labels,
    logits_of,
    total_loss,
    train_once,
    variants,
)

FAMILIES = {
    "mobilenetv2_050": {},
    "inception_v3": {},
    "test_convnext": {},
    "swin_tiny_patch4_window7_224": TINY_SWIN,
    "vit_tiny_patch16_224": TINY_VIT,
}
"""timm network and its options."""

BF16_TOLERANCE = 0.05
"""Largest difference of logits and losses between float32 and bfloat16 autocast, relative to the largest of them."""


# ---- every variant ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "variant"), variants())
def test_every_variant_predicts_learns_names_its_parameters_and_can_be_stored(name: str, variant: str):
    method = build(name, variant, classes=3)
    images, labels = images_and_labels(2 * BATCH)
    if not method.phases():  # its logits mean nothing before
        check_fit(method, build(name, variant, classes=3, seed=1), images, labels % 3)
    check_prediction(method, 3)
    check_readouts(method, 3)
    check_groups(method)
    save(dict(state_on_cpu(method)))  # as a Run does after its last epoch; refuses a tensor that has two names
    if not method.phases():
        return
    method.initialise([(images[:BATCH], labels[:BATCH] % 3), (images[BATCH:], labels[BATCH:] % 3)])
    check_gradients(method.train())
    for protocol in ("paper", "common"):
        check_recipe(method, recipes.recipe_for(name, variant, protocol, "", "", {}))


def check_prediction(method: Method, classes: int) -> None:
    """Logits of an image do not depend on its batch, and cost as many passes of the backbone as `views` says.

    If there are several backbones, the one that runs most often counts. Views side by side in one batch count too.
    """
    images = images_and_labels(3)[0]
    with backbone_images(method) as passes:
        logits = logits_of(method, images)
    assert max(passes.values()) == method.views * len(images)
    assert logits.shape == (3, classes)
    assert logits.isfinite().all()
    assert_near(logits, torch.cat([logits_of(method, image[None]) for image in images]), 1e-4)


def check_readouts(method: Method, classes: int) -> None:
    """They are those that `readout_views` names, logits of an image do not depend on its batch, and they cost what it
    says: a pass that several read-outs share counts for each of them."""
    images, views = images_and_labels(3)[0], method.readout_views
    assert all(name and count >= 1 for name, count in views.items())
    with torch.no_grad(), backbone_images(method.eval()) as passes:
        found = method.readouts(images)
    assert set(found) == set(views)
    if not found:
        return
    assert max(views.values()) * len(images) <= max(passes.values()) <= sum(views.values()) * len(images)
    with torch.no_grad():
        apart = [method.readouts(image[None]) for image in images]
    for name, logits in found.items():
        assert logits.shape == (3, classes)
        assert logits.isfinite().all()
        assert_near(logits, torch.cat([one[name] for one in apart]), 1e-4)


@contextlib.contextmanager
def backbone_images(method: Method) -> Iterator[Counter[int]]:
    """Within, counts the images that pass through each backbone."""
    passes: Counter[int] = Counter()
    backbones = [module for module in method.modules() if getattr(module, "is_backbone", False)]
    hooks = [
        module.register_forward_hook(lambda module, inputs, _: passes.update({id(module): len(inputs[0])}))
        for module in backbones
    ]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def check_groups(method: Method) -> None:
    groups = method.parameter_groups()
    listed = Counter(id(parameter) for group in groups.values() for parameter in group)
    assert set(listed) == {id(parameter) for parameter in method.parameters()}
    assert set(listed.values()) == {1}, "a parameter is in two groups, or twice in one"
    phases = method.phases()
    assert all(isinstance(phase, Phase) for phase in phases)
    assert len({phase.name for phase in phases}) == len(phases)
    assert not phases or sum(phase.share for phase in phases) == pytest.approx(1)
    for phase in phases:
        assert phase.trains is None or (phase.trains and set(phase.trains) <= set(groups))


def check_fit(method: Method, other: Method, images: Tensor, labels: Tensor) -> None:
    """What is fitted to frozen features predicts as `forward` does, alike each time, and can be loaded again."""
    method.eval()
    with torch.no_grad():
        features = method.frozen_features(images)
        assert features.shape[:1] == images.shape[:1]
        assert features.ndim == 2
        numbers = method.fit(features, labels)
        assert all(math.isfinite(value) for value in numbers.values())
        assert torch.equal(method.frozen_features(images), features), "fit changed the features"
        logits = method.classify(features)
        assert logits.isfinite().all()
        assert torch.equal(method(images), logits)
        with torch.autocast("cpu", dtype=torch.bfloat16):  # in which a Run in bf16 predicts, and does not score
            assert torch.equal(method.classify(features), logits), "half precision classifies in another way"
        method.fit(features, labels)
        assert torch.equal(method.classify(features), logits), "another fit of the same gives something else"
    other.load_state_dict(method.state_dict())
    assert torch.equal(logits_of(other, images), logits)


def check_gradients(method: Method) -> None:
    """Every loss is a finite scalar, and their sum gives every parameter that learns a finite gradient."""
    images, labels = images_and_labels(BATCH)
    for losses in method.steps(images, labels % 3):
        assert losses
        for loss in losses.values():
            assert loss.shape == ()
            assert loss.isfinite()
        sum(losses.values()).backward()
    learned = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}
    assert not [name for name, parameter in learned.items() if parameter.grad is None]
    assert not [name for name, parameter in learned.items() if not parameter.grad.isfinite().all()]


def check_recipe(method: Method, recipe: Recipe) -> None:
    """It names phases and parameter groups that there are, and something learns in each phase."""
    for plan in phase_plans(method, recipe):
        select_trainable(method, plan)
        assert build_optimizer(method, plan, recipe).param_groups


# ---- numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_number_of_images(method: Method, count: int):
    images, labels = images_and_labels(count)
    assert logits_of(method, images).shape == (count, CLASSES)
    try:
        assert total_loss(method.train(), (images, labels)).isfinite()
    except ValueError as refusal:
        # torch itself refuses to normalise a single value; no method can do anything about that
        if count > 1 or "more than 1 value per channel" not in str(refusal):
            raise


def test_another_input_size(subject: Subject):
    method = build(subject.name, size=128)
    images, labels = images_and_labels(2, size=128)
    assert logits_of(method, images).shape == (2, CLASSES)
    assert total_loss(method.train(), (images, labels)).isfinite()


def test_a_small_step_lowers_the_loss(subject: Subject, method: Method):
    batch = images_and_labels(BATCH)
    before = total_loss(method.train(), batch)
    before.backward()
    gradients = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
    slope = float(torch.stack([gradient.square().sum() for gradient in gradients]).sum())
    after = []
    for share in (1e-2, 1e-3, 1e-4):  # of the loss, by which the step would lower it if the loss were linear
        moved = subject.copy().train()  # with the state (running means, centres) that the first loss met
        with torch.no_grad():
            for parameter, start in zip(moved.parameters(), method.parameters(), strict=True):
                if start.grad is not None:
                    parameter.sub_(share * before.item() / slope * start.grad)
        after.append(total_loss(moved, batch).item())
    assert min(after) < before.item(), f"{before.item()} became {after}"


@pytest.mark.parametrize("network", FAMILIES)
@pytest.mark.parametrize("name", methods.available())
def test_networks_of_every_family_serve_or_are_refused(name: str, network: str):
    """Swin's maps have their channels last, ConvNeXt's are negative too, Inception-v3's sizes are no multiples."""
    torch.manual_seed(0)
    source = TimmBackbones(network, SIZE, options=FAMILIES[network])
    try:
        method = methods.load(name)(source, CLASSES, **method_files.options_of(name, "paper"))
    except BackboneError:
        return
    assert logits_of(method, images_and_labels(2)[0]).isfinite().all()
    check_gradients(method.train())


def test_initialising_leaves_it_sound(method: Method):
    images, labels = images_and_labels(2 * CLASSES)
    method.eval().initialise([(images[:CLASSES], labels[:CLASSES]), (images[CLASSES:], labels[CLASSES:])])
    assert logits_of(method, images[:2]).isfinite().all()
    assert total_loss(method.train(), (images, labels)).isfinite()


def test_saved_and_loaded_it_is_the_same(subject: Subject, method: Method):
    batch = images_and_labels(BATCH)
    train_once(method, batch)
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    other = build(subject.name, seed=1)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(total_loss(method.train(), batch), total_loss(other.train(), batch))
    assert torch.equal(logits_of(method, batch[0]), logits_of(other, batch[0]))


def test_bfloat16_gives_nearly_the_same(subject: Subject):
    batch = images_and_labels(BATCH)
    logits, loss = logits_of(subject.copy(), batch[0]), total_loss(subject.copy().train(), batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half_logits, half_loss = logits_of(subject.copy(), batch[0]), total_loss(subject.copy().train(), batch)
    assert_near(half_logits, logits, BF16_TOLERANCE)
    assert_near(half_loss, loss, BF16_TOLERANCE)
    assert half_loss.dtype == torch.float32


def test_in_float64_every_loss_and_every_logit_is_computed_so(subject: Subject):
    """A loss cast to float32 has none of float64's digits: its gradient can't be checked against differences."""
    images, labels = images_and_labels(BATCH)
    method, images = subject.copy().double(), images.double()
    with torch.no_grad():
        method.eval().initialise([(images, labels)])
    for losses in method.train().steps(images, labels):
        assert {name: loss.dtype for name, loss in losses.items()} == dict.fromkeys(losses, torch.float64)
    assert logits_of(method, images).dtype == torch.float64


def test_compiled_it_gives_the_same_without_a_graph_break(subject: Subject):
    """Every function that `loss_functions` names is one of the steps' own, and compiles as a whole."""
    batch = images_and_labels(BATCH)
    plain, compiled = subject.copy().train(), subject.copy().train()
    torch._dynamo.reset()
    called: set[str] = set()
    for name in compiled.loss_functions:
        # aot_eager traces losses and gradients as the real compiler does, and then runs torch's own kernels
        function = torch.compile(getattr(compiled, name), fullgraph=True, dynamic=False, backend="aot_eager")
        setattr(compiled, name, noted(function, name, called))
    torch.manual_seed(0)
    expected = list(plain.steps(*batch))
    torch.manual_seed(0)
    found = list(compiled.steps(*batch))
    assert called, "the steps call none of loss_functions: nothing of the training would be compiled"
    assert len(found) == len(expected)
    for own, right in zip(found, expected, strict=True):
        assert list(own) == list(right)
        for name in right:
            torch.testing.assert_close(own[name], right[name], rtol=1e-4, atol=1e-5)
    for several in (found, expected):
        sum(loss for losses in several for loss in losses.values()).backward()
    for left, right in zip(compiled.parameters(), plain.parameters(), strict=True):
        if right.grad is not None:
            largest = right.grad.abs().max().item()
            torch.testing.assert_close(left.grad, right.grad, rtol=1e-2, atol=1e-4 * largest + 1e-7)


def noted(function: Callable[..., Any], name: str, called: set[str]) -> Callable[..., Any]:
    """The function, which adds its name to `called` and takes tensors and numbers only."""

    def checked(*given: Tensor | float) -> Any:
        assert all(isinstance(one, Tensor | int | float) for one in given), f"{name} got something else: {given}"
        called.add(name)
        return function(*given)

    return checked


def test_no_memory_is_read_before_it_is_written(subject: Subject):
    """Deterministic Runs spare torch the filling of new tensors with NaN, so it must make no difference."""
    images, labels = images_and_labels(BATCH)
    computed: list[list[Tensor]] = []
    for filled in (True, False):
        method = subject.copy().train()
        with numerics("fp32", deterministic=True):
            torch.utils.deterministic.fill_uninitialized_memory = filled
            loss = total_loss(method, (images, labels))
            loss.backward()
            logits = logits_of(method.eval(), images)
        gradients = [one.grad for one in method.parameters() if one.grad is not None]
        computed.append([loss.detach(), logits, *gradients])
    for with_nan, without in zip(*computed, strict=True):
        assert torch.equal(with_nan, without)
