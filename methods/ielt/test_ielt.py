"""IELT against its steps taken slowly: one image, one layer and one head at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import BackboneError, TimmBackbones
from methods.ielt import allocation, voting
from methods.ielt.model import IELT
from methods.transformers.tokens import TokenBackbone
from tests.helpers.methods_under_test import TINY_VIT, images_and_labels

SIZE, SIDE, HEADS = 96, 6, 4
GRID = (SIDE, SIDE)


def ielt(name: str = "vit_tiny_patch16_224", **options: object) -> IELT:
    torch.manual_seed(0)
    return IELT(TimmBackbones(name, SIZE, options=TINY_VIT), 5, **options).double().eval()


def images(count: int) -> Tensor:
    return images_and_labels(count, SIZE)[0].double()


# ---- slow formulas


def slow_attention(block: torch.nn.Module, tokens: Tensor) -> Tensor:
    """Softmax attention `(heads, N, N)` of timm's block for the tokens `(N, C)` of one image, head by head."""
    width = tokens.shape[1] // HEADS
    query, key, _ = block.attn.qkv(block.norm1(tokens)).chunk(3, dim=1)
    pieces = [slice(head * width, (head + 1) * width) for head in range(HEADS)]
    return torch.stack([(query[:, one] @ key[:, one].T / width**0.5).softmax(dim=1) for one in pieces])


def slow_votes(attention: Tensor, votes: int) -> list[float]:
    """Votes for each token after the class token, from `(heads, N, N)`."""
    counts = [0.0] * (attention.shape[2] - 1)
    for head in attention:
        for place in sorted(range(len(counts)), key=lambda one: -float(head[0, 1 + one]))[:votes]:
            counts[place] += 1
    return counts


