"""Backbones: the maps they give, and what a Swin attends to, against formulas that spell it out."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import set_fused_attn
from torch import Tensor, nn
from torch.nn import functional as F

from methods import interface
from methods.backbones import Backbone, BackboneError, TimmBackbones
from methods.transformers.swin_attention import attend, last_stage

TINY = {"embed_dim": 16, "depths": (1, 1, 2, 2), "num_heads": (1, 2, 2, 4), "window_size": 3}
PADDED = {**TINY, "window_size": 2}  # 3 × 3 positions in 2 × 2 windows: padding, and a shift in every second block


def swin(taps: list[interface.Tap], name: str = "swin_tiny_patch4_window7_224", **options: object) -> Backbone:
    torch.manual_seed(0)
    return TimmBackbones(name, 96, options={**TINY, **options}).features(taps).eval()


def matrix(probabilities: Tensor, size: tuple[int, int], window: tuple[int, int], shift: tuple[int, int]) -> Tensor:
    """One image's attention `(windows, heads, n, n)` as `(heads, h · w, h · w)`, a query and a key at a time."""
    (h, w), (wh, ww) = size, window
    across = math.ceil(w / ww)
    full = probabilities.new_zeros(probabilities.shape[1], h * w, h * w)

    def place(row: int, column: int) -> tuple[int, int]:
        """Window, and place in it, of a position, after the roll."""
        row, column = (row - shift[0]) % h, (column - shift[1]) % w
        return row // wh * across + column // ww, row % wh * ww + column % ww

    for query in range(h * w):
        for key in range(h * w):
            window_of_query, i = place(*divmod(query, w))
            window_of_key, j = place(*divmod(key, w))
            if window_of_query == window_of_key:
                full[:, query, key] = probabilities[window_of_query, :, i, j]
    return full


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_attend_is_a_row_vector_times_the_attention_matrix(data: st.DataObject) -> None:
    size, window = (tuple(data.draw(st.integers(1, high)) for _ in range(2)) for high in (6, 4))
    shift = tuple(data.draw(st.integers(0, one - 1)) for one in window)
    heads, batch = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    windows = math.ceil(size[0] / window[0]) * math.ceil(size[1] / window[1])
    n = window[0] * window[1]
    torch.manual_seed(data.draw(st.integers(0, 9)))
    probabilities = torch.randn(batch * windows, heads, n, n).softmax(-1)
    flow = torch.rand(batch, heads, *size)
    got = attend(flow, probabilities, window, shift)
    for image in range(batch):
        slow = matrix(probabilities[image * windows : (image + 1) * windows], size, window, shift)
        expected = torch.einsum("mq,mqk->mk", flow[image].flatten(1), slow).view(heads, *size)
        torch.testing.assert_close(got[image], expected)


def test_attention_is_the_mean_over_queries_of_the_last_blocks_softmax() -> None:
    backbone = swin(["attention"])
    attention = last_stage(backbone.net)[-1].attn
    inputs: list[Tensor] = []
    attention.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    (got,) = backbone(torch.randn(2, 3, 96, 96))
    heads = attention.num_heads
    query, key, _ = attention.qkv(inputs[0]).view(2, 9, 3, heads, -1).permute(2, 0, 3, 1, 4)
    table = attention.relative_position_bias_table[attention.relative_position_index].permute(2, 0, 1)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5 + table
    torch.testing.assert_close(got, scores.softmax(dim=-1).mean(dim=2).view(2, heads, 3, 3))


@pytest.mark.parametrize("options", [TINY, PADDED])
def test_rollout_is_the_mean_over_queries_of_the_product_of_the_stages_matrices(options: dict[str, object]) -> None:
    backbone = swin(["attention", "attention_rollout"], **options)
    blocks, kept = last_stage(backbone.net), []
    for block in blocks:
        block.attn.softmax.register_forward_hook(lambda _module, _arguments, out: kept.append(out))
    last, rollout = backbone(torch.randn(1, 3, 96, 96))
    first, second = (
        matrix(probabilities, (3, 3), block.window_size, block.shift_size)
        for probabilities, block in zip(kept, blocks, strict=True)
    )
    torch.testing.assert_close(last, second.mean(dim=1).view_as(last))
    torch.testing.assert_close(rollout, (second @ first).mean(dim=1).view_as(rollout))


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
def test_reading_attention_leaves_the_features_as_they_are(name: str) -> None:
    images = torch.randn(2, 3, 96, 96)
    taps: list[interface.Tap] = [8, 32, "final"]
    with_attention = swin([*taps, "attention"], name)
    *features, attention = with_attention(images)
    assert with_attention.channels == (32, 128, 128, 4)
    assert attention.shape == (2, 4, 3, 3)
    torch.testing.assert_close(attention.sum(dim=(2, 3)), torch.ones(2, 4))
    for got, expected in zip(features, swin(taps, name)(images), strict=True):
        assert torch.equal(got, expected)


