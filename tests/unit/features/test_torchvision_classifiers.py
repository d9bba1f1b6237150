"""Every classifier of torchvision is a backbone by its name, as torchvision describes it."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from gzfeatures.features.backbones import BACKBONES, backbone, torchvision_backbone
from gzfeatures.features.torchvision_classifiers import CLASSIFIERS, HALF
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.spec import extractor_of
from gzfeatures.networks.models.load import layer_dim, load

CONVERTED = ("googlenet", "inception_v3")
"""Networks from TensorFlow, whose input torchvision normalises once more inside."""


def test_the_list_is_that_of_the_installed_torchvision() -> None:
    assert sorted(CLASSIFIERS) == sorted(
        name.replace("_", "-") for name in models.list_models(module=models)
    )
    for entry in CLASSIFIERS.values():
        weights = models.get_model_weights(entry.architecture)[entry.member]
        transforms = weights.transforms()
        assert weights.url == f"https://download.pytorch.org/models/{entry.file}"
        assert (entry.size, entry.interpolation) == (
            transforms.crop_size[0],
            transforms.interpolation.value,
        )
        if entry.architecture not in CONVERTED:
            assert (list(entry.mean), list(entry.std)) == (transforms.mean, transforms.std)
    assert CLASSIFIERS["inception-v3"].mean == HALF


def test_hyphens_and_underscores_are_one_name_and_names_of_before_keep_their_layer() -> None:
    assert backbone("vit_b_16") == backbone("vit-b-16") == torchvision_backbone("ViT-B-16")
    assert backbone("convnext_tiny").view == View()
    assert backbone("efficientnet-b1").view == View(size=240, interpolation="bicubic")
    assert backbone("mobilenet_v2") == BACKBONES["mobilenet-v2"]
    assert backbone("resnet50").layer == "avgpool"


@pytest.mark.parametrize(
    "name", ["squeezenet1-1", "shufflenet-v2-x0-5", "regnet-y-400mf", "efficientnet-b0"]
)
def test_vectors_have_the_length_that_the_list_says(name: str) -> None:
    spec = backbone(name)
    assert layer_dim(spec, spec.layer, spec.view.size) == spec.dim
    network = load(spec, "none", spec.layer)
    with torch.inference_mode():
        side = spec.view.size
        assert network(torch.zeros(1, 3, side, side)).shape == (1, spec.dim)


def test_a_bicubic_view_has_another_key_and_a_bilinear_one_the_key_of_before() -> None:
    view = View(size=32)
    assert "interpolation" not in view.asdict() and View(**view.asdict()) == view
    bicubic = View.parse("size=32,interpolation=bicubic")
    assert View(**bicubic.asdict()) == bicubic
    keys = {
        extractor_of("resnet18", weights="none", view=each).fingerprint for each in (view, bicubic)
    }
    assert len(keys) == 2
    before = "6f0c2036"  # first digits of the key that stores of earlier versions hold
    assert extractor_of("resnet18", weights="none", view=view).fingerprint.startswith(before)
