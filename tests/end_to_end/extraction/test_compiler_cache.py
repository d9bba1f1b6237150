"""PyTorch's compiler keeps its files where only the user can put code."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn
from torch._inductor import config

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks._compat_torch import HEADERS
from gzfeatures.networks.compilation.compiler_cache import COMPILER_CACHE, private_compiler
from gzfeatures.networks.training.train import train


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of compiled networks; no other is chosen."""
    monkeypatch.delenv(COMPILER_CACHE, raising=False)
    monkeypatch.setenv("GZFEATURES_COMPILED", str(tmp_path / "compiled"))
    return tmp_path / "compiled"


def nobody_else_enters(folder: Path) -> bool:
    status = folder.stat()
    return stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == os.getuid()


def shared_headers() -> list[bool]:
    """Whether the compiler would now share compiled headers between networks, by kind."""
    known = config.get_config_copy()
    return [bool(known[name]) for name in HEADERS if name in known]


def test_compiler_works_in_the_private_folder_and_the_variable_is_put_back(home: Path) -> None:
    with private_compiler():
        folder = Path(os.environ[COMPILER_CACHE])
        assert folder.is_relative_to(home) and nobody_else_enters(folder)
        assert not any(shared_headers())
    assert COMPILER_CACHE not in os.environ


def test_a_folder_that_the_user_chose_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMPILER_CACHE, "mine")
    with private_compiler():
        assert os.environ[COMPILER_CACHE] == "mine"
    assert os.environ[COMPILER_CACHE] == "mine"


def test_the_guessable_folder_that_pytorch_itself_names_is_not_the_user_s_choice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guessable = str(Path(tempfile.gettempdir()) / "torchinductor_me")
    monkeypatch.setenv(COMPILER_CACHE, guessable)
    with private_compiler():
        assert Path(os.environ[COMPILER_CACHE]).is_relative_to(home)
    assert os.environ[COMPILER_CACHE] == guessable


def test_without_a_private_folder_a_new_one_that_nobody_can_guess_is_used_and_removed(
    home: Path,
) -> None:
    home.write_text("a file in the place of the folder")
    folders = []
    for _ in range(2):
        with private_compiler():
            folders.append(Path(os.environ[COMPILER_CACHE]))
            assert nobody_else_enters(folders[-1])
    assert folders[0] != folders[1] and not any(map(os.path.exists, folders))


def test_nothing_is_made_where_nothing_is_compiled(home: Path) -> None:
    with private_compiler(False):
        assert COMPILER_CACHE not in os.environ
    assert not home.exists()


def test_a_compiled_training_compiles_in_the_private_folder_wherever_its_network_runs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    ids = np.asarray([f"{k:02d}" for k in range(24)], dtype=object)
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    for name, pixels in zip(ids, noise, strict=True):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    labels = Labels(ids, ("a", "b"), np.arange(24) % 2, scheme="two")
    folders: list[str | None] = []
    shares: set[bool] = set()

    def look(*_: object) -> None:
        folders.append(os.environ.get(COMPILER_CACHE))
        shares.update(shared_headers())

    def in_place_of_compiling(module: nn.Module) -> None:
        module.register_forward_pre_hook(look)

    monkeypatch.setattr(nn.Module, "compile", in_place_of_compiling)
    settings = {"epochs": 1, "batch_size": 8, "view": View(size=32), "progress": False}
    split = Split.draw(labels, (0.5, 0.25, 0.25), seed=0)
    images = ImageSet.of(tmp_path / "images")
    train(images, labels, split, "resnet18", folder=tmp_path / "out", compiled=True, **settings)
    assert len(folders) > 2, "in training and afterwards"
    assert all(Path(each or "/").is_relative_to(home) for each in folders), set(folders)
    assert COMPILER_CACHE not in os.environ
    # headers that networks share lie in /tmp under a name that anybody can guess
    assert True not in shares


COMPILES = """if True:
    import torch, torchvision  # which names a folder in the variable, as whatever imports it first
    from gzfeatures.networks.compilation.compiler_cache import private_compiler
    with private_compiler():
        print(torch.compile(torch.nn.Linear(3, 2))(torch.ones(4, 3)).shape)
"""


def test_nothing_of_the_compiler_lies_under_a_name_that_anybody_can_guess(
    home: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary), "GZFEATURES_COMPILED": str(home)}
    environment.pop(COMPILER_CACHE, None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILES],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    guessable = [path for path in temporary.iterdir() if "inductor" in path.name]
    assert not [path for folder in guessable for path in folder.rglob("*") if path.is_file()]
    made = [path for path in home.rglob("*") if path.is_file() and "compiler" in path.parts]
    assert len(made) > 1, "what it compiled"
