from __future__ import annotations

import pytest
import torch
from torch import nn

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.networks.models import architectures


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "published"),
    [
        ("tomi", 2, 2_601_153),
        ("tomi", 4, 3_454_660),
        ("tomi", 8, 3_456_712),
        ("hazra-2", 3, 671_939),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, classes: int, published: int) -> None:
    assert parameters(architectures.build(name, classes)) == published


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_every_network_gives_one_logit_per_class_and_an_embedding(name: str) -> None:
    network = architectures.NETWORKS[name]
    classes = 37 if name == "galaxyid" else 2
    module = architectures.build(name, classes).eval()
    size = architectures.size_of(name, classes)
    assert module(torch.rand(2, network.bands, size, size)).shape == (2, classes)
    assert architectures.width_of(module, "embedding", network.bands, size) == network.layers[-1][
        1
    ] or name in (
        "galaxyid",
        "engel",
    )
    assert network.source


def test_two_classes_share_one_sigmoid_where_published() -> None:
    module = architectures.build("tomi", 2).eval()
    logits = module(torch.rand(3, 3, 128, 128))
    assert torch.equal(logits[:, 0], torch.zeros(3))
    assert torch.allclose(logits.softmax(1)[:, 1], torch.sigmoid(logits[:, 1]))


def test_a_grey_network_takes_any_bands_and_sees_their_mean() -> None:
    module = architectures.build("galaxyid", 37, bands=3).eval()
    grey = torch.rand(1, 1, 64, 64)
    assert torch.allclose(module(grey), module(grey.expand(1, 3, 64, 64)), atol=1e-6)


@pytest.mark.parametrize("bands", [1, 5])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet-v2", "hazra-2"])
def test_any_number_of_bands(name: str, bands: int) -> None:
    module = architectures.build(name, 3, bands).eval()
    size = 150 if name == "hazra-2" else 32
    assert module(torch.rand(1, bands, size, size)).shape == (1, 3)


@pytest.mark.parametrize(
    "name", ["resnet18", "squeezenet1-1", "shufflenet-v2-x0-5", "densenet121", "vgg11"]
)
def test_torchvision_classifiers_by_name_and_their_output_is_replaced(name: str) -> None:
    with torch.device("meta"):
        module = architectures.build(name, 4)
        architectures.replace_output(module, 7)
        assert module.eval()(torch.empty(1, 3, 64, 64)).shape == (1, 7)


def test_googlenet_has_auxiliary_classifiers_in_training_only() -> None:
    module = architectures.build("googlenet", 5, aux=True)
    images = torch.rand(2, 3, 64, 64)
    main, second, first = module(images)
    assert main.shape == second.shape == first.shape == (2, 5)
    assert module.eval()(images).shape == (2, 5)
    assert architectures.output_layer(module) == "fc"


def test_an_unknown_network_lists_the_legal_names() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"unknown network; must be one of tomi, .*resnet18.*did you mean 'tomi'",
    ):
        architectures.build("tomy", 3)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="at least one class and one band"):
        architectures.build("tomi", 0)
    with pytest.raises(
        InputError, match="image is too small for this network; must be larger, found 16 px"
    ):
        architectures.build("tomi", 3, size=16)
    with pytest.raises(
        InputError, match="resnet18: network has no auxiliary classifiers; leave aux off"
    ):
        architectures.build("resnet18", 3, aux=True)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "tomi"])
def test_a_network_keeps_its_first_outputs(name: str) -> None:
    module = architectures.build(name, 9, size=64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = module(images)
        architectures.keep_outputs(module, 4)
        assert torch.allclose(module(images), before[:, :4], atol=1e-6)
