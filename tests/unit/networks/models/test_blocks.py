"""Depth is depth: the blocks of every classifier, in the order in which it computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import regnet

from gzfeatures.networks.models import architectures
from gzfeatures.networks.models.blocks import blocks, decayed
from gzfeatures.networks.setup.recipe import TrainingRecipe

BLOCKS = {
    **{
        "alexnet": 8,
        "convnext_base": 41,
        "convnext_large": 41,
        "convnext_small": 41,
        "convnext_tiny": 23,
    },
    **{"densenet121": 63, "densenet161": 83, "densenet169": 87, "densenet201": 103},
    **{"efficientnet_b0": 19, "efficientnet_b1": 26, "efficientnet_b2": 26, "efficientnet_b3": 29},
    **{"efficientnet_b4": 35, "efficientnet_b5": 42, "efficientnet_b6": 48, "efficientnet_b7": 58},
    **{"efficientnet_v2_l": 82, "efficientnet_v2_m": 60, "efficientnet_v2_s": 43},
    **{"googlenet": 13, "inception_v3": 17, "maxvit_t": 15},
    **{"mnasnet0_5": 21, "mnasnet0_75": 21, "mnasnet1_0": 21, "mnasnet1_3": 21},
    **{"mobilenet_v2": 20, "mobilenet_v3_large": 19, "mobilenet_v3_small": 15},
    **{"regnet_x_16gf": 24, "regnet_x_1_6gf": 20, "regnet_x_32gf": 25, "regnet_x_3_2gf": 27},
    **{
        "regnet_x_400mf": 24,
        "regnet_x_800mf": 18,
        "regnet_x_8gf": 25,
        "regnet_y_128gf": 29,
        "regnet_y_16gf": 20,
    },
    **{"regnet_y_1_6gf": 29, "regnet_y_32gf": 22, "regnet_y_3_2gf": 23, "regnet_y_400mf": 18},
    **{"regnet_y_800mf": 16, "regnet_y_8gf": 19},
    **{"resnet101": 35, "resnet152": 52, "resnet18": 10, "resnet34": 18, "resnet50": 18},
    **{"resnext101_32x8d": 35, "resnext101_64x4d": 35, "resnext50_32x4d": 18},
    **{
        "shufflenet_v2_x0_5": 19,
        "shufflenet_v2_x1_0": 19,
        "shufflenet_v2_x1_5": 19,
        "shufflenet_v2_x2_0": 19,
    },
    **{"squeezenet1_0": 10, "squeezenet1_1": 10},
    **{"swin_b": 29, "swin_s": 29, "swin_t": 17, "swin_v2_b": 29, "swin_v2_s": 29, "swin_v2_t": 17},
    **{"vgg11": 11, "vgg11_bn": 11, "vgg13": 13, "vgg13_bn": 13, "vgg16": 16, "vgg16_bn": 16},
    **{
        "vgg19": 19,
        "vgg19_bn": 19,
        "vit_b_16": 14,
        "vit_b_32": 14,
        "vit_h_14": 34,
        "vit_l_16": 26,
        "vit_l_32": 26,
    },
    **{"wide_resnet101_2": 35, "wide_resnet50_2": 18},
}
"""Every classifier of torchvision, and how many blocks it has: what its paper counts, and stem and
output layer."""

_TRUNK = "trunk_output.block4.block4"
_WIDTHS = regnet.BlockParams.from_init_params.__func__  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _regnets_on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """RegNet computes its widths with tensors, which cannot be read on the meta device."""

    def widths(cls: Any, *arguments: Any, **options: Any) -> Any:
        with torch.device("cpu"):
            return _WIDTHS(cls, *arguments, **options)

    monkeypatch.setattr(regnet.BlockParams, "from_init_params", classmethod(widths))
    yield


@pytest.fixture(autouse=True)
def _no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weight is drawn and nothing is normalised: shapes have neither, and both take seconds."""
    for name in (name for name in dir(nn.init) if name.endswith("_") and name[0] != "_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *_, **__: tensor)
    monkeypatch.setattr(nn.functional, "batch_norm", lambda images, *_, **__: images)


def built(name: str) -> nn.Module:
    options = (
        {"init_weights": False, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    )
    with torch.device("meta"):
        network: nn.Module = models.get_model(name, num_classes=5, **options)
    return network


def test_the_table_has_every_classifier_of_torchvision() -> None:
    assert sorted(BLOCKS) == sorted(models.list_models(module=models))


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_every_classifier_come_in_the_order_of_computation(name: str) -> None:
    network = built(name)
    found = blocks(network)
    assert len(found) == BLOCKS[name]
    names = [each for block in found for each in block.names]
    assert sorted(names) == sorted(network.state_dict())
    last = {
        each.rpartition(".")[0] for each in found[-1].names if not each.lower().startswith("aux")
    }
    assert last == {architectures.output_layer(network)}
    met: list[int] = []
    for number, block in enumerate(found):
        for module in block.modules:
            module.register_forward_pre_hook(lambda *_, number=number: met.append(number))
    size = 299 if name.startswith("inception") else 224
    network.eval()(torch.empty(2, 3, size, size, device="meta"))
    first = [met.index(number) for number in range(len(found))]
    assert first == sorted(first)


@pytest.mark.parametrize(
    ("name", "moving", "still"),
    [
        ("vit_b_16", ("encoder.layers.encoder_layer_11.mlp.0.weight", "encoder.ln.weight"),
         ("class_token",)),
        ("convnext_tiny", ("features.7.2.block.0.weight", "classifier.0.weight"),
         ("features.7.1.block.0.weight",)),
        ("regnet_y_400mf", (f"{_TRUNK}-5.f.a.0.weight",), (f"{_TRUNK}-4.f.a.0.weight",)),
        ("mnasnet0_5", ("layers.14.weight", "layers.15.weight"), ("layers.13.0.layers.0.weight",)),
        ("googlenet", ("inception5b.branch1.conv.weight",), ("inception5a.branch1.conv.weight",)),
    ],
)  # fmt: skip
def test_one_block_is_the_last_that_computes(
    name: str, moving: tuple[str, ...], still: tuple[str, ...]
) -> None:
    network = built(name)
    TrainingRecipe(unfreeze=1, optimizer="rmsprop").optimizer_of(network)
    learning = {each for each, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning >= set(moving) and not learning & set(still)
    assert f"{architectures.output_layer(network)}.weight" in learning


def test_weights_that_multiply_shrink_and_nothing_else() -> None:
    for name in ("vit_b_16", "convnext_tiny", "swin_v2_t", "resnet18"):
        network = built(name)
        shrunk = decayed(network)
        spared = {each for each, _ in network.named_parameters()} - shrunk
        for word in (
            "bias",
            "class_token",
            "pos_embedding",
            "layer_scale",
            "logit_scale",
            "bn",
            "norm",
        ):
            assert not [
                each for each in shrunk if word in each.rpartition(".")[2] or f".{word}1." in each
            ], (
                name,
                word,
            )
        assert all(network.get_parameter(each).ndim > 1 for each in shrunk)
        assert {"class_token", "encoder.pos_embedding"} <= spared or name != "vit_b_16"
        assert "features.1.0.layer_scale" in spared or name != "convnext_tiny"


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_small_networks_have_a_block_for_each_layer_that_learns(name: str) -> None:
    network = architectures.build(name, 2)
    found = blocks(network)
    layers = [
        layer
        for layer in architectures.NETWORKS[name].layers
        if layer[0] in ("conv", "conv-same", "dense")
    ]
    assert len(found) == len(layers) + 1
    assert sorted(each for block in found for each in block.names) == sorted(network.state_dict())
