"""Selection of tokens against full attention maps, written out, and the fairness of its random control."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.ops.tokens.selection import FADED, class_rollout, drawn, marked, mutual_attention, taken

B, HEADS, N, D = 2, 3, 6, 4


def queries_and_keys(blocks: int = 4) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(B, HEADS, N, D, generator=generator, dtype=torch.float64) for _ in range(2 * blocks)]
    return made[:blocks], made[blocks:]


def attention_of(query: Tensor, key: Tensor) -> Tensor:
    """Of one head: `(N, d)` twice -> `(N, N)`."""
    scores = torch.tensor([[sum(a * b for a, b in zip(q, k, strict=True)) for k in key] for q in query])
    return scores.exp() / scores.exp().sum(dim=1, keepdim=True)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_the_rollout_is_the_class_token_s_row_of_the_product_of_all_maps(blocks: int, residual: bool) -> None:
    queries, keys = queries_and_keys(blocks)
    expected = torch.empty(B, HEADS, N, dtype=torch.float64)
    for image in range(B):
        for head in range(HEADS):
            product = torch.eye(N, dtype=torch.float64)
            for query, key in zip(queries, keys, strict=True):
                attention = attention_of(query[image, head], key[image, head])
                if residual:
                    attention = 0.5 * attention + 0.5 * torch.eye(N)
                product = attention @ product
            expected[image, head] = product[0]
    torch.testing.assert_close(class_rollout(queries, keys, residual), expected)


def test_a_rollout_of_no_block_is_refused() -> None:
    with pytest.raises(ValueError, match="one block or more"):
        class_rollout([], [])


def test_mutual_attention_is_a_row_s_softmax_times_a_column_s() -> None:
    (query, *_), (key, *_) = queries_and_keys(1)
    expected = torch.empty(B, N, dtype=torch.float64)
    for image in range(B):
        scores = [query[image, head] @ key[image, head].T for head in range(HEADS)]
        for token in range(N):
            asks = [(one[0].exp() / one[0].exp().sum())[token] for one in scores]
            asked = [(one[:, 0].exp() / one[:, 0].exp().sum())[token] for one in scores]
            expected[image, token] = sum(asks) / HEADS * sum(asked) / HEADS
    torch.testing.assert_close(mutual_attention(query, key), expected)


def test_selection_is_computed_in_float32_and_without_gradients() -> None:
    query, key = (torch.randn(B, HEADS, N, D, dtype=torch.bfloat16).requires_grad_() for _ in range(2))
    for found in (class_rollout([query, query], [key, key]), mutual_attention(query, key)):
        assert found.dtype == torch.float32
        assert not found.requires_grad


def test_autocast_does_not_round_what_tokens_are_chosen_by() -> None:
    queries, keys = ([one.float() for one in several] for several in queries_and_keys())
    expected = class_rollout(queries, keys), mutual_attention(queries[0], keys[0])
    with torch.autocast("cpu", torch.bfloat16):
        found = class_rollout(queries, keys), mutual_attention(queries[0], keys[0])
    for one, right in zip(found, expected, strict=True):
        torch.testing.assert_close(one, right, rtol=1e-5, atol=0)


def test_tokens_are_taken_image_by_image() -> None:
    tokens = torch.randn(2, 5, 3)
    found = taken(tokens, torch.tensor([[4, 0, 4], [1, 2, 3]]))
    assert torch.equal(found, torch.stack([tokens[0, [4, 0, 4]], tokens[1, [1, 2, 3]]]))


def test_draws_are_an_image_s_own_and_all_tokens_are_equally_likely() -> None:
    images = torch.randn(500, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    places = drawn(images, 12, 49)
    assert torch.equal(places[100:103], drawn(images[100:103], 12, 49))
    counts = places.flatten().bincount(minlength=49).double()
    expected = 500 * 12 / 49
    # χ² of 48 degrees of freedom is above 85 once in a thousand draws.
    assert ((counts - expected) ** 2 / expected).sum() < 85
    assert len({tuple(one.tolist()) for one in places}) > 490


def test_draws_of_an_image_are_independent_of_each_other() -> None:
    places = drawn(torch.randn(2000, 3, 8, 8, generator=torch.Generator().manual_seed(0)), 3, 7)
    for left, right in ((0, 1), (0, 2), (1, 2)):
        counts = (7 * places[:, left] + places[:, right]).bincount(minlength=49).double()
        assert ((counts - 2000 / 49) ** 2 / (2000 / 49)).sum() < 85


def test_chosen_patches_stay_and_the_others_fade() -> None:
    images = torch.randn(2, 3, 6, 8)
    found = marked(images, torch.tensor([[0, 5], [3, 3]]), (3, 2))
    for image, chosen in enumerate(({0, 5}, {3})):
        for row in range(6):
            for column in range(8):
                factor = 1.0 if row // 2 * 2 + column // 4 in chosen else FADED
                torch.testing.assert_close(found[image, :, row, column], images[image, :, row, column] * factor)
