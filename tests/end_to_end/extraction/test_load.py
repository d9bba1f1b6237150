from __future__ import annotations

import dataclasses
import email.message
import io
import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from gzfeatures import fingerprint
from gzfeatures.errors import MissingFileError, UnknownNameError, WeightsError
from gzfeatures.features.backbones import BACKBONES
from gzfeatures.features.weights import hub_file
from gzfeatures.networks.models.load import build, fetch, layer_dim, load
from gzfeatures.progress import Terminal

SMALL = BACKBONES["resnet18"]


def images(n: int = 2, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def saved(network: nn.Module, path: Path) -> Path:
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_vectors_of_its_length(name: str) -> None:
    spec = BACKBONES[name]
    network = load(spec, "none", spec.layer)
    assert not any(module.training for module in network.modules())
    with torch.inference_mode():
        assert network(images()).shape == (2, spec.dim)


def test_random_start_is_the_same_every_time_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(5)
    one, drawn = build(SMALL), torch.rand(1)
    two = build(SMALL)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_weights_file_gives_the_vectors_of_torchvision_s_network(tmp_path: Path) -> None:
    torch.manual_seed(3)
    reference = models.resnet18().eval()
    network = load(SMALL, saved(reference, tmp_path / "w.pth"), "avgpool")
    reference.fc = nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(network(images()), reference(images()))


def test_safetensors_and_training_prefixes_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(3)
    state = models.resnet18(num_classes=7).state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "w.pth"
    )
    a, b = load(SMALL, tmp_path / "w.safetensors"), load(SMALL, tmp_path / "w.pth")
    with torch.inference_mode():
        assert a(images()).shape == (2, 7)
        assert torch.equal(a(images()), b(images()))


def test_googlenet_is_normalised_exactly_once(tmp_path: Path) -> None:
    """Torchvision's pretrained network re-normalises ImageNet-normalised input; ours is normalised
    once, the same."""
    torch.manual_seed(3)
    reference = models.googlenet(transform_input=True, aux_logits=True, init_weights=False).eval()
    spec, view = BACKBONES["googlenet"], images()
    network = load(spec, saved(reference, tmp_path / "w.pth"))
    imagenet = BACKBONES["resnet18"]

    def normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
        return (view - torch.tensor(mean).reshape(-1, 1, 1)) / torch.tensor(std).reshape(-1, 1, 1)

    with torch.inference_mode():
        torch.testing.assert_close(
            network(normalised(spec.mean, spec.std)),
            reference(normalised(imagenet.mean, imagenet.std)),
        )


def test_stride_sits_where_the_weights_want_it() -> None:
    strides = {name: build(BACKBONES[name]).layer3[0] for name in ("resnet50", "resnet50-v1")}  # type: ignore[index, union-attr]
    assert (strides["resnet50"].conv1.stride, strides["resnet50"].conv2.stride) == ((1, 1), (2, 2))
    assert (strides["resnet50-v1"].conv1.stride, strides["resnet50-v1"].conv2.stride) == (
        (2, 2),
        (1, 1),
    )


@pytest.mark.parametrize(
    ("layer", "dim"), [("layer3", 256 * 4 * 4), ("layer4.1.bn2", 512 * 2 * 2), ("fc", 1000)]
)
def test_any_layer_by_its_node_name(layer: str, dim: int) -> None:
    with torch.inference_mode():
        assert load(SMALL, "none", layer)(images()).shape == (2, dim)
    assert layer_dim(SMALL, layer, 64) == dim


def test_layers_of_networks_that_count_their_widths_while_they_are_built() -> None:
    assert (
        layer_dim(dataclasses.replace(SMALL, architecture="regnet_y_400mf"), "trunk_output", 64)
        == 440 * 2 * 2
    )


def test_unknown_layer_lists_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown layer; .* found layer9; nearest are .*layer4"
    ):
        load(SMALL, "none", "layer9")
    with pytest.raises(UnknownNameError, match=r"found zzz; nearest are .*fc"):
        layer_dim(SMALL, "zzz", 64)


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="resnet19"):
        build(dataclasses.replace(SMALL, architecture="resnet19"))


def test_weights_of_another_network_do_not_load(tmp_path: Path) -> None:
    file = saved(models.resnet34(), tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"w\.pth: weights do not fit resnet18, found .*Unexpected key"
    ):
        load(SMALL, file)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("form", ["pickle", "torch", "safetensors"])
