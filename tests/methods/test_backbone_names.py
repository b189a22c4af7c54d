"""Networks are named as papers write them."""

import pytest

from methods.backbone_names import display_name


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("resnet50", "ResNet-50"),
        ("resnext101_32x8d", "ResNeXt-101 32x8d"),
        ("vgg16", "VGG-16"),
        ("vgg16_bn", "VGG-16-BN"),
        ("densenet161", "DenseNet-161"),
        ("inception_v3", "Inception-v3"),
        ("tf_efficientnet_lite0", "EfficientNet-Lite0"),
        ("efficientnet_b3", "EfficientNet-B3"),
        ("mobilenetv2_100", "MobileNetV2"),
        ("mobilenetv2_140", "MobileNetV2 ×1.4"),
        ("convnext_base", "ConvNeXt-B"),
        ("vit_base_patch16_224", "ViT-B/16"),
        ("vit_tiny_patch16_224", "ViT-Ti/16"),
        ("vit_giant_patch14_dinov2", "DINOv2 ViT-g/14"),
        ("vit_gigantic_patch14_clip_224", "CLIP ViT-G/14"),
        ("swin_base_patch4_window12_384", "Swin-B"),
    ],
)
def test_a_network_is_named_as_papers_write_it(network: str, name: str) -> None:
    assert display_name(network) == name


@pytest.mark.parametrize("network", ["test_resnet", "resnet50_gn", "resnet50d", "", "vit_base_patch16_rpn_224"])
def test_a_network_of_no_known_form_keeps_its_id(network: str) -> None:
    assert display_name(network) == network