def test_nothing_is_kept_once_it_is_read() -> None:
    backbone = swin(["final", "attention"])
    backbone(torch.randn(1, 3, 96, 96))[0].sum().backward()
    assert all(block.attn.softmax.kept is None for block in last_stage(backbone.net))
    copy.deepcopy(backbone)  # fails on tensors that hang in a graph


def test_timms_fused_attention_gives_the_same_maps() -> None:
    images = torch.randn(2, 3, 96, 96)
    taps: list[interface.Tap] = [32, "attention"]
    plain = swin(taps)(images)
    set_fused_attn(True, experimental=True)
    try:
        fused = swin(taps)
    finally:
        set_fused_attn(True)
    assert fused.net.layers[0].blocks[0].attn.fused_attn
    torch.testing.assert_close(fused(images), plain)


def test_a_swin_on_a_gpu_attends_by_fused_kernels_except_where_its_attention_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights that pass for a GPU's: a CPU runs the same call of torch."""
    backbone, images = swin([32, "attention"]), torch.randn(2, 3, 96, 96)
    *early, last = ([block.attn for block in layer.blocks] for layer in backbone.net.layers)
    plain = backbone(images)
    with monkeypatch.context() as patch:
        patch.setattr(nn.Parameter, "is_cuda", True, raising=False)
        backbone.to("cpu")
    assert all(attention.fused_attn for stage in early for attention in stage)
    assert not any(attention.fused_attn for attention in last)
    torch.testing.assert_close(backbone(images), plain)
    backbone.to("cpu")
    assert not any(attention.fused_attn for stage in early for attention in stage)


def test_attention_compiles_without_a_graph_break() -> None:
    backbone = swin([16, "final", "attention"], **PADDED)
    images = torch.randn(2, 3, 96, 96)
    compiled = torch.compile(backbone, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), backbone(images))


@pytest.mark.parametrize(("name", "stride"), [("test_resnet", 16), ("test_convnext", 16), ("test_vit", 8)])
def test_a_network_without_windows_is_refused_with_the_reason(name: str, stride: int) -> None:
    """Also where it lacks the stride too, as a network of one resolution does."""
    with pytest.raises(BackboneError, match="is no Swin Transformer"):
        TimmBackbones(name, 96).features([stride, "attention"])


@pytest.mark.parametrize("name", ["crossvit_9_240", "efficientformer_l1", "coat_lite_mini"])
def test_a_network_that_gives_no_maps_is_refused_in_one_line(name: str) -> None:
    """Whatever timm's code stumbles over: grids of two sizes, tables of another image size, features in a list."""
    with pytest.raises(BackboneError, match=r"gives no maps at \['final'\] of an image of \d+ px \(.*take another tap"):
        TimmBackbones(name, 96).features(["final"])


def test_maps_of_vgg16_are_those_that_papers_name() -> None:
    """Of each stride the deepest: relu4_3 before its pooling, relu5_3, pool5."""
    maps = TimmBackbones("vgg16", 32).features([8, 16, 32]).eval()(torch.randn(1, 3, 32, 32))
    assert [one.shape for one in maps] == [(1, 512, 4, 4), (1, 512, 2, 2), (1, 512, 1, 1)]
    assert all((one >= 0).all() for one in maps)
    torch.testing.assert_close(maps[2], F.max_pool2d(maps[1], 2))


@pytest.mark.parametrize("name", ["levit_128s", "test_vit", "test_mambaout"])
def test_final_features_of_any_layout_become_a_map(name: str) -> None:
    backbone = TimmBackbones(name, 96).features(["final"]).eval()
    (got,) = backbone(torch.randn(2, 3, 96, 96))
    assert got.shape[:2] == (2, backbone.channels[0])
    assert got.shape[2] == got.shape[3] > 1


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_resnet", 96),  # average pooling
        ("mobilenetv3_small_050", 96),  # layers behind the pooling
        ("test_convnext", 96),  # a norm behind it
        ("swin_tiny_patch4_window7_224", 96),
        ("test_vit", 160),  # class token
        ("deit_tiny_distilled_patch16_224", 96),  # two of them
        ("vit_base_patch16_siglip_224", 32),  # attention pooling
        ("levit_128s", 96),
    ],
)
def test_pooled_is_what_timm_s_own_classifier_reads(name: str, size: int) -> None:
    torch.manual_seed(0)
    options = TINY if name.startswith("swin") else {"depth": 1} if "siglip" in name else {}
    backbone = TimmBackbones(name, size, options=options).features(["pooled", "classified", "final"]).eval()
    images = torch.randn(2, 3, size, size)
    pooled, classified, final = backbone(images)
    whole = backbone.net
    expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
    assert pooled.shape == (*expected.shape, 1, 1)
    torch.testing.assert_close(pooled[:, :, 0, 0], expected)
    tokens = whole.forward_features(images).ndim == 3
    assert torch.equal(classified, pooled if tokens else final)