def slow_smoothed(counts: list[float], rows: int, columns: int) -> list[float]:
    weights = {0: 2, 1: 1}
    return [
        sum(
            counts[place] * weights[abs(place // columns - row)] * weights[abs(place % columns - column)]
            for place in range(rows * columns)
            if abs(place // columns - row) <= 1 and abs(place % columns - column) <= 1
        )
        for row in range(rows)
        for column in range(columns)
    ]


def most_voted(counts: list[float], number: int) -> list[int]:
    return sorted(range(len(counts)), key=lambda place: (-counts[place], place))[:number]


def slow_logits(method: IELT, image: Tensor, numbers: list[int], smoothing: bool = True) -> Tensor:
    """Logits `(K,)` of one image, where the layers send these numbers of tokens."""
    tokens = method.backbone.net.patch_embed(image[None])
    tokens = method.backbone.net._pos_embed(tokens)[0]
    sent = []
    for number, block in zip(numbers, method.backbone.net.blocks, strict=True):
        counts = slow_votes(slow_attention(block, tokens), method.votes)
        tokens = block(tokens[None])[0]
        chosen = most_voted(slow_smoothed(counts, SIDE, SIDE) if smoothing else counts, number)
        sent += [tokens[1 + place] for place in chosen]
    chosen_tokens = torch.stack([tokens[0], *sent])
    refined = method.refine.rest(chosen_tokens[None])[0]
    again = most_voted(
        slow_votes(slow_attention(method.refine.rest.blocks[0], chosen_tokens), method.votes), method.votes
    )
    final = method.key(torch.stack([tokens[0], *(refined[1 + place] for place in again)])[None])[0, 0]
    weight, bias = method.head.weight, method.head.bias
    assist = (weight @ refined[0] + bias).softmax(dim=0) * weight.sum(dim=1)
    return weight @ final + bias + assist


# ---- tests


@pytest.mark.parametrize("smoothing", [True, False])
def test_logits_are_those_of_one_image_one_layer_and_one_head_at_a_time(smoothing: bool):
    method = ielt(total=18, smoothing=smoothing)
    method.shares.copy_(torch.tensor([7, 2, 9]) / 18)
    with torch.no_grad():
        expected = torch.stack([slow_logits(method, image, [7, 2, 9], smoothing) for image in images(3)])
        torch.testing.assert_close(method(images(3)), expected)


def test_votes_are_the_heads_choices_counted():
    scores = torch.randn(3, HEADS, 17)
    attention = torch.cat([torch.zeros(3, HEADS, 1), scores], dim=2)[:, :, None].expand(-1, -1, 18, -1)
    expected = torch.tensor([slow_votes(one, 5) for one in attention])
    assert torch.equal(voting.count_votes(scores, 5), expected)
    assert torch.equal(expected.sum(dim=1), torch.full((3,), 5.0 * HEADS))


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (6, 6)])
def test_votes_are_smoothed_over_the_eight_neighbours_on_the_grid(grid: tuple[int, int]):
    counts = torch.randint(0, 12, (2, grid[0] * grid[1])).float()
    expected = torch.tensor([slow_smoothed(one, *grid) for one in counts.tolist()])
    assert torch.equal(voting.smoothed(counts, grid), expected)


def test_of_equal_votes_the_earlier_token_comes_first():
    assert voting.ranking(torch.tensor([[1.0, 3.0, 0.0, 3.0, 1.0]])).tolist() == [[1, 3, 0, 4, 2]]


def test_class_scores_order_tokens_as_the_softmax_of_queries_and_keys_does():
    queries, keys = torch.randn(2, HEADS, 9, 8), torch.randn(2, HEADS, 9, 8)
    attention = (queries @ keys.mT).softmax(dim=3)[:, :, 0, 2:]
    found = voting.class_scores(queries, keys, prefix=2)
    assert torch.equal(found.argsort(dim=2), attention.argsort(dim=2))


def test_shares_of_a_base_transformer_start_with_the_authors_numbers():
    numbers = 126 * allocation.starting_shares(11)
    assert numbers.round().int().tolist() == [16, 14, 12, 10, 8, 6, 8, 10, 12, 14, 16]
    torch.testing.assert_close(allocation.starting_shares(11, "uniform"), torch.full((11,), 1 / 11))


@pytest.mark.parametrize("layers", [1, 2, 3, 11, 23])
def test_places_are_all_given_away_and_no_layer_is_off_by_a_whole_one(layers: int):
    shares = torch.rand(layers) ** 3
    shares /= shares.sum()
    layer, rank = allocation.places(shares, 126)
    numbers = [int((layer == one).sum()) for one in range(layers)]
    assert sum(numbers) == 126
    assert all(abs(number - 126 * share) < 1.001 for number, share in zip(numbers, shares.tolist(), strict=True))
    assert layer.tolist() == [one for one, number in enumerate(numbers) for _ in range(number)]
    assert rank.tolist() == [place for number in numbers for place in range(number)]


def test_shares_move_towards_the_layers_of_the_tokens_that_are_kept():
    method = ielt(total=18, rate=0.1).train()
    batch = images(4), torch.tensor([0, 1, 2, 3])
    votes = method.see(batch[0]).votes
    kept = [0.0, 0.0, 0.0]
    for chosen in votes.key.tolist():
        for place in chosen:
            kept[int(votes.layer[place])] += 1
    before = method.shares.clone()
    expected = 0.9 * before + 0.1 * torch.tensor(kept, dtype=torch.double) / sum(kept)
    method.before_batch(3, 0.5)
    for half in (slice(0, 2), slice(2, 4)):  # a batch in two pieces
        list(method.steps(batch[0][half], batch[1][half]))
    method.after_step()
    torch.testing.assert_close(method.shares, expected)
    method.after_step()  # nothing was seen since
    torch.testing.assert_close(method.shares, expected)
    assert not torch.equal(before, expected)


def test_shares_keep_still_at_first_and_where_they_are_fixed():
    for options, over in (({}, 0.19), ({"rate": 0.0}, 0.9)):
        method = ielt(**options).train()
        before = method.shares.clone()
        method.before_batch(0, over)
        list(method.steps(images(2), torch.tensor([0, 1])))
        method.after_step()
        torch.testing.assert_close(method.shares, before)


def test_losses_are_cross_entropies_of_both_predictions_in_the_papers_proportion():
    method, labels = ielt(), torch.tensor([0, 3, 4])
    with torch.no_grad():
        losses, seen = method.losses(images(3), labels), method.see(images(3))
    torch.testing.assert_close(losses["final"], 0.6 * F.cross_entropy(seen.logits, labels))
    torch.testing.assert_close(losses["refined"], 0.4 * F.cross_entropy(seen.assisting, labels))


def test_without_assistance_the_refined_class_token_predicts():
    whole, alone = ielt(), ielt(assist=False)
    with torch.no_grad():
        torch.testing.assert_close(alone(images(2)), alone.see(images(2)).assisting)
        torch.testing.assert_close(whole.branches(images(2))["refined"], whole.see(images(2)).assisting)
    assert not alone.branches(images(2))
    assert alone.key is None


def test_attention_is_that_of_the_refined_tokens_on_their_patches():
    method = ielt(total=18)
    with torch.no_grad():
        maps, votes = method.attention(images(2)), method.see(images(2)).votes
    assert maps.shape == (2, HEADS, *GRID)
    for image in range(2):
        for head in range(HEADS):
            expected = [0.0] * (SIDE * SIDE)
            for place, share in enumerate(votes.scores[image, head].softmax(dim=0).tolist()):
                expected[int(votes.patch[image, place])] += share
            torch.testing.assert_close(maps[image, head].flatten(), torch.tensor(expected).double())


class Trained(TimmBackbones):
    """Gives a network whose last norm and last MLP are told from those of a new network."""

    def tokens(self, *args: object, **options: object) -> TokenBackbone:
        extractor = super().tokens(*args, **options)
        for weight in (extractor.net.norm.weight, extractor.net.blocks[-1].mlp.fc1.weight):
            torch.nn.init.constant_(weight, 3.0)
        return extractor


@pytest.mark.parametrize(("anew", "same"), [("nothing", [True, True]), ("norms", [False, True]), ("all", [False] * 2)])
def test_what_starts_anew_is_what_the_option_names(anew: str, same: list[bool]):
    method = IELT(Trained("vit_tiny_patch16_224", SIZE, options=TINY_VIT), 5, anew=anew)
    weights = [[last.norm.weight, last.blocks[0].mlp.fc1.weight] for last in (method.refine.rest, method.key)]
    assert [[bool((one == 3.0).all()) for one in last] for last in weights] == [same, same]
    if anew == "all":
        assert not torch.equal(weights[0][1], weights[1][1]), "both blocks start from the same draw"


@pytest.mark.parametrize(("votes", "total", "found"), [(24, 126, (9, 36)), (2, 20, (2, 20)), (24, 8, (2, 8))])
def test_on_a_small_grid_a_head_votes_for_a_quarter_at_most(votes: int, total: int, found: tuple[int, int]):
    method = ielt(votes=votes, total=total)
    assert (method.votes, method.total) == found


def test_options_that_can_not_be_are_refused():
    for options, words in (
        ({"votes": 0}, "votes is 0; it must be 1 or more"),
        ({"alpha": 1.4}, "alpha is 1.4; it must be a share"),
        ({"start": "middle"}, "start is 'middle'; it must be one of ends, uniform"),
        ({"anew": "some"}, "anew is 'some'; it must be one of nothing, norms, all"),
    ):
        with pytest.raises(ValueError, match=words):
            ielt(**options)
    with pytest.raises(BackboneError, match="has no class token"):
        ielt("vit_base_patch16_siglip_224")
