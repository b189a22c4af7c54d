"""PMG against slow, obvious formulas: its classifiers, the steps of a batch, and what each of them trains."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import methods
from methods.backbones import TimmBackbones
from methods.ops.jigsaw import permute_blocks, random_order
from methods.pmg.model import PMG

VARIANTS = methods.variants("pmg")
CLASSES, SIZE = 5, 64


def make(**options: object) -> PMG:
    torch.manual_seed(0)
    return PMG(TimmBackbones("test_resnet", SIZE), CLASSES, **options)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(count) % CLASSES


def normalised(x: Tensor, norm: torch.nn.Module) -> Tensor:
    """Batch norm in training: channel by channel over the batch and, if there are any, the positions."""
    channels = [
        (x[:, c] - x[:, c].mean()) / (x[:, c].var(unbiased=False) + 1e-5).sqrt() * norm.weight[c] + norm.bias[c]
        for c in range(x.shape[1])
    ]
    return torch.stack(channels, dim=1)


def slow_classifier(vectors: Tensor, layers: torch.nn.Sequential) -> Tensor:
    first, hidden, second, _, last = layers
    x = normalised(normalised(vectors, first) @ hidden.weight.mT + hidden.bias, second)
    return torch.where(x > 0, x, x.exp() - 1) @ last.weight.mT + last.bias


def slow_predictions(method: PMG, images: Tensor) -> list[Tensor]:
    vectors = []
    for one, layers in zip(method.backbone(images), method.reduce, strict=True):
        x = normalised(F.conv2d(one, layers[0].weight), layers[1]).clamp_min(0)
        x = normalised(F.conv2d(x, layers[3].weight, padding=1), layers[4]).clamp_min(0)
        vectors.append(x.flatten(2).max(dim=2).values)
    stages = [slow_classifier(one, layers) for one, layers in zip(vectors, method.classifiers, strict=True)]
    return [*stages, slow_classifier(torch.cat(vectors, dim=1), method.all_stages)]


def test_each_classifier_is_two_linear_layers_on_the_maximum_over_positions():
    method, (images, _) = make().train(), batch()
    slow = slow_predictions(copy.deepcopy(method), images)
    for fast, expected in zip(method.predictions(images), slow, strict=True):
        torch.testing.assert_close(fast, expected, rtol=1e-3, atol=1e-4)


def test_the_prediction_is_the_sum_of_all_logits_and_each_is_read_out_beside_it():
    method, (images, _) = make().eval(), batch()
    with torch.no_grad():
        *stages, concatenated = method.predictions(images)
        torch.testing.assert_close(method(images), stages[0] + stages[1] + stages[2] + concatenated)
        assert torch.equal(method.readouts(images)["concatenated"], concatenated)
        branches = method.branches(images)
    assert list(branches) == ["stage 1", "stage 2", "stage 3"]
    assert all(torch.equal(branch, stage) for branch, stage in zip(branches.values(), stages, strict=True))


def test_a_batch_makes_four_steps_from_the_finest_puzzle_to_the_whole_images():
    method, (images, labels) = make().train(), batch()
    slow = copy.deepcopy(method)
    torch.manual_seed(3)
    found = [{name: value.item() for name, value in losses.items()} for losses in method.steps(images, labels)]
    torch.manual_seed(3)
    for step, (n, losses) in enumerate(zip((8, 4, 2, None), found, strict=True)):
        puzzle = images if n is None else permute_blocks(images, random_order(n, images.device), n)
        log_p = slow_predictions(slow, puzzle)[step].log_softmax(dim=1)
        loss = -sum(log_p[i, label] for i, label in enumerate(labels)) / len(labels)
        expected = {f"stage {step + 1}": loss.item()} if n else {"concatenated": 2 * loss.item()}
        assert losses == pytest.approx(expected, rel=1e-3)


def trained_by(method: PMG, losses: dict[str, Tensor]) -> set[str]:
    """The modules that a loss gives a gradient."""
    gradients = torch.autograd.grad(sum(losses.values()), list(method.parameters()), allow_unused=True)
    named = zip(method.named_parameters(), gradients, strict=True)
    return {name for (name, _), gradient in named if gradient is not None and gradient.abs().max() > 0}


def test_a_stage_trains_its_own_classifier_and_the_backbone_up_to_it():
    method = make().train()
    images, labels = batch()
    trained = [trained_by(method, losses) for losses in method.steps(images, labels)]
    for stage in range(3):
        heads = {name for name in trained[stage] if not name.startswith("backbone")}
        assert {name.split(".")[0] + name.split(".")[1] for name in heads} == {f"reduce{stage}", f"classifiers{stage}"}
    backbone = [{name for name in names if name.startswith("backbone")} for names in trained]
    assert backbone[0] < backbone[1] < backbone[2] == backbone[3]
    assert not [name for name in trained[3] if name.startswith("classifiers")]


def train_batch(
    method: PMG, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, pieces: int = 1
) -> list[float]:
    """What the runner does with a batch: in each step the gradients of all pieces are added. Returns the losses."""
    cut = list(zip(images.tensor_split(pieces), labels.tensor_split(pieces), strict=True))
    generators, taken = [method.steps(*piece) for piece in cut], []
    while True:
        method.zero_grad(set_to_none=True)
        total = 0.0
        for steps in generators:
            losses = next(steps, None)
            if losses is None:
                return taken
            loss = sum(losses.values()) / pieces
            loss.backward()
            total += loss.item()
        optimizer.step()
        taken.append(total)


def reference_steps(method: PMG, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The authors' loop: gradients are zeros, not absent, so every parameter takes part in every step."""
    for parameter in method.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for stage, n in ((0, 8), (1, 4), (2, 2), (3, None)):
        optimizer.zero_grad(set_to_none=False)
        puzzle = images if n is None else permute_blocks(images, random_order(n, images.device), n)
        loss = F.cross_entropy(method.predictions(puzzle)[stage], labels)
        (loss if n else 2 * loss).backward()
        optimizer.step()


