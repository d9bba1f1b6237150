"""Model files of a stranger run no code, open no other file, and are refused in one line."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_files import CONFIG, exported, vision_folder
from torch import nn

from gzfeatures.errors import GzError, InputError, WeightsError
from gzfeatures.networks import _compat_torch as compat
from gzfeatures.networks.encoders.described import described
from gzfeatures.networks.encoders.exported_programs import harmless, read_program
from gzfeatures.networks.encoders.onnx_files import OnnxSession, read_graph
from gzfeatures.networks.encoders.transformers_folders import require_no_code

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small exported network."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return exported(network, tmp_path_factory.mktemp("program") / "p.pt2")


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with members changed, left out for None, and none added."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            data = change(name.partition("/")[2], archive.read(name))
            if data is not None:
                copy.writestr(name, data)
    return target


def with_program(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    """A change of the graph in the archive."""

    def changed(name: str, data: bytes) -> bytes:
        if name != "models/model.json":
            return data
        graph = json.loads(data)
        change(graph)
        return json.dumps(graph).encode()

    return changed


def with_an_object(program: Path, path: Path) -> Path:
    """A program among whose example inputs is a Python object, a harmless one."""
    file = io.BytesIO()
    torch.save(Fraction(1, 2), file)
    return rewritten(
        program,
        path,
        lambda name, data: file.getvalue() if name.endswith("model.pt") else data,
    )


def test_a_whole_program_is_read_and_keeps_its_numbers(program: Path) -> None:
    images = torch.rand(3, 3, 32, 32)
    theirs = torch.export.load(program).module()(images)
    assert torch.equal(read_program(program).module()(images), theirs)


def test_example_inputs_that_are_no_tensors_are_not_unpickled(
    program: Path, tmp_path: Path
) -> None:
    bad = with_an_object(program, tmp_path / "bad.pt2")
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_program(bad)
    assert "\n" not in str(caught.value)


def test_guards_of_a_program_are_dropped(program: Path, tmp_path: Path) -> None:
    def guard(graph: dict[str, Any]) -> None:
        graph["guards_code"] = ["True"]

    guarded = rewritten(program, tmp_path / "g.pt2", with_program(guard))
    with zipfile.ZipFile(io.BytesIO(harmless(guarded))) as archive:
        name = next(name for name in archive.namelist() if name.endswith("models/model.json"))
        assert json.loads(archive.read(name))["guards_code"] == []
    read_program(guarded).module()


@pytest.mark.parametrize(
    "formula", ["f(1)", "s0.real", "2**9", "Pow(s0, 9)", "9" * 13, "1" * 300 + "!", "s0 + " * 500]
)
def test_sizes_of_a_program_that_are_no_plain_formula_are_refused(
    formula: str, program: Path, tmp_path: Path
) -> None:
    def size(graph: dict[str, Any]) -> None:
        graph["range_constraints"] = {"s0": {"expr_str": formula}}

    with pytest.raises(InputError, match="holds code or an object"):
        harmless(rewritten(program, tmp_path / "s.pt2", with_program(size)))


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.mine.run.default",
        "torch.load",
        "torch.hub.load",
        "_operator.attrgetter",
        "torch.ops.higher_order.map_impl",
    ],
)
def test_operators_that_do_not_compute_are_refused(
    target: str, program: Path, tmp_path: Path
) -> None:
    def change(graph: dict[str, Any]) -> None:
        graph["graph_module"]["graph"]["nodes"][0]["target"] = target

    bad = rewritten(program, tmp_path / "bad.pt2", with_program(change))
    with pytest.raises(InputError, match=r"operator of a program is refused"):
        harmless(bad)


def test_members_of_an_archive_that_are_no_network_are_refused(
    program: Path, tmp_path: Path
) -> None:
    for name in ("data/aotinductor/model/x.so", "data/constants/custom_obj_0", "extra/x.py"):
        bad = rewritten(program, tmp_path / "bad.pt2", lambda _, data: data)
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr(f"p/{name}", b"x")
        with pytest.raises(InputError, match="holds more than a network"):
            harmless(bad)

    def as_pickle(name: str, data: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return data
        config = json.loads(data)
        next(iter(config["config"].values()))["use_pickle"] = True
        return json.dumps(config).encode()

    with pytest.raises(InputError, match="keeps a pickle"):
        harmless(rewritten(program, tmp_path / "bad.pt2", as_pickle))


def test_a_pytorch_too_old_to_read_programs_safely_refuses_them_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.export.pt2_archive", None)
    with pytest.raises(WeightsError, match=r"safely.*no torch\.export.*--upgrade torch") as caught:
        read_program(tmp_path / "p.pt2")
    assert "\n" not in str(caught.value)


def test_the_loaders_of_torch_are_closed_while_a_program_is_read(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.load
    with pytest.raises(Exception, match=r"weights_only|Unsupported|WeightsUnpickler"):
        compat.load_program(with_an_object(program, tmp_path / "bad.pt2").read_bytes())
    assert torch.load is real
    monkeypatch.delattr("torch._C._pickle_load_obj")
    with pytest.raises(compat.Missing, match=r"has no torch\._C\._pickle_load_obj"):
        compat.load_program(program.read_bytes())


def graph_file(
    path: Path,
    kind: str = "ReduceMean",
    domain: str = "",
    external: str | None = None,
    pixels: int = onnx.TensorProto.FLOAT,
) -> Path:
    """An ONNX file of one or two nodes, from images to their mean colours."""
    helper = onnx.helper
    taken = helper.make_tensor_value_info("images", pixels, ["n", 3, 16, 16])
    given = helper.make_tensor_value_info("vectors", onnx.TensorProto.FLOAT, ["n", 3])
    axes = helper.make_tensor("axes", onnx.TensorProto.INT64, [2], [2, 3])
    if external is not None:
        axes = onnx.TensorProto(name="axes", data_type=onnx.TensorProto.INT64, dims=[2])
        axes.data_location = onnx.TensorProto.EXTERNAL
        axes.external_data.add(key="location", value=external)
    nodes = [helper.make_node("Cast", ["images"], ["floats"], to=onnx.TensorProto.FLOAT)]
    options = {"keepdims": 0} if kind == "ReduceMean" else {}
    nodes.append(helper.make_node(kind, ["floats", "axes"], ["vectors"], domain=domain, **options))
    graph = helper.make_graph(nodes, "g", [taken], [given], [axes])
    opsets = [helper.make_opsetid("", 20)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


def test_a_graph_without_a_configuration_is_refused_unless_it_takes_whole_pixels(
    tmp_path: Path,
) -> None:
    plain = graph_file(tmp_path / "f.onnx")
    with pytest.raises(InputError, match=r"not written anywhere.*TOML"):
        described(f"onnx:{plain}")
    whole = described(f"onnx:{graph_file(tmp_path / 'u.onnx', pixels=onnx.TensorProto.UINT8)}")
    assert (whole.view.size, whole.dim) == (16, 3)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    # the size that a graph fixes is that of its images
    assert described(f"onnx:{plain}").view.size == 16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "Run", "domain": "mine"}, "operator of an ONNX file is refused.*mine:Run"),
        ({"kind": "EPContext", "domain": "com.microsoft"}, "refused.*EPContext"),
        ({"external": "/etc/hostname"}, "external data of an ONNX file lie elsewhere"),
        ({"external": "../x.bin"}, "lie elsewhere"),
        ({"external": "sub/x.bin"}, "lie elsewhere"),
        ({"external": "x.bin"}, "external data of the ONNX file not found"),
    ],
)
def test_operators_and_data_of_a_stranger_are_refused_before_a_library_reads_them(
    options: dict[str, str], words: str, tmp_path: Path
) -> None:
    path = graph_file(tmp_path / "sub.onnx", **options)  # type: ignore[arg-type]
    with pytest.raises(GzError, match=words) as caught:
        read_graph(path)
    assert "\n" not in str(caught.value)


def test_external_data_beside_the_file_are_part_of_its_digest(tmp_path: Path) -> None:
    path = graph_file(tmp_path / "x.onnx", external="x.bin")
    digests = set()
    for axes in ([2, 3], [3, 2]):
        (tmp_path / "x.bin").write_bytes(torch.tensor(axes).numpy().tobytes())
        digests.add(read_graph(path).digest)
    assert len(digests) == 2
    (tmp_path / "x.bin").rename(tmp_path / "y.bin")
    (tmp_path / "x.bin").symlink_to(tmp_path / "y.bin")
    with pytest.raises(InputError, match="lie elsewhere"):
        read_graph(path)


def test_openvino_is_not_given_a_resize_whose_antialias_it_ignores(tmp_path: Path) -> None:
    helper = onnx.helper
    taken = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    given = helper.make_tensor_value_info("small", onnx.TensorProto.FLOAT, [1, 3, 16, 16])
    sizes = helper.make_tensor("sizes", onnx.TensorProto.INT64, [4], [1, 3, 16, 16])
    node = helper.make_node(
        "Resize", ["images", "", "", "sizes"], ["small"], mode="linear", antialias=1
    )
    graph = helper.make_graph([node], "g", [taken], [given], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "r.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    pytest.importorskip("onnxruntime")
    spec = described(f"onnx:{tmp_path / 'r.onnx'}")
    with pytest.raises(InputError, match="OpenVINO ignores antialias"):
        OnnxSession(spec, read_graph(tmp_path / "r.onnx"), "small", "openvino", threads=1)


def test_openvino_gets_graphs_of_a_fixed_batch(tmp_path: Path) -> None:
    """With an open batch and a Range it would compute 8-bit convolutions with wrong biases."""
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    helper = onnx.helper
    taken = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 3, 8, 8])
    given = helper.make_tensor_value_info("vectors", onnx.TensorProto.FLOAT, ["n", 192])
    node = helper.make_node("Flatten", ["images"], ["vectors"])
    graph = helper.make_graph([node], "g", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    spec, graph = described(f"onnx:{tmp_path / 'f.onnx'}"), read_graph(tmp_path / "f.onnx")
    spec = dataclasses.replace(spec, view=dataclasses.replace(spec.view, size=8))
    session = OnnxSession(spec, graph, "vectors", "openvino", threads=1, batch=4)
    assert session(np.zeros((6, 8, 8, 3), dtype=np.uint8)).shape == (6, 192)
    images = np.zeros((3, 3, 8, 8), dtype=np.float32)
    with pytest.raises(RuntimeError, match="shape"):
        session._run(images)


@pytest.mark.parametrize(
    "setting",
    [
        {"auto_map": {"AutoModel": "code.Model"}},
        {"vision_config": {"auto_map": {"AutoModel": "other/repository--code.Model"}}},
        {"quantization_config": {"quant_method": "x"}},
        {"_attn_implementation": "kernels-community/attention"},
    ],
)
def test_a_folder_that_names_code_is_refused(setting: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names code, which is not run"):
        require_no_code(setting, "x")
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    _, folder = vision_folder(tmp_path / "vit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | setting))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(InputError, match="names code"):
        described(f"hf:{folder}")
    assert not (tmp_path / "ran").exists()


def test_a_folder_needs_its_configuration_and_all_weights_in_safetensors(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    from safetensors.torch import load_file, save_file

    _, folder = vision_folder(tmp_path / "vit")
    file = folder / "model.safetensors"
    state = load_file(file)
    save_file({k: v for k, v in state.items() if "layer.1" not in k}, file, {"format": "pt"})
    with pytest.raises(GzError, match="weights do not fit the configuration"):
        described(f"hf:{folder}")
    save_file(state, file, {"format": "pt"})
    (folder / "preprocessor_config.json").rename(folder / "p.json")
    with pytest.raises(InputError, match="not written anywhere"):
        described(f"hf:{folder}")
    file.rename(folder / "pytorch_model.bin")
    with pytest.raises(GzError, match="weights in safetensors not found"):
        described(f"hf:{folder}")


@pytest.mark.parametrize(
    ("sides", "kinds", "words"),
    [
        (["n", 3, 16, 16], {"outputs": False}, "outputs of the ONNX file; must be one or more"),
        ([10**12, 3, 16, 16], {}, "batch of the ONNX file.*be open, or 4096 at most"),
        (["n", 3, 16, 16], {"texts": True}, "output of the ONNX file.*be numbers"),
    ],
    ids=["no outputs", "batch", "texts"],
)
def test_graphs_that_give_no_vectors_of_numbers_or_ask_for_any_memory_are_refused(
    sides: list[Any], kinds: dict[str, bool], words: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    path = flat_file(tmp_path / "f.onnx", sides, **kinds)
    with pytest.raises(InputError, match=words) as caught:
        described(f"onnx:{path}")
    assert "\n" not in str(caught.value)


def test_a_side_of_minus_one_is_an_open_one(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = read_graph(flat_file(tmp_path / "f.onnx", [-1, 3, -1, -1]))
    assert (graph.images.batch, graph.images.size) == (None, None)


def flat_file(path: Path, sides: list[Any], outputs: bool = True, texts: bool = False) -> Path:
    """An ONNX file whose vectors are all pixels, with its configuration beside it."""
    helper = onnx.helper
    kind = onnx.TensorProto.STRING if texts else onnx.TensorProto.FLOAT
    taken = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, sides)
    given = helper.make_tensor_value_info("vectors", kind, None)
    nodes = [
        helper.make_node("Flatten", ["images"], ["pixels"]),
        helper.make_node("Cast", ["pixels"], ["vectors"], to=kind),
    ]
    graph = helper.make_graph(nodes, "g", [taken], [given] if outputs else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    (path.parent / "config.json").write_text(json.dumps(CONFIG | {"pretrained_cfg": PIXELS}))
    return path


PIXELS: dict[str, Any] = {"input_size": [3, 16, 16], "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize("numbers", [{"mean": [float("inf")] * 3}, {"std": [float("inf")] * 3}])
def test_a_normalisation_that_is_not_finite_is_refused(
    numbers: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    path = flat_file(tmp_path / "f.onnx", ["n", 3, 16, 16])
    # found anew although the file itself has not changed
    assert described(f"onnx:{path}").mean == (0.5,) * 3
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": PIXELS | numbers}))
    with pytest.raises(InputError, match="one std > 0 per band, all finite"):
        described(f"onnx:{path}")


class Ending(nn.Module):
    """Gives all pixels, changed at the end."""

    def __init__(self, ending: str) -> None:
        super().__init__()
        self.ending = ending

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.flatten(1)
        return pixels.mean() if self.ending == "scalar" else pixels.to(torch.complex64)


@pytest.mark.parametrize(("ending", "words"), [("scalar", "row for each"), ("complex", "real num")])
def test_programs_that_give_no_rows_of_real_numbers_are_refused(
    ending: str, words: str, tmp_path: Path
) -> None:
    path = exported(Ending(ending).eval(), tmp_path / "p.pt2", batch=False)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(InputError, match=words):
        described(f"torch:{path}")


@pytest.mark.parametrize("state", [{1: torch.ones(1)}, {"w": torch.ones(1, dtype=torch.complex64)}])
def test_weights_without_names_or_of_complex_numbers_are_refused(
    state: dict[Any, Any], tmp_path: Path
) -> None:
    from gzfeatures.networks.models.load import read_tensors

    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(GzError, match="hold tensors of real numbers by name"):
        read_tensors(tmp_path / "w.pth")


def test_safetensors_of_complex_numbers_are_refused(tmp_path: Path) -> None:
    from gzfeatures.networks.models.load import read_tensors

    # older releases of safetensors neither write complex numbers nor know them in a header
    header = json.dumps({"w": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}).encode()
    file = tmp_path / "w.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(GzError, match=r"real numbers by name|cannot be read"):
        read_tensors(file)


def test_a_configuration_of_more_layers_than_tensors_is_refused_before_they_are_built(
    tmp_path: Path,
) -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    _, folder = vision_folder(tmp_path / "vit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9}))
    with pytest.raises(InputError, match=r"more layers than the file.*num_hidden_layers"):
        described(f"hf:{folder}")