def test_pooled_stands_beside_maps_of_strides() -> None:
    source = TimmBackbones("test_resnet", 96)
    torch.manual_seed(0)
    stride, pooled = source.features([16, "pooled"]).eval()(images := torch.randn(2, 3, 96, 96))
    torch.manual_seed(0)
    expected, final = source.features([16, "final"]).eval()(images)
    torch.testing.assert_close(stride, expected)
    torch.testing.assert_close(pooled, final.mean(dim=(2, 3), keepdim=True))


def test_what_a_network_runs_through_for_nothing_stays_in_it() -> None:
    """HRNet's last stage walks over its parts, which stride 16 does not depend on."""
    images = torch.randn(1, 3, 64, 64)
    (got,) = TimmBackbones("hrnet_w18_small", 64).features([16]).eval()(images)
    assert got.shape == (1, 512, 4, 4)


def test_a_method_can_raise_the_error_of_the_backbones_without_knowing_them() -> None:
    assert BackboneError is interface.BackboneError


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"])
@pytest.mark.parametrize(
    "taps", [["merged_8", "merged_16", "merged_32"], [f"layers.{i}.downsample" for i in (1, 2, 3)]]
)
def test_a_swin_s_maps_behind_its_merged_patches_are_taps_by_stride_and_by_module(name: str, taps: list[str]) -> None:
    """PIM reads each stage there: timm merges patches where a stage begins, other code where one ends."""
    torch.manual_seed(0)
    whole = TimmBackbones(name, 96, options=TINY).features(["final"]).net.eval()
    merged: list[Tensor] = []
    for stage in whole.layers[1:]:
        stage.downsample.register_forward_hook(lambda _, __, out: merged.append(out.permute(0, 3, 1, 2)))
    torch.manual_seed(0)
    cut = TimmBackbones(name, 96, options=TINY).features(taps).eval()
    assert cut.channels == (32, 64, 128)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        found = cut(images)
        whole.forward_features(images)
    assert [tuple(one.shape[2:]) for one in found] == [(12, 12), (6, 6), (3, 3)]
    for got, expected in zip(found, merged, strict=True):
        torch.testing.assert_close(got, expected)
    assert cut.sizes() == ((12, 12), (6, 6), (3, 3))


def test_merged_patches_are_read_beside_the_last_stage_before_its_norm_and_with_blocks_checkpointed() -> None:
    plain, checkpointed = (
        TimmBackbones("swin_tiny_patch4_window7_224", 96, options=TINY, checkpointing=on) for on in (False, True)
    )
    taps, images = ["merged_16", 32], torch.randn(2, 3, 96, 96)
    torch.manual_seed(0)
    cut = plain.features(taps)
    torch.manual_seed(0)
    again = checkpointed.features(taps)
    assert isinstance(cut.net.norm, torch.nn.Identity)
    for net in (cut, again):
        torch.stack([one.square().mean() for one in net.eval()(images)]).sum().backward()
    for left, right in zip(cut.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad)


def test_merged_patches_of_another_network_are_refused() -> None:
    with pytest.raises(BackboneError, match="no merged patches"):
        TimmBackbones("test_resnet", 96, options={}).features(["merged_8", 16])


def test_sizes_are_those_of_the_maps_of_an_image_of_the_run_s_size_and_change_nothing() -> None:
    backbone = TimmBackbones("test_resnet", 200, options={}).features([8, "final"]).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert backbone.sizes() == tuple(tuple(one.shape[2:]) for one in backbone.eval()(torch.zeros(1, 3, 200, 200)))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_method_is_told_its_network_without_the_tag_of_its_weights() -> None:
    source = TimmBackbones("test_resnet.r160_in1k", 96, options={})
    assert source.name == "test_resnet"
    source.second_options = {"test_resnet": {"stem_type": "not one"}}  # of a further network, which this is not
    assert source.features([16], source.name).channels == source.features([16]).channels
