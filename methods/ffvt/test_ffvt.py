"""FFVT against its statement, block by block on timm's own network, and what its options change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from methods.backbones import BackboneError, TimmBackbones
from methods.ffvt.model import FFVT

SIZE, CLASSES, COUNT = 96, 5, 3
SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 4}


def make(network: str = "vit_tiny_patch16_224", **options: Any) -> FFVT:
    torch.manual_seed(0)
    return FFVT(TimmBackbones(network, SIZE, options=SMALL), CLASSES, **{"count": COUNT, **options}).eval()


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def slow_scores(block: Any, tokens: Tensor) -> Tensor:
    """MAWS `(B, N)` from all scores of a timm block: row 0 over the keys, times column 0 over the queries."""
    layer = block.attn
    query, key, _ = layer.qkv(block.norm1(tokens)).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return scores.softmax(dim=3)[:, :, 0, :].mean(dim=1) * scores.softmax(dim=2)[:, :, :, 0].mean(dim=1)


def best(scores: Tensor, count: int, first: int) -> list[list[int]]:
    """Numbers of the highest scores of each image, those before `first` left out."""
    return [sorted(range(first, len(one)), key=lambda n, one=one: -float(one[n]))[:count] for one in scores]


def slow_logits(method: FFVT, batch: Tensor, count: int, first: int = 1) -> Tensor:
    net = method.backbone.net
    tokens = net._pos_embed(net.patch_embed(batch))
    fused: list[list[Tensor]] = [[] for _ in batch]
    for block in net.blocks:
        chosen = best(slow_scores(block, tokens), count, first)
        tokens = block(tokens)
        for image, numbers in enumerate(chosen):
            fused[image] += [tokens[image, number] for number in numbers]
    last = method.last
    vectors = [
        last.norm(last.blocks(torch.stack([tokens[image, 0], *parts])[None]))[0, 0] for image, parts in enumerate(fused)
    ]
    return torch.stack(vectors) @ method.head.weight.mT + method.head.bias


@pytest.mark.parametrize("competes", [False, True])
def test_the_last_block_sees_the_class_token_and_the_best_tokens_of_every_block(competes: bool) -> None:
    method, batch = make(prefix_competes=competes), images()
    with torch.no_grad():
        torch.testing.assert_close(method(batch), slow_logits(method, batch, COUNT, first=0 if competes else 1))


def test_no_more_tokens_are_taken_than_there_are() -> None:
    method, batch = make(count=100), images()
    with torch.no_grad():
        torch.testing.assert_close(method(batch), slow_logits(method, batch, 36))


def test_maps_rank_the_patches_of_each_block() -> None:
    method, batch = make(), images()
    net = method.backbone.net
    with torch.no_grad():
        tokens = net._pos_embed(net.patch_embed(batch))
        expected = []
        for block in net.blocks:
            expected.append(slow_scores(block, tokens)[:, 1:].unflatten(1, (6, 6)))
            tokens = block(tokens)
        torch.testing.assert_close(method.attention(batch), torch.stack(expected, dim=1))


@pytest.mark.parametrize("competes", [False, True])
def test_the_image_shows_the_patches_of_all_blocks(competes: bool) -> None:
    method, batch = make(prefix_competes=competes), images()
    with torch.no_grad():
        maps, shown = method.attention(batch).flatten(2), method.explain(batch)["selected patches"]
    for image in range(3):
        whole = (shown[image] == batch[image]).all(dim=0).unflatten(0, (6, 16)).unflatten(2, (6, 16))
        bright = set(whole.all(dim=3).all(dim=1).flatten().nonzero().flatten().tolist())
        ranked = [one.argsort(descending=True)[:COUNT].tolist() for one in maps[image]]
        if competes:  # the class token takes the place of a block's last patch, or of none
            assert {n for numbers in ranked for n in numbers[:-1]} <= bright <= {n for one in ranked for n in one}
        else:
            assert bright == {n for numbers in ranked for n in numbers}


def test_by_attention_alone_the_column_does_not_count() -> None:
    method, batch = make(selection="attention", blocks=[0]), images()
    net = method.backbone.net
    block = net.blocks[0]
    with torch.no_grad():
        tokens = net._pos_embed(net.patch_embed(batch))
        query, key, _ = block.attn.qkv(block.norm1(tokens)).unflatten(2, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        expected = (query @ key.mT / 8**0.5).softmax(dim=3)[:, :, 0, 1:].mean(dim=1)
        torch.testing.assert_close(method.attention(batch).flatten(1), expected)


def test_tokens_of_some_blocks_join_the_class_token_of_the_last_that_ran() -> None:
    method, batch = make(blocks=[-2]), images()
    net = method.backbone.net
    with torch.no_grad():
        tokens = net._pos_embed(net.patch_embed(batch))
        for block in net.blocks[:-1]:
            tokens = block(tokens)
        chosen = best(slow_scores(net.blocks[-1], tokens), COUNT, 1)
        tokens = net.blocks[-1](tokens)
        parts = torch.stack([image[[0, *numbers]] for image, numbers in zip(tokens, chosen, strict=True)])
        torch.testing.assert_close(method(batch), method.head(method.last(parts)[:, 0]))


def test_random_tokens_are_an_image_s_own_and_as_many() -> None:
    method, batch = make(selection="random"), images()
    maps = method.attention(batch)
    assert maps.shape == (3, 3, 6, 6)
    assert maps.sum(dim=(2, 3)).unique().tolist() == [COUNT]
    assert torch.equal(method.attention(batch[1:]), maps[1:])
    assert not torch.equal(maps[0], maps[1])


def test_what_starts_anew_is_the_last_block_and_norm() -> None:
    torch.manual_seed(0)
    source = TimmBackbones("vit_tiny_patch16_224", SIZE, options=SMALL)
    tokens = source.tokens

    def filled(**options: Any) -> Any:
        made = tokens(**options)
        for one in made.net.parameters():
            torch.nn.init.constant_(one, 3.0)
        return made

    source.tokens = filled
    assert {one.min().item() for one in FFVT(source, CLASSES).last.parameters()} == {3.0}
    fresh = FFVT(source, CLASSES, anew=True)
    assert all(one.max().item() <= 1 for one in fresh.last.parameters())
    assert all(one.min().item() == 3 for one in fresh.backbone.parameters())


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="selection is 'best'"):
        make(selection="best")
    with pytest.raises(ValueError, match="one token of one block is the least"):
        make(count=0)
    with pytest.raises(ValueError, match="one token of one block is the least"):
        make(blocks=[])
    with pytest.raises(BackboneError, match="has no class token"):
        make("vit_base_patch16_siglip_224")
