"""Tokens and attention of vision transformers, against timm's own networks read block by block."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbones import BackboneError, TimmBackbones
from methods.transformers.tokens import TokenBackbone

SMALL = {"embed_dim": 48, "depth": 3, "num_heads": 3}
NETWORKS: dict[str, tuple[str, int]] = {
    "plain": ("vit_base_patch16_224", 64),
    "two prefix tokens": ("deit_base_distilled_patch16_224", 64),
    "class token without a place": ("deit3_base_patch16_224", 64),
    "registers": ("vit_small_patch14_reg4_dinov2", 56),
    "CLIP's tower": ("vit_base_patch16_clip_224", 64),
    "no class token": ("vit_base_patch16_siglip_224", 64),
    "relative positions": ("beit_base_patch16_224", 64),
    "rotary and absolute positions": ("eva02_base_patch14_224", 56),
    "rotary positions and registers": ("vit_small_patch16_dinov3", 64),
}
"""timm name and image size in pixels, by what is special."""
WITH_PLACES = ("relative positions", "rotary and absolute positions", "rotary positions and registers")
"""Networks whose blocks take no choice of tokens."""


def source(kind: str, **options: Any) -> TimmBackbones:
    name, size = NETWORKS[kind]
    torch.manual_seed(0)
    return TimmBackbones(name, size, options={**SMALL, **options})


def images(kind: str, count: int = 2) -> Tensor:
    size = NETWORKS[kind][1]
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def own(kind: str, taken: TokenBackbone) -> Any:
    """timm's network with the same weights, untouched by us."""
    name, size = NETWORKS[kind]
    net = timm.create_model(name, num_classes=0, img_size=size, **SMALL).eval()
    missing, unexpected = net.load_state_dict(taken.net.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith("attn_pool.") for key in missing)
    return net


