"""Explain: on networks whose reasons are known, the explanation names them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from gzfeatures.errors import InputError, UnknownNameError
from gzfeatures.networks.saliency.attribution import METHODS, saliency
from gzfeatures.networks.saliency.headed import Headed
from gzfeatures.networks.saliency.layers import activations, dream, map_layers


class Bright(nn.Module):
    """Class 1 is bright in band 0 anywhere, class 0 is bright in band 1; a map of 16 × 16 is
    pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 2, stride=2, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 1] = self.conv.weight[1, 0] = 4.0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.flatten(self.pool(self.relu(self.conv(images))), 1)


def scene() -> torch.Tensor:
    """Band 0 is bright top left, band 1 bottom right."""
    images = torch.zeros(1, 2, 32, 32)
    images[0, 0, 4:12, 4:12] = images[0, 1, 20:28, 20:28] = 2.0
    return images


def share(speaks: np.ndarray, rows: slice) -> float:
    positive = np.clip(speaks, 0, None)
    return float(positive[rows, rows].sum() / positive.sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("target", "rows"), [(1, slice(0, 16)), (0, slice(16, 32))])
def test_the_pixels_of_a_class_are_named(method: str, target: int, rows: slice) -> None:
    speaks = saliency(Bright().eval(), scene(), target, method=method, patch=8)[0]
    assert speaks.shape == (32, 32) and share(speaks, rows) > 0.95


def stairs(vectors: np.ndarray) -> np.ndarray:
    """Probabilities that rise with the second entry in steps, as those of boosted trees."""
    p = np.floor(20 * np.clip(vectors[:, 1] / 4, 0, 1)) / 20
    return np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_head_without_gradients_is_explained_back_to_the_pixels(method: str) -> None:
    speaks = saliency(Headed(Bright(), stairs), scene(), 1, method=method, patch=8)[0]
    assert share(speaks, slice(0, 16)) > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_a_smooth_head_is_explained_as_if_it_were_a_layer_of_the_network(method: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(2, 3)
    images = torch.rand(2, 2, 32, 32)
    whole = nn.Sequential(Bright(), layer, nn.Softmax(1)).eval()
    weight, bias = (one.detach().double().numpy() for one in (layer.weight, layer.bias))

    def head(vectors: np.ndarray) -> np.ndarray:
        e = np.exp(vectors @ weight.T + bias)
        return e / e.sum(1, keepdims=True)

    one, other = (
        saliency(network, images, [0, 2], method=method)
        for network in (whole, Headed(Bright(), head))
    )
    np.testing.assert_allclose(one, other, atol=0.02 * np.abs(one).max())


def test_integrated_gradients_add_up_to_the_score() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(2 * 8 * 8, 16), nn.Tanh(), nn.Linear(16, 3)
    ).eval()
    images = torch.randn(4, 2, 8, 8)
    images[:, 0, [0, -1]], images[:, 1, :, [0, -1]] = 0.5, -1.0
    images[:, 0, :, [0, -1]], images[:, 1, [0, -1]] = 0.5, -1.0
    sky = torch.tensor([0.5, -1.0])[None, :, None, None].expand(1, 2, 8, 8)
    speaks = saliency(network, images, 2, method="integrated-gradients", steps=200)
    with torch.no_grad():
        gained = (network(images) - network(sky))[:, 2].numpy()
    np.testing.assert_allclose(speaks.sum((1, 2)), gained, atol=1e-3)


def test_occlusion_is_what_the_output_loses() -> None:
    images = scene()
    speaks = saliency(Bright().eval(), images, 1, method="occlusion", patch=32)[0]
    np.testing.assert_allclose(speaks[:16, :16], Bright()(images)[0, 1].item(), atol=1e-6)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion"])
def test_the_sky_says_nothing_however_bright_it_is(method: str) -> None:
    images = scene() + torch.tensor([0.7, 1.3])[None, :, None, None]
    speaks = saliency(Bright().eval(), images, 1, method=method, patch=4)[0]
    assert np.abs(speaks[20:, :12]).max() < 1e-6 < speaks[4:12, 4:12].min()


def test_each_image_may_have_a_class_of_its_own() -> None:
    images = scene().repeat(2, 1, 1, 1)
    both = saliency(Bright().eval(), images, [0, 1])
    for row, target in enumerate((0, 1)):
        np.testing.assert_array_equal(both[row], saliency(Bright().eval(), images[:1], target)[0])


def test_grad_cam_passes_over_maps_too_coarse_to_tell_where() -> None:
    coarse = nn.Sequential(
        nn.Conv2d(1, 1, 1, bias=False), nn.AvgPool2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    nn.init.ones_(coarse[0].weight)
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 2, 3] = 1
    speaks = saliency(coarse, image, 0)[0]
    assert np.unravel_index(speaks.argmax(), speaks.shape) == (2, 3) and (speaks > 0).sum() == 1


def test_explanations_leave_the_network_as_it_was_and_do_not_depend_on_the_batch() -> None:
    network = Bright().eval()
    images = torch.cat([scene(), scene().flip(2), torch.rand(3, 2, 32, 32)])
    for method in METHODS:
        together = saliency(network, images, 1, method=method, patch=16)
        alone = np.concatenate(
            [saliency(network, image[None], 1, method=method, patch=16) for image in images]
        )
        np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.grad is None for p in network.parameters())


def test_activations_are_the_maps_of_a_layer() -> None:
    maps = activations(Bright(), scene(), "relu")
    assert maps.shape == (1, 2, 16, 16)
    assert maps[0, 1, :8, :8].sum() > 0 and maps[0, 1, 8:, 8:].sum() == 0
    with pytest.raises(
        UnknownNameError, match="unknown layer; must be a node of the network, found rely"
    ):
        activations(Bright(), scene(), "rely")
    with pytest.raises(InputError, match="flatten: activations; must be maps"):
        activations(Bright(), scene(), "flatten")


def test_a_dream_is_what_the_class_likes() -> None:
    image = dream(Bright(), 1, (2, 32, 32), steps=60)
    assert image.shape == (2, 32, 32) and np.abs(image).max() <= 2.5
    assert image[0].mean() > 0.5 > abs(image[1].mean())
    np.testing.assert_array_equal(image, dream(Bright(), 1, (2, 32, 32), steps=60))


def test_layers_are_named_from_fine_to_coarse() -> None:
    assert map_layers(Bright(), scene()) == ["relu"]
    network = nn.Sequential(
        nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1)
    )
    assert map_layers(network, scene()) == ["1", "3"]


def test_questions_without_an_answer_are_refused() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown method of explanation; must be one of grad-cam"
    ):
        saliency(Bright(), scene(), 1, method="guess")
    with pytest.raises(InputError, match="covered square; must have a side in 1…32 px, found 40"):
        saliency(Bright(), scene(), 1, method="occlusion", patch=40)
    with pytest.raises(InputError, match="network without feature maps; must have convolutions"):
        saliency(nn.Sequential(nn.Flatten(), nn.Linear(2048, 2)), scene(), 1)
