"""Run networks saved by torch.export (.pt2 files) without running any other code in the file."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gzfeatures.errors import InputError, WeightsError, parsing
from gzfeatures.features.backbones import Backbone
from gzfeatures.files import require_file
from gzfeatures.networks._compat_torch import Missing, load_program, require_program_loader
from gzfeatures.networks.encoders.pooling import joined, pooled, require_layers
from gzfeatures.networks.encoders.view_config import PixelConfig, beside, unknown_pixels

VECTOR = "output"
"""Layer name for the output of a network that already returns one vector per image."""
MOST_BYTES = 2**35
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.[a-z0-9_]+(\.[A-Za-z0-9_]+)?"
    r"|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_(float|int|max|min|not|sum)|math\.(ceil|floor|trunc)"
)
"""Operators of PyTorch that only compute; any other could read files or run code."""
FORBIDDEN = re.compile(r"torch\.ops\.aten\.(from_file|save|_save|load).*")
EXPRESSION = re.compile(
    r"(?:(?:Symbol|Integer|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilToInt|TruncToInt|Add|Mul"
    r"|Float|Rational|positive|integer|nonnegative|real|True|False|[suz]\d{1,9}|'[suz]\d{1,9}'"
    r"|\d{1,12}(?:\.\d{1,12})?(?!\d))|[-+/%(),= ]|\*(?!\*))*+"
)
"""Pattern of formulas for image sizes; torch evaluates these as Python, so others are refused.

