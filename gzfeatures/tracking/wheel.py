"""Write the installed gzfeatures as a wheel (package file), also if it is installed editable."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import gzfeatures
from gzfeatures import fingerprint
from gzfeatures.errors import OutputError
from gzfeatures.files import written_whole

FOLDER = "wheels"
"""Folder name for wheels (package files): beside all recorded files, and in each model's folder."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FORM = "Wheel-Version: 1.0\nGenerator: gzfeatures\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_TAKEN = ("METADATA", "entry_points.txt", "top_level.txt")
_PACKED = (".safetensors", ".npz", ".png", ".jpg")
"""Endings of files that are already compressed: the wheel stores them as they are."""


def write_wheel(folder: Path) -> Path:
    """Write gzfeatures as a wheel (package file) into a folder, unless an equal one is in it.

    Parameters
    ----------
    folder : Path
        Folder for wheels; each gets a subfolder named after a digest (sha256) of its content.
        Equal source files give equal wheels, byte for byte.

    Returns
    -------
    Path
        `<folder>/<digest>/gzfeatures-<version>-py3-none-any.whl`.

    Raises
    ------
    OutputError
        The package is not installed, so its requirements are unknown; or the folder cannot be
        written.
    """
    content = dict(_content(_installed()))
    digest = fingerprint.of({name: fingerprint.of_bytes(data) for name, data in content.items()})
    version = gzfeatures.__version__
    path = folder / digest[:16] / f"gzfeatures-{version}-py3-none-any.whl"
    if path.exists():
        return path
    record = f"gzfeatures-{version}.dist-info/RECORD"
    lines = [f"{name},sha256={_checksum(data)},{len(data)}" for name, data in content.items()]
    content[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in content.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            # fixed permissions, and the fixed time `_EPOCH`, make two wheels of the same files
            # equal, byte for byte
            entry.external_attr = 0o644 << 16
            kind = zipfile.ZIP_STORED if name.endswith(_PACKED) else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data, compress_type=kind)
    return path


def _installed() -> Distribution:
    """Return pip's metadata of the installed gzfeatures.

    If the working folder contains the source code, Python first finds the folder `*.egg-info` in
    it. That folder is skipped: it has no METADATA file, without which pip cannot read a wheel.
    """
    for each in distributions(name="gzfeatures"):
        if each.read_text("METADATA") is not None:
            return each
    raise OutputError(
        "a model needs the wheel of gzfeatures",
        rule="be installed",
        found="source files on the path alone",
        remedy="pip install it, with -e if you like",
    )


def _content(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each file for the wheel: package and installation metadata."""
    package = Path(gzfeatures.__file__).parent
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package.parent).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield name, path.read_bytes()
    notes = f"gzfeatures-{gzfeatures.__version__}.dist-info"
    for name in _TAKEN:
        if (text := installed.read_text(name)) is not None:
            yield f"{notes}/{name}", text.encode()
    yield f"{notes}/WHEEL", _FORM.encode()


def _checksum(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
