"""An encoder that would see only part of an image at the size asked is refused; others are not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_files import require_programs
from PIL import Image
from torch import nn

import gzfeatures as gz
from gzfeatures.errors import WeightsError
from gzfeatures.features.store import Store
from gzfeatures.images.view import View
from gzfeatures.networks.encoders.exported_programs import ProgramEncoder, read_program
from gzfeatures.networks.encoders.onnx_files import read_model
from gzfeatures.networks.encoders.pooled_area import Pooling, area_trial, of_onnx, of_program
from gzfeatures.networks.encoders.soundness import Vectors, findings_of, require_sound

pytest.importorskip("onnxscript", reason="onnxscript, of the extra onnx, writes the ONNX files")

SIDE = 64
"""Side of the examples that are exported, whose map has 8 x 8 cells."""
ANY_SIZE = {0: torch.export.Dim("batch", min=1, max=512), 2: torch.export.Dim.DYNAMIC,
            3: torch.export.Dim.DYNAMIC}  # fmt: skip


class Encoder(nn.Module):
    """Three convolutions that divide the side by eight, each cell of which sees a part alone."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (3, 8, 8):
            layers += [nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU()]
        self.body, self.pool = nn.Sequential(*layers[:-1]), pool

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pool(self.body(images)).flatten(2).amax(2)


class Squares(Encoder):
    """Keeps the cells of its pooling one by one, as AdaptiveAvgPool2d(2) is used."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.pool(self.body(images)).flatten(1)


def onnx_of(network: nn.Module, path: Path) -> Path:
    """A network as torch.onnx writes it for images of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(), (torch.zeros(2, 3, SIDE, SIDE),), dynamo=True,
            dynamic_shapes=(ANY_SIZE,), verbose=False,
        )  # fmt: skip
    program.save(str(path), external_data=False)
    return path


def program_of(network: nn.Module, path: Path) -> Path:
    """A network as torch.export saves it for images of any size."""
    require_programs()
    example = (torch.zeros(2, 3, SIDE, SIDE),)
    torch.export.save(
        torch.export.export(network.eval(), example, dynamic_shapes=(ANY_SIZE,)), path
    )
    return path


def poolings(path: Path, *sizes: int) -> dict[int, list[Pooling]]:
    """The poolings at each size, from a file that is read once."""
    if path.suffix == ".pt2":
        model = ProgramEncoder(read_program(path), "output", "x").model
        return {size: of_program(model, size, 2) for size in sizes}
    graph = read_model(path)[1]
    return {size: of_onnx(graph, size, channels_last=False) for size in sizes}


