"""Compiled: right, beside other threads, and refused where C does not reach."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import library as operators
from torch import nn
from torch._inductor import codecache

from gzfeatures.networks import _compat_torch
from gzfeatures.networks.compilation.compiled import Compiled, compile_ahead

IMAGES, SIZE, DIM = 16, 64, 24


class Small(nn.Module):
    """Two convolutions over normalised pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 96, 7, padding=3), nn.Conv2d(96, DIM, 7, padding=3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = pixels.permute(0, 3, 1, 2).float() / 255
        vectors: torch.Tensor = self.last(self.first(images).relu()).mean((2, 3))
        return vectors


@operators.custom_op("gzfeatures_test::twice", mutates_args=())
def twice(vectors: torch.Tensor) -> torch.Tensor:
    return 2 * vectors


@twice.register_fake
def _(vectors: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(vectors)


class Foreign(Small):
    """A network with an operator that was written in Python."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = twice(super().forward(pixels))
        return vectors


def pixels() -> torch.Tensor:
    return torch.randint(
        0,
        256,
        (IMAGES, SIZE, SIZE, 3),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(0)
    return compile_ahead(Small().eval(), pixels(), tmp_path_factory.mktemp("workshop"))


def refuse_headers(*_: object, **__: object) -> None:
    raise AssertionError("headers are compiled into a folder whose name anybody can guess")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """The same network with other weights, and the folder for temporary files while it was
    compiled; no folder is chosen for the compiler, as by most users."""
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", str(temporary))
        # PyTorch keeps them in a folder in /tmp, chosen when it is imported
        patch.setattr(codecache, "_precompile_header", refuse_headers, raising=False)
        torch.manual_seed(1)
        code = compile_ahead(Small().eval(), pixels(), temporary / "workshop")
        assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    return code, temporary


def test_canary_a_compiled_library_has_the_functions_that_are_called(
    library: bytes, tmp_path: Path
) -> None:
    (tmp_path / "library.so").write_bytes(library)
    loaded, version = ctypes.CDLL(str(tmp_path / "library.so")), f"PyTorch {torch.__version__}"
    names = [*(f"AOTInductor{name}" for name in _compat_torch.CONTAINER), *_compat_torch.TENSORS]
    assert [name for name in names if not hasattr(loaded, name)] == [], version
    assert _compat_torch.RETURNS_TO_PYTORCH not in library, version


def test_a_library_without_a_function_is_refused_with_the_version(
    library: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_compat_torch, "TENSORS", ("aoti_torch_of_another_version",))
    with pytest.raises(
        _compat_torch.Missing, match=r"PyTorch [\w.+]+ has no aoti_torch_of_another_version"
    ):
        Compiled(library, 1, DIM)


def test_vectors_are_those_of_the_network_in_every_lane(library: bytes) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        expected = Small().eval()(pixels()).numpy()
    compiled = Compiled(library, 2, DIM)
    with ThreadPoolExecutor(4) as lanes:
        found = list(lanes.map(compiled, [pixels().numpy()] * 8))
    for vectors in found:
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-5)


def test_other_threads_go_on_while_it_runs(library: bytes) -> None:
    compiled, given, turns = Compiled(library, 1, DIM), pixels().numpy(), [0]

    def run() -> int:
        before = turns[0]
        compiled(given)
        return turns[0] - before

    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)  # a thread goes on only where another gives the interpreter up
    try:
        with ThreadPoolExecutor(1) as lane:
            running = lane.submit(run)
            while not running.done():
                turns[0] += 1
                time.sleep(0)
            assert running.result() > 0
    finally:
        sys.setswitchinterval(interval)


def test_bytes_that_are_no_library_are_refused(library: bytes) -> None:
    for damaged in (b"", b"text", b"\0" + library[1:]):
        with pytest.raises(RuntimeError, match="compiled network cannot be loaded"):
            Compiled(damaged, 1, DIM)


def test_two_libraries_loaded_one_after_the_other_are_not_taken_for_each_other(
    library: bytes, other: tuple[bytes, Path]
) -> None:
    """The loader knows a library by its path, and descriptors are numbered again."""
    one, two = (Compiled(code, 1, DIM)(pixels().numpy()) for code in (library, other[0]))
    torch.manual_seed(1)
    with torch.no_grad():
        np.testing.assert_allclose(two, Small().eval()(pixels()).numpy(), rtol=1e-3, atol=1e-5)
    assert not np.allclose(one, two, rtol=1e-3)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs nameless files in memory")
def test_what_was_loaded_cannot_be_changed_any_more(library: bytes) -> None:
    compiled = Compiled(library, 1, DIM)
    descriptor = int(Path(compiled._library._name).name)
    for change in (lambda: os.write(descriptor, b"x"), lambda: os.ftruncate(descriptor, 0)):
        with pytest.raises(PermissionError):
            change()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs nameless files in memory")
def test_equal_code_is_mapped_once_and_its_networks_run_and_end_apart(library: bytes) -> None:
    first = Compiled(library, 1, DIM)
    mapped = Path("/proc/self/maps").read_text().count("memfd:gzfeatures")
    second = Compiled(bytes(bytearray(library)), 1, DIM)
    assert Path("/proc/self/maps").read_text().count("memfd:gzfeatures") == mapped > 0
    expected = first(pixels().numpy())
    del first
    np.testing.assert_array_equal(second(pixels().numpy()), expected)


def test_the_compiler_works_in_the_private_folder_and_not_under_a_name_that_anybody_can_guess(
    other: tuple[bytes, Path],
) -> None:
    _, temporary = other
    assert [path.name for path in temporary.iterdir()] == ["workshop"] and list(
        (temporary / "workshop").iterdir()
    )


def test_an_operator_that_only_the_interpreter_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="operator that compiled code cannot call"):
        compile_ahead(Foreign().eval(), pixels(), tmp_path)