def test_malicious_weights_run_nothing(tmp_path: Path, form: str) -> None:
    target = tmp_path / "ran"
    file = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "torch":
        torch.save({"fc.weight": Malicious(target)}, file)
    else:
        file.write_bytes(pickle.dumps({"fc.weight": Malicious(target)}))
    with pytest.raises(WeightsError, match=r"could run code|cannot be read") as caught:
        load(SMALL, file)
    assert len(str(caught.value).splitlines()) == 1
    assert not target.exists()
    pickle.loads(pickle.dumps(Malicious(target)))
    assert target.exists(), "the test's own weapon must be sharp"


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 torn"])
def test_files_that_are_no_weights_give_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"w\.pth: weights file (is refused|cannot be read)"
    ) as caught:
        load(SMALL, file)
    assert len(str(caught.value).splitlines()) == 1


def test_truncated_weights_give_one_line(tmp_path: Path) -> None:
    file = saved(models.resnet18(), tmp_path / "w.pth")
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="weights file cannot be read"):
        load(SMALL, file)


def test_file_that_holds_a_list_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="hold tensors of real numbers by name, found list"):
        load(SMALL, tmp_path / "w.pth")


def test_missing_weights_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="weights file not found"):
        load(SMALL, tmp_path / "none.pth")


def served(monkeypatch: pytest.MonkeyPatch, data: bytes | None) -> list[str]:
    """Serve `data` for every address, or no network at all; returns the addresses asked for."""
    asked: list[str] = []

    class Reply(io.BytesIO):
        def info(self) -> email.message.Message:
            headers = email.message.Message()
            headers["Content-Length"] = str(len(self.getvalue()))
            return headers

    def urlopen(request: urllib.request.Request, *_: Any, **__: Any) -> Reply:
        asked.append(request.full_url)
        if data is None:
            raise urllib.error.URLError("no route to host")
        return Reply(data)

    monkeypatch.setattr("torch.hub.urlopen", urlopen)
    return asked


def test_weights_are_downloaded_once_with_torchvision_s_hash_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    buffer = io.BytesIO()
    torch.manual_seed(3)
    torch.save(models.resnet18().state_dict(), buffer)
    digest = fingerprint.of_bytes(buffer.getvalue())
    member = models.ResNet18_Weights.IMAGENET1K_V1
    url = f"https://download.pytorch.org/models/resnet18-{digest[:8]}.pth"
    monkeypatch.setattr(member, "_value_", dataclasses.replace(member.value, url=url))
    spec = dataclasses.replace(SMALL, url=url, sha256=digest[:8])
    asked = served(monkeypatch, buffer.getvalue())
    with torch.inference_mode():
        first, second = load(spec)(images()), load(spec)(images())
    assert asked == [url]
    assert capsys.readouterr() == ("", "")
    assert torch.equal(first, second)
    path = hub_file(spec)
    assert path is not None and fingerprint.of_file(path) == digest


def test_a_download_is_told_to_whom_it_may_concern_and_never_to_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    served(monkeypatch, None)
    path = hub_file(SMALL)
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        fetch(SMALL, path)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        fetch(SMALL, path, Terminal())
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f'Downloading: "{SMALL.url}" to {path}')


def test_download_that_hashes_wrongly_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    served(monkeypatch, b"something else")
    with pytest.raises(
        WeightsError, match=r"tried https://download.pytorch.org.*invalid hash value"
    ):
        load(SMALL)
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


def test_no_network_says_what_was_tried_and_the_two_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    served(monkeypatch, None)
    path = hub_file(SMALL)
    with pytest.raises(WeightsError) as caught:
        fetch(SMALL, path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for part in (
        "tried https://download.pytorch.org/models/resnet18-f37072fd.pth (no route to host)",
        f"put the file at {path}",
        "TORCH_HOME",
        "--weights FILE",
    ):
        assert part in message


@pytest.mark.data
def test_real_mobilenet_weights_load_through_torch_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path
) -> None:
    spec = BACKBONES["mobilenet-v2"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = hub_file(spec)
    assert path is not None
    path.parent.mkdir(parents=True)
    path.symlink_to(shared_data.parent / "weights" / path.name)
    asked = served(monkeypatch, None)
    network = load(spec, layer=spec.layer)
    reference = models.mobilenet_v2(weights="IMAGENET1K_V1").eval()
    reference.classifier = nn.Identity()
    with torch.inference_mode():
        np.testing.assert_allclose(
            network(images()).numpy(), reference(images()).numpy(), rtol=1e-4, atol=1e-5
        )
    assert asked == []
