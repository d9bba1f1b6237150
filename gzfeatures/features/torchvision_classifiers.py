"""List every torchvision classifier as a backbone, without importing torchvision.

Images are resized and normalised as torchvision does it for these weights, but not cropped: the
network gets the whole cutout. `test_torchvision_classifiers.py` compares the list with torchvision.
"""

from __future__ import annotations

import dataclasses

HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation of networks that came from TensorFlow.

torchvision normalises the input of inception_v3 a second time inside the network; here it is
normalised once.
"""


@dataclasses.dataclass(frozen=True)
class TorchvisionClassifier:
    """Store the facts on one torchvision classifier: constructor, weights, layer and input size.

    Parameters
    ----------
    architecture : str
        Constructor in torchvision.models.
    file : str
        Name of its weights file, which ends in the first digits of the file's sha256.
    layer : str
        Node before the output layer; its flattened output is the vector. SqueezeNet has no such
        vector: there it is the pooled outputs of the last layer.
    dim : int
        Length of the vector.
    member : str
        Member of torchvision's enum of weights.
    size : int
        Side of the images in px.
    interpolation : {"bilinear", "bicubic"}
    mean, std : three floats
        Normalisation of pixels in [0, 1].
    """

    architecture: str
    file: str
    layer: str
    dim: int
    member: str = "IMAGENET1K_V1"
    size: int = 224
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


_ALL = (
    TorchvisionClassifier("alexnet", "alexnet-owt-7be5be79.pth", "classifier.5", 4096),
    TorchvisionClassifier("convnext_base", "convnext_base-6075fbad.pth", "classifier.1", 1024),
    TorchvisionClassifier("convnext_large", "convnext_large-ea097f82.pth", "classifier.1", 1536),
    TorchvisionClassifier("convnext_small", "convnext_small-0c510722.pth", "classifier.1", 768),
    TorchvisionClassifier("convnext_tiny", "convnext_tiny-983f1562.pth", "classifier.1", 768),
    TorchvisionClassifier("densenet121", "densenet121-a639ec97.pth", "flatten", 1024),
    TorchvisionClassifier("densenet161", "densenet161-8d451a50.pth", "flatten", 2208),
    TorchvisionClassifier("densenet169", "densenet169-b2777c0a.pth", "flatten", 1664),
    TorchvisionClassifier("densenet201", "densenet201-c1103571.pth", "flatten", 1920),
    TorchvisionClassifier(
        "efficientnet_b0",
        "efficientnet_b0_rwightman-7f5810bc.pth",
        "classifier.0",
        1280,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b1",
        "efficientnet_b1_rwightman-bac287d4.pth",
        "classifier.0",
        1280,
        size=240,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b2",
        "efficientnet_b2_rwightman-c35c1473.pth",
        "classifier.0",
        1408,
        size=288,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b3",
        "efficientnet_b3_rwightman-b3899882.pth",
        "classifier.0",
        1536,
        size=300,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b4",
        "efficientnet_b4_rwightman-23ab8bcd.pth",
        "classifier.0",
        1792,
        size=380,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b5",
        "efficientnet_b5_lukemelas-1a07897c.pth",
        "classifier.0",
        2048,
        size=456,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b6",
        "efficientnet_b6_lukemelas-24a108a5.pth",
        "classifier.0",
        2304,
        size=528,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_b7",
        "efficientnet_b7_lukemelas-c5b4e57e.pth",
        "classifier.0",
        2560,
        size=600,
        interpolation="bicubic",
    ),
    TorchvisionClassifier(
        "efficientnet_v2_l",
        "efficientnet_v2_l-59c71312.pth",
        "classifier.0",
        1280,
        size=480,
        interpolation="bicubic",
        mean=HALF,
        std=HALF,
    ),
    TorchvisionClassifier(
        "efficientnet_v2_m", "efficientnet_v2_m-dc08266a.pth", "classifier.0", 1280, size=480
    ),
    TorchvisionClassifier(
        "efficientnet_v2_s", "efficientnet_v2_s-dd5fe13b.pth", "classifier.0", 1280, size=384
    ),
    TorchvisionClassifier("googlenet", "googlenet-1378be20.pth", "dropout", 1024),
    TorchvisionClassifier(
        "inception_v3",
        "inception_v3_google-0cc3c7bd.pth",
        "flatten",
        2048,
        size=299,
        mean=HALF,
        std=HALF,
    ),
    TorchvisionClassifier(
        "maxvit_t", "maxvit_t-bc5ab103.pth", "classifier.4", 512, interpolation="bicubic"
    ),
    TorchvisionClassifier(
        "mnasnet0_5", "mnasnet0.5_top1_67.823-3ffadce67e.pth", "classifier.0", 1280
    ),
    TorchvisionClassifier("mnasnet0_75", "mnasnet0_75-7090bc5f.pth", "classifier.0", 1280),
    TorchvisionClassifier(
        "mnasnet1_0", "mnasnet1.0_top1_73.512-f206786ef8.pth", "classifier.0", 1280
    ),
    TorchvisionClassifier("mnasnet1_3", "mnasnet1_3-a4c69d6f.pth", "classifier.0", 1280),
    TorchvisionClassifier("mobilenet_v2", "mobilenet_v2-b0353104.pth", "classifier.0", 1280),
    TorchvisionClassifier(
        "mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth", "classifier.2", 1280
    ),
    TorchvisionClassifier(
        "mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth", "classifier.2", 1024
    ),
    TorchvisionClassifier("regnet_x_16gf", "regnet_x_16gf-2007eb11.pth", "flatten", 2048),
    TorchvisionClassifier("regnet_x_1_6gf", "regnet_x_1_6gf-e3633e7f.pth", "flatten", 912),
    TorchvisionClassifier("regnet_x_32gf", "regnet_x_32gf-9d47f8d0.pth", "flatten", 2520),
    TorchvisionClassifier("regnet_x_3_2gf", "regnet_x_3_2gf-f342aeae.pth", "flatten", 1008),
    TorchvisionClassifier("regnet_x_400mf", "regnet_x_400mf-adf1edd5.pth", "flatten", 400),
    TorchvisionClassifier("regnet_x_800mf", "regnet_x_800mf-ad17e45c.pth", "flatten", 672),
    TorchvisionClassifier("regnet_x_8gf", "regnet_x_8gf-03ceed89.pth", "flatten", 1920),
    TorchvisionClassifier(
        "regnet_y_128gf",
        "regnet_y_128gf_swag-c8ce3e52.pth",
        "flatten",
        7392,
        member="IMAGENET1K_SWAG_E2E_V1",
        size=384,
        interpolation="bicubic",
    ),
    TorchvisionClassifier("regnet_y_16gf", "regnet_y_16gf-9e6ed7dd.pth", "flatten", 3024),
    TorchvisionClassifier("regnet_y_1_6gf", "regnet_y_1_6gf-b11a554e.pth", "flatten", 888),
    TorchvisionClassifier("regnet_y_32gf", "regnet_y_32gf-4dee3f7a.pth", "flatten", 3712),
    TorchvisionClassifier("regnet_y_3_2gf", "regnet_y_3_2gf-b5a9779c.pth", "flatten", 1512),
    TorchvisionClassifier("regnet_y_400mf", "regnet_y_400mf-c65dace8.pth", "flatten", 440),
    TorchvisionClassifier("regnet_y_800mf", "regnet_y_800mf-1b27b58c.pth", "flatten", 784),
    TorchvisionClassifier("regnet_y_8gf", "regnet_y_8gf-d0d0e4a8.pth", "flatten", 2016),
    TorchvisionClassifier("resnet101", "resnet101-63fe2227.pth", "flatten", 2048),
    TorchvisionClassifier("resnet152", "resnet152-394f9c45.pth", "flatten", 2048),
    TorchvisionClassifier("resnet18", "resnet18-f37072fd.pth", "flatten", 512),
    TorchvisionClassifier("resnet34", "resnet34-b627a593.pth", "flatten", 512),
    TorchvisionClassifier("resnet50", "resnet50-0676ba61.pth", "flatten", 2048),
    TorchvisionClassifier("resnext101_32x8d", "resnext101_32x8d-8ba56ff5.pth", "flatten", 2048),
    TorchvisionClassifier("resnext101_64x4d", "resnext101_64x4d-173b62eb.pth", "flatten", 2048),
    TorchvisionClassifier("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", "flatten", 2048),
    TorchvisionClassifier("shufflenet_v2_x0_5", "shufflenetv2_x0.5-f707e7126e.pth", "mean", 1024),
    TorchvisionClassifier("shufflenet_v2_x1_0", "shufflenetv2_x1-5666bf0f80.pth", "mean", 1024),
    TorchvisionClassifier("shufflenet_v2_x1_5", "shufflenetv2_x1_5-3c479a10.pth", "mean", 1024),
    TorchvisionClassifier("shufflenet_v2_x2_0", "shufflenetv2_x2_0-8be3c8ee.pth", "mean", 2048),
    TorchvisionClassifier("squeezenet1_0", "squeezenet1_0-b66bff10.pth", "classifier.3", 1000),
    TorchvisionClassifier("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", "classifier.3", 1000),
    TorchvisionClassifier(
        "swin_b", "swin_b-68c6b09e.pth", "flatten", 1024, interpolation="bicubic"
    ),
    TorchvisionClassifier("swin_s", "swin_s-5e29d889.pth", "flatten", 768, interpolation="bicubic"),
    TorchvisionClassifier("swin_t", "swin_t-704ceda3.pth", "flatten", 768, interpolation="bicubic"),
    TorchvisionClassifier(
        "swin_v2_b", "swin_v2_b-781e5279.pth", "flatten", 1024, size=256, interpolation="bicubic"
    ),
    TorchvisionClassifier(
        "swin_v2_s", "swin_v2_s-637d8ceb.pth", "flatten", 768, size=256, interpolation="bicubic"
    ),
    TorchvisionClassifier(
        "swin_v2_t", "swin_v2_t-b137f0e2.pth", "flatten", 768, size=256, interpolation="bicubic"
    ),
    TorchvisionClassifier("vgg11", "vgg11-8a719046.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg11_bn", "vgg11_bn-6002323d.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg13", "vgg13-19584684.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg13_bn", "vgg13_bn-abd245e5.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg16", "vgg16-397923af.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg16_bn", "vgg16_bn-6c64b313.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg19", "vgg19-dcbb9e9d.pth", "classifier.5", 4096),
    TorchvisionClassifier("vgg19_bn", "vgg19_bn-c79401a0.pth", "classifier.5", 4096),
    TorchvisionClassifier("vit_b_16", "vit_b_16-c867db91.pth", "getitem_5", 768),
    TorchvisionClassifier("vit_b_32", "vit_b_32-d86f8d99.pth", "getitem_5", 768),
    TorchvisionClassifier(
        "vit_h_14",
        "vit_h_14_swag-80465313.pth",
        "getitem_5",
        1280,
        member="IMAGENET1K_SWAG_E2E_V1",
        size=518,
        interpolation="bicubic",
    ),
    TorchvisionClassifier("vit_l_16", "vit_l_16-852ce7e3.pth", "getitem_5", 1024),
    TorchvisionClassifier("vit_l_32", "vit_l_32-c7638314.pth", "getitem_5", 1024),
    TorchvisionClassifier("wide_resnet101_2", "wide_resnet101_2-32ee1156.pth", "flatten", 2048),
    TorchvisionClassifier("wide_resnet50_2", "wide_resnet50_2-95faca4d.pth", "flatten", 2048),
)

CLASSIFIERS: dict[str, TorchvisionClassifier] = {
    each.architecture.replace("_", "-"): each for each in _ALL
}
"""TorchvisionClassifier of each name, with hyphens."""