@pytest.mark.parametrize("idle", [True, False])
def test_layers_that_a_step_does_not_train_go_on_moving_as_in_the_authors_code_or_rest(idle):
    ours, theirs = (make(idle_step=idle).train() for _ in range(2))
    images, labels = batch()
    for method in (ours, theirs):
        torch.manual_seed(5)
        optimizer = torch.optim.SGD(method.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
        for _ in range(2):
            if method is theirs:
                reference_steps(method, images, labels, optimizer)
            else:
                train_batch(method, images, labels, optimizer)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(torch.allclose(left, right, rtol=1e-4, atol=1e-5) for left, right in pairs) == idle


def test_pieces_of_a_batch_add_their_gradients():
    """Micro-batches: each piece has its own puzzle; what an earlier piece left must not be lost."""
    whole, cut = make(blocks=[1, 1, 1]).eval(), make(blocks=[1, 1, 1]).eval()  # batch norm would see the pieces
    images, labels = batch()
    for method, pieces in ((whole, 1), (cut, 2)):
        optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
        train_batch(method, images, labels, optimizer, pieces)
    for left, right in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_batch_norm_of_every_classifier_sees_every_puzzle():
    method, (images, labels) = make().train(), batch()
    norms = [layers[0] for layers in (*method.classifiers, method.all_stages)]
    for _ in method.steps(images, labels):
        pass
    assert [int(norm.num_batches_tracked) for norm in norms] == [4, 4, 4, 4]


def test_one_step_is_the_sum_of_the_four_losses():
    four, one = make().train(), make(one_step=True).train()
    images, labels = batch()
    torch.manual_seed(2)
    separate = {name: value for losses in four.steps(images, labels) for name, value in losses.items()}
    torch.manual_seed(2)
    (together,) = list(one.steps(images, labels))
    assert list(together) == list(separate)
    for name, value in together.items():
        torch.testing.assert_close(value, separate[name])


def test_a_puzzle_is_one_permutation_for_the_batch_or_one_for_each_image():
    images = torch.randn(1, 3, SIZE, SIZE).expand(4, 3, SIZE, SIZE)
    torch.manual_seed(0)
    assert (make().puzzle(images, 8) == make().puzzle(images, 8)[:1]).all()
    shuffled = make(per_image=True).puzzle(images, 8)
    assert not (shuffled == shuffled[:1]).all()


def test_no_block_of_a_released_puzzle_keeps_its_place():
    method = make(**VARIANTS["released"])
    blocks = torch.arange(16.0).view(1, 1, 4, 4)
    torch.manual_seed(0)
    assert all((method.puzzle(blocks, 4) != blocks).all() for _ in range(50))


def test_blocks_that_do_not_fit_the_stages_are_refused():
    with pytest.raises(ValueError, match="each tap needs a number of blocks"):
        make(blocks=[4, 2])


def test_learns_its_batch():
    method, (images, labels) = make(features=64, hidden=32).train(), batch(8)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    torch.manual_seed(0)
    for _ in range(12):
        last = train_batch(method, images, labels, optimizer)
    assert last[-1] < 2 * 0.5