def slow(net: Any, batch: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Tokens after each block, and the softmax of each, caught at the doors of timm's modules.

    Where a block fuses its attention, `scaled_dot_product_attention` computes it; it is asked for the attention of
    the identity in place of the values, which is the attention itself.
    """
    tokens: list[Tensor] = []
    attention: list[Tensor] = []
    real = nn.functional.scaled_dot_product_attention

    def asked(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        identity = torch.eye(key.shape[2]).expand(*key.shape[:2], -1, -1)
        attention.append(real(query, key, identity, **options))
        return real(query, key, value, **options)

    handles = [block.register_forward_hook(lambda _, __, out: tokens.append(out)) for block in net.blocks]
    nn.functional.scaled_dot_product_attention = asked
    try:
        net.forward_features(batch)
    finally:
        nn.functional.scaled_dot_product_attention = real
        for handle in handles:
            handle.remove()
    return tokens, attention


@pytest.mark.parametrize("kind", NETWORKS)
def test_tokens_and_attention_of_every_block_are_those_of_timms_network(kind: str) -> None:
    taken = source(kind).tokens(after=None, attention=None).eval()
    batch = images(kind)
    with torch.no_grad():
        found = taken(batch)
        tokens, attention = slow(own(kind, taken), batch)
    assert len(attention) == len(tokens) == taken.depth == 3
    count = taken.prefix + taken.grid[0] * taken.grid[1]
    assert found.attention[0].shape == (2, taken.heads, count, count)
    for got, expected in zip((*found.after, *found.attention), (*tokens, *attention), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.attention[0].sum(-1), torch.ones(2, taken.heads, count))


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in WITH_PLACES])
def test_queries_and_keys_give_the_attention_which_stays_fused(kind: str) -> None:
    asked = source(kind).tokens(after=[-1], queries=[0, -1]).eval()
    batch = images(kind)
    with torch.no_grad():
        found = asked(batch)
        tokens, attention = slow(own(kind, asked), batch)
    assert all(block.attn.fused_attn for block in asked.net.blocks)
    for query, key, expected in zip(found.queries, found.keys, (attention[0], attention[2]), strict=True):
        torch.testing.assert_close((query @ key.mT).softmax(dim=-1), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.after[0], tokens[-1], rtol=1e-4, atol=1e-5)


def test_queries_and_keys_are_read_after_their_norms_where_a_network_has_them() -> None:
    asked = source("plain", qk_norm=True).tokens(queries=[0], attention=[0]).eval()
    with torch.no_grad():
        (attention,), (query,), (key,) = asked(images("plain"))[1:]
    torch.testing.assert_close((query @ key.mT).softmax(dim=-1), attention)


@pytest.mark.parametrize("kind", WITH_PLACES)
def test_queries_and_keys_that_lack_places_are_not_given(kind: str) -> None:
    with pytest.raises(BackboneError, match="its queries and keys don't give its attention"):
        source(kind).tokens(queries=[0])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_last_tokens_are_what_timm_calls_features(kind: str) -> None:
    taken = source(kind).tokens(after=[-1]).eval()
    net, batch = own(kind, taken), images(kind)
    net.norm, net.fc_norm = taken.net.norm, nn.Identity()
    with torch.no_grad():
        (last,) = taken(batch).after
        expected = net.forward_features(batch)
        if isinstance(net.norm, nn.Identity):  # normalised after the average
            expected = taken.net.fc_norm(expected)
        torch.testing.assert_close(taken.rest(last), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind not in WITH_PLACES])
@pytest.mark.parametrize("rest", [1, 2])
def test_what_is_left_out_and_the_rest_are_the_whole_network(kind: str, rest: int) -> None:
    taken = source(kind).tokens(after=[-1 - rest], attention=[0], rest=rest).eval()
    batch = images(kind)
    with torch.no_grad():
        (before,) = taken(batch).after
        torch.testing.assert_close(taken.rest(before), own(kind, taken).forward_features(batch), rtol=1e-4, atol=1e-5)
        chosen = before[:, [0, 3, 5]]
        block, norm = taken.net.blocks[3 - rest :], taken.net.norm
        torch.testing.assert_close(taken.rest(chosen), norm(block(chosen)))


@pytest.mark.parametrize("kind", ["plain", "no class token"])
def test_the_rest_handed_over_computes_the_same_and_is_no_longer_the_backbone_s(kind: str) -> None:
    taken = source(kind).tokens(after=[-2], rest=1).eval()
    with torch.no_grad():
        (before,) = taken(images(kind)).after
        whole = taken.rest(before)
        parameters = {id(one) for one in taken.parameters()}
        rest = taken.take_rest()
        torch.testing.assert_close(rest(before), whole, rtol=0, atol=0)
        torch.testing.assert_close(taken(images(kind)).after[0], before, rtol=0, atol=0)
    kept, handed = ({id(one) for one in module.parameters()} for module in (taken, rest))
    assert handed
    assert not kept & handed
    assert kept | handed == parameters


@pytest.mark.parametrize("kind", WITH_PLACES)
def test_blocks_that_know_places_take_no_choice_of_tokens(kind: str) -> None:
    with pytest.raises(BackboneError, match="positions of a whole grid"):
        source(kind).tokens(after=[-2], rest=1)


@pytest.mark.parametrize("kind", ["plain", "relative positions", "rotary and absolute positions"])
def test_blocks_that_are_not_asked_for_their_attention_keep_it_fused(kind: str) -> None:
    taken = source(kind).tokens(after=[0, -1], attention=[1])
    assert [block.attn.fused_attn for block in taken.net.blocks] == [True, False, True]
    found = taken(images(kind))
    assert len(found.after) == 2
    assert len(found.attention) == 1


@pytest.mark.parametrize("kind", ["plain", "registers", "relative positions", "rotary and absolute positions"])
def test_compiled_as_a_whole_it_gives_the_same(kind: str) -> None:
    taken = source(kind).tokens(after=None, attention=None, queries=() if kind in WITH_PLACES else [0])
    batch = images(kind)
    torch._dynamo.reset()

    def loss(batch: Tensor) -> Tensor:
        found = taken(batch)
        outputs = (*found.attention, *found.queries, *found.keys, taken.rest(found.after[-1]))
        return torch.stack([one.square().mean() for one in outputs]).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(gradients(compiled, taken, batch), gradients(loss, taken, batch), rtol=1e-3, atol=1e-6)


def gradients(loss: Callable[[Tensor], Tensor], module: nn.Module, batch: Tensor) -> list[Tensor]:
    learn = [one for one in module.parameters() if one.requires_grad]
    return list(torch.autograd.grad(loss(batch), learn))


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_parameter_learns(kind: str) -> None:
    """A pooling head that no token depends on is dropped."""
    taken = source(kind).tokens(after=[-1])
    (last,) = taken(images(kind)).after
    taken.rest(last).square().sum().backward()
    assert not [name for name, one in taken.named_parameters() if one.grad is None]


def test_it_can_be_copied_before_it_sees_images_and_after() -> None:
    taken = source("plain").tokens(attention=[0], queries=[1]).eval()
    copied = copy.deepcopy(taken)
    found, again = taken(images("plain")), copied(images("plain"))
    assert torch.equal(found.attention[0], again.attention[0])
    assert torch.equal(found.keys[0], copy.deepcopy(taken)(images("plain")).keys[0])


def test_attention_is_read_before_its_dropout_and_in_float32() -> None:
    taken = source("plain", attn_drop_rate=0.5).tokens(attention=[0]).train()
    with torch.autocast("cpu", torch.bfloat16):
        (attention,) = taken(images("plain")).attention
    assert attention.dtype == torch.float32
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]), rtol=0, atol=0.02)


def test_checkpointed_blocks_compute_the_same_and_those_that_are_read_compute_once() -> None:
    plain = source("plain").tokens(after=[-1], attention=[1], queries=[0])
    saving = source("plain")
    saving.checkpointing = True
    checkpointed = saving.tokens(after=[-1], attention=[1], queries=[0])

    def loss(taken: TokenBackbone) -> Callable[[Tensor], Tensor]:
        return lambda batch: torch.stack([one[0].square().mean() for one in taken(batch)]).sum()

    batch = images("plain")
    for module in (plain, checkpointed):
        module.net.norm.requires_grad_(False)
    torch.testing.assert_close(gradients(loss(checkpointed), checkpointed, batch), gradients(loss(plain), plain, batch))


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("test_resnet", {}, "ResNet gives no tokens; choose a vision transformer"),
        ("test_vit", {"after": [6]}, "runs blocks 0 to 5 of its 6; there is no block 6"),
        ("test_vit", {"attention": [-1], "rest": 1}, "runs blocks 0 to 4 of its 6; there is no block -1"),
        ("test_vit", {"rest": 6}, "has 6 blocks; the last 6 can't be left out"),
    ],
)
def test_what_a_network_does_not_have_is_refused(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        TimmBackbones(name, 160).tokens(**asked)


def test_weights_fill_a_network_for_another_image_size_and_what_they_lack_is_told(tmp_path: Any) -> None:
    whole = timm.create_model("test_vit", num_classes=7).state_dict()
    save_file(whole, tmp_path / "test_vit.safetensors")
    taken = TimmBackbones("test_vit", 96, "auto", tmp_path).tokens(after=[-1])
    assert taken.grid == (6, 6)
    patches = whole["pos_embed"][:, 1:].unflatten(1, (10, 10)).permute(0, 3, 1, 2)
    table = nn.functional.interpolate(patches, (6, 6), mode="bicubic", antialias=True).flatten(2).transpose(1, 2)
    torch.testing.assert_close(taken.net.pos_embed[:, 1:], table)
    save_file({key: value for key, value in whole.items() if "blocks.5" not in key}, tmp_path / "test_vit.safetensors")
    with pytest.raises(BackboneError, match="before its last tokens"):
        TimmBackbones("test_vit", 96, "auto", tmp_path).tokens(after=[-1])
