"""TransFG against its statement, block by block on timm's own network, and what its options change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.backbones import BackboneError, TimmBackbones
from methods.transfg.model import TransFG

SIZE, CLASSES = 96, 5
SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 4}


def make(network: str = "vit_tiny_patch16_224", size: int = SIZE, **options: Any) -> TransFG:
    torch.manual_seed(0)
    return TransFG(TimmBackbones(network, size, options=SMALL), CLASSES, **options).eval()


def images(count: int = 3, size: int = SIZE) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def attention_of(block: Any, tokens: Tensor) -> Tensor:
    """Softmax attention `(B, heads, N, N)` of a timm block."""
    layer = block.attn
    query, key, _ = layer.qkv(block.norm1(tokens)).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1)


def slow_selection(method: TransFG, batch: Tensor) -> tuple[Tensor, list[list[int]]]:
    """Tokens before the last block, and each head's patch, from the whole product of the maps."""
    net = method.backbone.net
    tokens = net._pos_embed(net.patch_embed(batch))
    product = None
    for block in net.blocks:
        attention = attention_of(block, tokens)
        product = attention if product is None else attention @ product
        tokens = block(tokens)
    rows = [[[float(value) for value in head[0, 1:]] for head in image] for image in product]
    return tokens, [[max(range(len(row)), key=row.__getitem__) for row in image] for image in rows]


def slow_class_tokens(method: TransFG, batch: Tensor) -> Tensor:
    tokens, selected = slow_selection(method, batch)
    last, vectors = method.last, []
    for image, patches in zip(tokens, selected, strict=True):
        parts = torch.stack([image[0], *(image[1 + patch] for patch in patches)])[None]
        vectors.append(last.norm(last.blocks(parts))[0, 0])
    return torch.stack(vectors)


def test_the_class_token_is_classified_after_a_block_on_the_patches_that_heads_select() -> None:
    method, batch = make(), images()
    with torch.no_grad():
        vectors = slow_class_tokens(method, batch)
        torch.testing.assert_close(method(batch), vectors @ method.head.weight.mT + method.head.bias)


def test_losses_are_cross_entropy_and_contrast_of_class_tokens() -> None:
    method, batch, labels = make(), images(4), torch.tensor([0, 1, 1, 2])
    with torch.no_grad():
        vectors = slow_class_tokens(method, batch)
        found = method.losses(batch, labels)
    log_p = (vectors @ method.head.weight.mT + method.head.bias).log_softmax(dim=1)
    expected = -sum(log_p[i, label].item() for i, label in enumerate(labels)) / 4
    contrast = 0.0
    for i in range(4):
        for j in range(4):
            cosine = float(F.cosine_similarity(vectors[i], vectors[j], dim=0))
            contrast += 1 - cosine if labels[i] == labels[j] else max(cosine - 0.4, 0)
    assert found["cross_entropy"].item() == pytest.approx(expected, rel=1e-4)
    assert found["contrast"].item() == pytest.approx(contrast / 16, rel=1e-4)


def test_without_a_margin_there_is_cross_entropy_alone_and_smoothing_spreads_the_labels() -> None:
    batch, labels = images(), torch.tensor([0, 1, 2])
    method = make(margin=None, smoothing=0.2)
    log_p = method(batch).log_softmax(dim=1)
    expected = -sum(0.8 * log_p[i, label] + 0.2 * log_p[i].mean() for i, label in enumerate(labels)) / 3
    found = method.losses(batch, labels)
    assert list(found) == ["cross_entropy"]
    torch.testing.assert_close(found["cross_entropy"], expected)


def test_each_map_peaks_at_the_patch_that_its_head_selects_and_the_image_shows_it() -> None:
    method, batch = make(), images()
    with torch.no_grad():
        _, selected = slow_selection(method, batch)
        maps, shown = method.attention(batch), method.explain(batch)["selected patches"]
    assert maps.shape == (3, 4, 6, 6)
    assert maps.flatten(2).argmax(dim=2).tolist() == selected
    for image, patches in enumerate(selected):
        whole = (shown[image] == batch[image]).all(dim=0).unflatten(0, (6, 16)).unflatten(2, (6, 16))
        assert set(whole.all(dim=3).all(dim=1).flatten().nonzero().flatten().tolist()) == set(patches)


def test_with_all_tokens_it_is_the_plain_network() -> None:
    method, batch = make(selection="all"), images()
    net = copy.deepcopy(method.backbone.net)
    with torch.no_grad():
        tokens = method.last(net.blocks(net._pos_embed(net.patch_embed(batch))))
        torch.testing.assert_close(method(batch), method.head(tokens[:, 0]))
    assert method.attention(batch) is None
    assert method.explain(batch) == {}


def test_random_patches_are_an_image_s_own_and_differ_between_images() -> None:
    method, batch = make(selection="random"), images(6)
    maps = method.attention(batch)
    assert maps.sum().item() == 6 * 4
    assert torch.equal(method.attention(batch[2:4]), maps[2:4])
    assert len({tuple(one.flatten(1).argmax(dim=1).tolist()) for one in maps}) == 6
    with torch.no_grad():
        torch.testing.assert_close(method(batch[2:4]), method(batch)[2:4])


def test_a_block_that_starts_anew_loses_its_weights_and_keeps_the_norm() -> None:
    pretrained, fresh = make(), make(anew=True)
    for method in (pretrained, fresh):
        torch.nn.init.constant_(method.last.norm.weight, 1.0)
    assert torch.equal(pretrained.backbone.net.blocks[0].mlp.fc1.weight, fresh.backbone.net.blocks[0].mlp.fc1.weight)
    assert not torch.equal(pretrained.last.blocks[0].mlp.fc1.weight, fresh.last.blocks[0].mlp.fc1.weight)
    torch.manual_seed(0)
    source = TimmBackbones("vit_tiny_patch16_224", SIZE, options=SMALL)
    tokens = source.tokens

    def marked(**options: Any) -> Any:
        made = tokens(**options)
        torch.nn.init.constant_(made.net.norm.weight, 3.0)
        return made

    source.tokens = marked
    assert torch.equal(TransFG(source, CLASSES, anew=True).last.norm.weight, torch.full((32,), 3.0))


def test_registers_and_distillation_tokens_go_on_and_are_never_selected() -> None:
    method, batch = make("deit_base_distilled_patch16_224"), images()
    with torch.no_grad():
        assert method.attention(batch).shape == (3, 4, 6, 6)
        seen = method.backbone(batch)
        patches = seen.after[0][:, 2:]
        chosen = method.attention(batch).flatten(2).argmax(dim=2)
        parts = torch.stack([image[places] for image, places in zip(patches, chosen, strict=True)])
        tokens = method.last(torch.cat([seen.after[0][:, :2], parts], dim=1))
        torch.testing.assert_close(method(batch), method.head(tokens[:, 0]))


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="selection is 'best'"):
        make(selection="best")
    with pytest.raises(ValueError, match=r"smoothing is 1\.5"):
        make(smoothing=1.5)
    with pytest.raises(BackboneError, match="has no class token"):
        make("vit_base_patch16_siglip_224")
    with pytest.raises(BackboneError, match="positions of a whole grid"):
        make("beit_base_patch16_224")