Powers and long numbers are refused, because their values may not fit into memory. The last `+`
makes the search possessive: it stops at the first illegal letter, without retrying.
"""
MOST_LETTERS = 2000
"""Largest length of one formula, in characters."""
KEPT = re.compile(
    r"(\.data/(version|serialization_id)|archive_format|archive_version|byteorder|version"
    r"|models/model\.json|data/(weights|constants)/model_(weights|constants)_config\.json"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+|data/sample_inputs/model\.pt)"
)
"""Files in a .pt2 archive that are copied; compiled libraries and custom objects are refused."""


def describe(
    kind: str, name: str, weights: Path | None, pixels: PixelConfig | None = None
) -> Backbone:
    """Return the backbone for a network that torch.export saved in a .pt2 file.

    Parameters
    ----------
    kind : {"torch"}
    name : str
        Path of the .pt2 file.
    weights : Path, optional
        Must be None: the file has its own weights.
    pixels : PixelConfig, optional
        Size, crop and normalisation of the network's images; by default from a file beside the
        .pt2 file.

    Raises
    ------
    MissingFileError, InputError, WeightsError
        The file is missing, could run code, or is damaged; no file states size and normalisation
        of the images.
    """
    if weights is not None:
        raise InputError("weights", where=name, rule="be those of the file", found=weights)
    path = require_file(name, "exported program").resolve()
    pixels = pixels or beside(path)
    if pixels is None:
        raise unknown_pixels(path)
    program = read_program(path)
    shape = _input_shape(program, path)
    view = pixels.view
    if isinstance(shape[2], int) and shape[2] != view.size:
        view = dataclasses.replace(view, size=shape[2])
    encoder = ProgramEncoder(program, VECTOR, path.name)
    with torch.inference_mode():
        output = encoder.features(torch.zeros(encoder.batch or 2, 3, view.size, view.size))
    layer = VECTOR if output.ndim == 2 else "mean"
    vector = output if output.ndim == 2 else pooled(output, layer, 1, path.name)
    return Backbone(
        name=f"{kind}:{path.name}",
        architecture=f"{kind}:exported program",
        weights=f"file:{path}",
        layer=layer,
        dim=int(vector.shape[1]),
        view=view,
        mean=pixels.mean,
        std=pixels.std,
        licence="that of the file",
        source=pixels.origin,
    )


def load(spec: Backbone, weights: Path | None, layer: str, size: int) -> nn.Module:
    """Build the encoder from an exported program, which is a network that torch.export saved."""
    if weights is None:
        raise WeightsError("has no random weights", where=spec.name)
    require_layers(layer, spec.name, (VECTOR,))
    return ProgramEncoder(read_program(weights), layer, spec.name)


def read_program(path: Path) -> Any:
    """Load an exported program (.pt2) from a cleaned copy of its file, which cannot run other code.

    Raises
    ------
    InputError
        The file is damaged, or holds anything else.
    WeightsError
        This PyTorch is too old to read a program without unpickling objects.
    """
    try:
        require_program_loader()
    except Missing as missing:
        raise WeightsError(
            "exported program cannot be read safely",
            where=path,
            rule="be read by a PyTorch that loads it without unpickling objects",
            found=missing,
            remedy="pip install --upgrade torch torchvision, or use an ONNX file of the encoder",
        ) from None
    data = harmless(path)
    with parsing(
        "exported program cannot be read",
        path,
        rule="be written by torch.export.save of this PyTorch",
    ):
        return load_program(data)


def harmless(path: Path) -> bytes:
    """Return a copy of a .pt2 archive without anything that could run code when it is loaded.

    torch.export.load unpickles objects in the file, evaluates sizes as Python, compiles guards
    (conditions on the input, stored as text), and loads compiled libraries. So only known files of
    the archive are copied: pickles are read under `weights_only`, operators and sizes are compared
    with lists of harmless ones, guards and metadata are deleted.

    Raises
    ------
    InputError
        The archive has an unknown file, operator or size; or it is damaged.
    """
    with parsing("exported program cannot be read", path), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        roots = {name.partition("/")[0] for name in names}
        if len(roots) != 1 or len(set(names)) != len(names):
            raise InputError("archive", where=path, rule="have one folder, each member once")
        if sum(info.file_size for info in archive.infolist()) > MOST_BYTES:
            raise InputError("archive is too large", where=path)
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as target:
            for name in names:
                inner = name.partition("/")[2]
                if not KEPT.fullmatch(inner):
                    raise InputError(
                        "exported program holds more than a network and its weights",
                        where=path,
                        rule="have no custom objects, compiled code or other files",
                        found=inner,
                    )
                target.writestr(name, _checked(inner, archive.read(name), path))
        return copy.getvalue()


def _checked(name: str, data: bytes, path: Path) -> bytes:
    """Check one file of a .pt2 archive, and return its bytes without code that torch would run."""
    if name.endswith("model.pt"):
        # example inputs are a pickle, and a pickle can run any code when it is loaded;
        # `weights_only` raises an error for everything but tensors and plain values
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return data
    if name.endswith("_config.json"):
        for entry in dict(json.loads(data)["config"]).values():
            if entry.get("use_pickle") or not re.fullmatch(
                r"(weight|tensor)_\d+", str(entry.get("path_name"))
            ):
                raise InputError(
                    "exported program keeps a pickle", where=path, rule="keep plain tensors"
                )
        return data
    if name == "models/model.json":
        program = json.loads(data)
        program["guards_code"] = []
        _check_graph(program, path)
        return json.dumps(program).encode()
    return data


def _is_size(text: str) -> bool:
    """Return whether a text is a formula of image sizes, safe to evaluate as Python.

    Examples
    --------
    >>> _is_size("Mul(Integer(2), Symbol('s77', positive=True, integer=True))"), _is_size("f(1)")
    (True, False)
    """
    return len(text) <= MOST_LETTERS and EXPRESSION.fullmatch(text) is not None


def _check_graph(node: Any, path: Path) -> None:
    """Refuse a program with operators that do more than compute, with objects, or code as a size.

    `node` is a part of the program's JSON; the metadata of its operators are deleted in place.
    """
    if isinstance(node, list):
        for each in node:
            _check_graph(each, path)
    elif isinstance(node, dict):
        if isinstance(node.get("target"), str) and "inputs" in node:
            node["metadata"] = {}
            target = node["target"]
            if not OPERATOR.fullmatch(target) or FORBIDDEN.fullmatch(target):
                raise InputError(
                    "operator of a program is refused",
                    where=path,
                    rule="be one of PyTorch's own that compute",
                    found=target,
                )
        for key, value in node.items():
            code = key in ("as_custom_obj", "as_operator") and value is not None
            if code or (key == "expr_str" and not _is_size(str(value))):
                raise InputError("program holds code or an object", where=path, found=str(value))
            _check_graph(value, path)


def _input_shape(program: Any, path: Path) -> tuple[Any, ...]:
    """Return the input shape of an exported program; a variable size is a symbol, not an int."""
    names = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    shapes = [
        tuple(node.meta["val"].shape)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names
    ]
    if len(names) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3:
        raise InputError(
            "input of the program",
            where=path,
            rule="be images alone, of shape (n, 3, height, width)",
            found=str(shapes)[:80],
        )
    return tuple(int(side) if isinstance(side, int) else side for side in shapes[0])


class ProgramEncoder(nn.Module):
    """Run an exported program; split images into batches if the program has a fixed batch size."""

    def __init__(self, program: Any, layer: str, name: str) -> None:
        super().__init__()
        self.model, self.layer, self.name = program.module(), layer, name
        batch, _, side, _ = _input_shape(program, Path(name))
        self.batch = batch if isinstance(batch, int) else None
        self.open_size = not isinstance(side, int)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output of the exported program for any number of images."""
        if self.batch is None:
            return self._output(images)
        parts = []
        for part in torch.split(images, self.batch):
            # add black images to a short batch, because the program accepts one batch size only
            filled = torch.cat([part, part.new_zeros(self.batch - len(part), *part.shape[1:])])
            parts.append(self._output(filled)[: len(part)])
        return torch.cat(parts)

    def _output(self, images: torch.Tensor) -> torch.Tensor:
        output = self.model(images)
        if not isinstance(output, torch.Tensor) or output.is_complex():
            rule = "be one tensor of real numbers"
            raise InputError("output of the program", where=self.name, rule=rule)
        if output.ndim < 2 or len(output) != len(images):
            raise InputError(
                "output of the program",
                where=self.name,
                rule="have a row for each image",
                found=tuple(output.shape),
            )
        return output

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return embeddings (n, dim) of normalised images (n, 3, size, size)."""
        features = self.features(images)
        return joined(
            self.layer,
            lambda name: features if name == VECTOR else pooled(features, name, 1, self.name),
        )
