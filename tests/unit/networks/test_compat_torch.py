"""PyTorch's unstable parts: there, and where they are not, the same vectors without them."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import densenet

from gzfeatures.networks import _compat_torch as compat
from gzfeatures.networks.compilation.compiled import compile_ahead
from gzfeatures.networks.models import architectures

VERSION = f"PyTorch {torch.__version__}"


class Small(nn.Module):
    """A linear layer over pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(12, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.last(pixels.float().flatten(1)).contiguous()
        return vectors


EXAMPLE = torch.zeros((4, 2, 2, 3), dtype=torch.uint8)


@pytest.mark.parametrize("gone", ["compiler", "option"])
def test_without_its_compiler_or_an_option_it_is_said_and_nothing_is_written(
    gone: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if gone == "compiler":
        monkeypatch.delattr("torch._inductor.aot_compile")
    else:
        monkeypatch.setitem(compat.OPTIONS, "of_another_version", True)
    with pytest.raises(compat.Missing, match=rf"{VERSION.replace('+', '.')} has no .*inductor"):
        compile_ahead(Small().eval(), EXAMPLE, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_is_not_there_is_an_error_after_which_the_network_runs_uncompiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PyTorch 2.6 raises what starting the compiler raised, which is no RuntimeError."""

    def without(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No such file or directory", "g++")

    monkeypatch.setattr(torch._inductor, "aot_compile", without)
    with pytest.raises(RuntimeError, match=r"^g\+\+ is not there$"):
        compat.compile_library(torch.fx.symbolic_trace(nn.ReLU()), torch.zeros(1), tmp_path)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121", "mobilenet_v2"])
def test_folded_batch_norms_are_those_of_pytorch_s_experimental_fusion_to_the_bit(
    name: str,
) -> None:
    fuse = pytest.importorskip("torch.fx.experimental.optimization").fuse
    torch.manual_seed(0)
    network = architectures.build(name, 3).eval()
    for part in network.modules():
        if isinstance(part, compat.BATCH_NORMS):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    theirs, ours = fuse(network).state_dict(), compat.fold_batch_norms(network).state_dict()
    kept = {key for key in theirs if key in ours}
    assert kept == set(ours)
    for key in kept:
        np.testing.assert_array_equal(theirs[key].numpy(), ours[key].numpy())
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(before[key].numpy(), value.numpy())


def test_a_norm_whose_layer_is_used_twice_is_left() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            layer: torch.Tensor = self.layer(images)
            return layer + self.norm(layer)

    folded = compat.fold_batch_norms(Twice().eval())
    assert any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())


@pytest.mark.parametrize("named", [compat.BATCH_NORMS, compat.CONVOLUTIONS])
def test_canary_public_names_are_all_that_share_a_private_base(named: tuple[type, ...]) -> None:
    base = named[0].__base__
    layers = {
        kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, base)
    }
    # lazy ones become one of the others by the first image
    assert {kind for kind in layers if "Lazy" not in kind.__name__} == set(named), VERSION


def test_canary_dense_blocks_are_known_without_their_private_name() -> None:
    with torch.device("meta"):
        network = densenet.densenet121()
    blocks = [name for name, part in network.named_modules() if compat.is_dense_block(part)]
    assert blocks == [f"features.denseblock{number}" for number in (1, 2, 3, 4)], VERSION


def test_the_announcement_of_a_download_begins_as_it_is_looked_for() -> None:
    said = inspect.getsource(torch.hub.load_state_dict_from_url)
    assert f"write(f'{compat.ANNOUNCEMENT}" in said
    assert compat.announces_on_stderr() != ("sys.stdout.write" in said)
