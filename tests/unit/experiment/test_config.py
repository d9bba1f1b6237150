from __future__ import annotations

from pathlib import Path

import pytest
from places import EXPERIMENTS

from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.experiment.config import Experiment, load

MINIMAL = """
name = "small"
[galaxies]
catalog = "votes.csv"
images = "../images"
[[backbones]]
name = "resnet18"
weights = "./resnet18.pth"
[[heads]]
name = "svm"
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "experiments" / "small.toml"
    path.parent.mkdir()
    path.write_text(MINIMAL)
    return path


def test_relative_paths_are_taken_from_the_file(toml: Path) -> None:
    experiment = load(toml)
    assert experiment.galaxies.catalog == toml.parent / "votes.csv"
    assert experiment.galaxies.images == toml.parent.parent / "images"
    assert experiment.backbones[0].weights == str(toml.parent / "resnet18.pth")
    assert experiment.backbones[0].name == "resnet18"


def test_settings_override_by_dotted_key(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [
        "seed=7",
        "galaxies.images=mine",
        "backbones.0.weights=none",
        "galaxies.split=[0.5, 0.25, 0.25]",
    ]
    experiment = load(toml, settings)
    assert experiment.seed == 7
    assert experiment.galaxies.images == tmp_path / "mine"
    assert experiment.backbones[0].weights == "none"
    assert experiment.galaxies.split == (0.5, 0.25, 0.25)
    assert experiment.fingerprint != load(toml).fingerprint


def test_written_settings_read_back_the_same(toml: Path, tmp_path: Path) -> None:
    experiment = load(toml)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "experiment.json").write_text(experiment.model_dump_json())
    assert load(folder) == experiment


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["galaxies.colour=red"], "galaxies.colour: Extra inputs are not permitted"),
        (["heads.0.name"], "--set heads.0.name: setting cannot be read; must be key=value"),
        (["heads.5.name=svm"], "setting cannot be placed; must name a key such as galaxies.images"),
        (["galaxies.on_bad=maybe"], "galaxies.on_bad: Input should be 'raise' or 'skip'"),
        (["name=a/b"], "name: String should match pattern"),
        (['networks=[{name="tomi", options={epochs=3}}]'], "options: epochs has a key of its own"),
        (['joined=[{backbones=["resnet18"]}]'], "joined: name two tables, or a table and a column"),
        (
            ['joined=[{networks=["vgg"], columns=["ra"]}]'],
            "joined: vgg is none of the experiment's fine-tuned tables",
        ),
        (["heads=[]"], "name at least one network, or a backbone and a head"),
    ],
)
def test_wrong_settings_are_one_line(toml: Path, settings: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(toml, settings)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_toml_or_not_there(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(InputError, match=r"broken\.toml: experiment cannot be read; must be TOML"):
        load(broken)
    with pytest.raises(MissingFileError, match="experiment not found; check the path"):
        load(tmp_path / "absent.toml")
    with pytest.raises(MissingFileError, match="settings of the earlier run not found"):
        load(tmp_path)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_experiment_can_be_read(path: Path) -> None:
    assert load(path).name


def test_settings_that_are_left_out_do_not_change_the_fingerprint_of_earlier_runs() -> None:
    """A run folder of an earlier build goes on: its fingerprint was computed by that build."""
    source = {"catalog": "/galaxies/more.csv", "images": "/galaxies/more"}
    fields = {
        "name": "small",
        "galaxies": {
            "catalog": "/galaxies/votes.csv",
            "images": "/galaxies/images",
            "training_only": [source],
        },
        "backbones": [{"name": "resnet18"}],
        "networks": [{"name": "small-cnn"}],
    }
    earlier = "799b628e0c743fd8f4de0e4db342e6c3ea6f32da163d442a688bedd6c915a7bc"
    assert Experiment.model_validate(fields).fingerprint == earlier
    members = fields | {"networks": [{"name": "small-cnn", "members": 2}]}
    assert Experiment.model_validate(members).fingerprint != earlier
