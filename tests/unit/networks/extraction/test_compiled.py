"""Compiled: right, beside other threads, and refused where C does not reach."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import library as operators
from torch import nn

from gzfeatures.networks.compiled import Compiled, compile_ahead

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
    return torch.randint(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("compiled") / "small.so"
    compile_ahead(Small().eval(), pixels(), path)
    return path


def test_vectors_are_those_of_the_network_in_every_lane(library: Path) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        expected = Small().eval()(pixels()).numpy()
    compiled = Compiled(library, 2, DIM)
    with ThreadPoolExecutor(4) as lanes:
        found = list(lanes.map(compiled, [pixels().numpy()] * 8))
    for vectors in found:
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-5)


def test_other_threads_go_on_while_it_runs(library: Path) -> None:
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


def test_a_damaged_library_is_refused(library: Path, tmp_path: Path) -> None:
    whole = library.read_bytes()
    half = tmp_path / "half.so"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RuntimeError, match=r"half\.so is damaged"):
        Compiled(half, 1, DIM)


def test_a_library_that_is_overwritten_while_it_runs_goes_on(library: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.so"
    copy.write_bytes(library.read_bytes())
    compiled = Compiled(copy, 1, DIM)
    copy.write_bytes(b"")
    np.testing.assert_array_equal(compiled(pixels().numpy()), Compiled(library, 1, DIM)(pixels().numpy()))


def test_an_operator_that_only_the_interpreter_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="operator that compiled code cannot call"):
        compile_ahead(Foreign().eval(), pixels(), tmp_path / "foreign.so")
    assert not list(tmp_path.iterdir())