def extracted(path: Path, kind: str, size: int, folder: Path) -> gz.EmbeddingTable:
    (folder / "images").mkdir(exist_ok=True)
    for k in range(3):
        noise = np.random.default_rng(k).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"g{k}.png")
    (folder / "e.toml").write_text(
        f'[[backbones]]\nname = "e"\narchitecture = "{kind}:{path.name}"\n'
        f'view = "size={SIDE}"\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n'
    )
    return gz.extract(
        gz.ImageSet.of(folder / "images"), str(folder / "e.toml"), view=View(size=size),
        store=Store(folder / "store"), precision="float32",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("onnx", Squares(nn.AdaptiveAvgPool2d(2))),  # the exporter writes a kernel of 4 x 4
        ("torch", Encoder(nn.AvgPool2d(8))),
    ],
)
def test_a_kernel_of_the_example_s_size_is_refused_where_the_map_is_larger(
    kind: str, network: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / ("e.onnx" if kind == "onnx" else "e.pt2")
    (onnx_of if kind == "onnx" else program_of)(network, path)
    whole = extracted(path, kind, SIDE, tmp_path)
    with pytest.raises(WeightsError, match=r"pooling.*sees 8 of 9 cells at 72 px.*for this size"):
        extracted(path, kind, SIDE + 8, tmp_path)
    # the length of the vector would not have told
    same = network if kind == "torch" else Squares(nn.AvgPool2d(4))
    with torch.inference_mode():
        assert same(torch.zeros(1, 3, SIDE + 8, SIDE + 8)).shape[1] == whole.matrix.shape[1]


def test_a_mean_of_the_whole_map_is_sound_at_every_size(tmp_path: Path) -> None:
    network = Encoder(nn.AdaptiveAvgPool2d(1))
    for path in (onnx_of(network, tmp_path / "e.onnx"), program_of(network, tmp_path / "e.pt2")):
        for size, found in poolings(path, 48, 64, 72, 224).items():
            assert area_trial(found, size).sound


@pytest.mark.parametrize("name", ["mobilenet_v2", "googlenet"])
def test_no_network_of_torchvision_raises_a_false_alarm(name: str, tmp_path: Path) -> None:
    from torchvision import models

    settings: dict[str, Any] = {"init_weights": False} if name == "googlenet" else {}
    network = getattr(models, name)(weights=None, **settings).eval()
    if name == "googlenet":  # these blocks pool as those beside them do, and take long to export
        network.inception4b = network.inception4c = network.inception5a = nn.Identity()
    path = program_of(network, tmp_path / "e.pt2")
    # of odd maps, too, whose last row a halving drops
    for size, found in poolings(path, 96, 200).items():
        assert area_trial(found, size).sound is True


def test_a_graph_of_resnet_raises_no_false_alarm(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    path = onnx_of(resnet18(weights=None), tmp_path / "e.onnx")
    for size, found in poolings(path, 48, 64, 100, 224, 256).items():
        assert found and area_trial(found, size).sound is True


def pooling(kernel: int, stride: int, *, mean: bool = True, last: bool = True) -> Pooling:
    return Pooling("p", 9, kernel, stride, 0, 0, mean, last)


def test_a_pooling_is_judged_by_what_it_leaves_out_and_where_it_stands() -> None:
    assert pooling(9, 9).sound is True and pooling(3, 3).sound is True
    assert pooling(7, 7).sound is False and pooling(2, 2).sound is False
    assert pooling(7, 7, mean=False).sound is False
    assert pooling(2, 2, mean=False).sound is None  # as networks halve a map on purpose
    assert pooling(2, 2, last=False).sound is None
    assert pooling(8, 8, last=False).sound is False  # squeeze and excite
    assert Pooling("p", 9, 3, 2, 1, 1, False, False).sound is True
    assert "not known" in str(area_trial([pooling(2, 2, mean=False)], 72))
    assert area_trial([pooling(2, 2, last=False)], 72).sound is True


WEIGHTS = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def seen(rows: slice, columns: slice) -> Any:
    def run(pixels: np.ndarray) -> Vectors:
        part = pixels[:, rows, columns].mean((1, 2), dtype=np.float32)
        return np.asarray(part @ WEIGHTS, dtype=np.float32)

    return run


@pytest.mark.parametrize(
    ("rows", "columns", "blind"),
    [
        (slice(0, 56), slice(0, 56), "bottom and right"),
        (slice(None), slice(0, 56), "right"),
        (slice(8, 56), slice(8, 56), "top and bottom and left and right"),
        (slice(None), slice(None), ""),
    ],
)
def test_ends_of_the_images_that_an_encoder_does_not_see_are_told(
    rows: slice, columns: slice, blind: str
) -> None:
    """Told, not refused: a crop is meant, and a ResNet with branches of zero skips pixels."""
    found = findings_of(seen(rows, columns), 64)
    require_sound(found, "x")
    (ends,) = (each for each in found if each.trial == "ends of the images")
    expected = (None, f"{blind} 8 px not seen") if blind else (True, "")
    assert ends.sound is expected[0] and (ends.detail == expected[1] or not blind), ends


def test_patches_that_do_not_fill_an_image_are_told(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    # 4 patches of 16 px each, and 12 px of nothing
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=76, depth=2).eval()

    def run(pixels: np.ndarray) -> Vectors:
        images = torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2) / 255.0
        with torch.inference_mode():
            return np.asarray(network(images).numpy())

    (ends,) = (each for each in findings_of(run, 76) if each.trial == "ends of the images")
    assert ends.sound is None and "bottom and right 9 px not seen" in ends.detail


def test_timm_models_take_other_sizes_or_say_in_one_line_why_not(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from gzfeatures.errors import GzError
    from gzfeatures.networks.encoders.described import described, encoder_of

    spec = described("timm:vit_tiny_patch16_224", "none")
    assert spec.view.size == 224
    # positions of 14 x 14 patches are resampled to 6 x 6
    small = encoder_of("timm:vit_tiny_patch16_224", spec, spec.layer, 96)
    assert small(torch.zeros(2, 3, 96, 96)).shape == (2, spec.dim)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 40), "white").save(tmp_path / "images" / "g.png")
    images = gz.ImageSet.of(tmp_path / "images")
    for name, size, words in (
        ("maxvit_rmlp_pico_rw_256", 112, "divisible by window"),
        ("vit_tiny_patch16_224", 100, "divisible by patch"),
    ):
        with pytest.raises(GzError, match=rf"does not take images of this size.*{words}") as met:
            gz.extract(
                images, f"timm:{name}", weights="none", view=View(size=size),
                store=Store(tmp_path / "store"),
            )  # fmt: skip
        assert len(str(met.value).splitlines()) == 1
