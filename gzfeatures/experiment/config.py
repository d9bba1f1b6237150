"""Define the settings of an experiment file (TOML), and read an experiment file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, parsing
from gzfeatures.experiment.settings.approaches import (
    FrozenBackbone,
    HeadChoice,
    Joined,
    NetworkChoice,
)
from gzfeatures.experiment.settings.overrides import absolute, with_settings
from gzfeatures.experiment.settings.sample import (
    ByDigest,
    Galaxies,
    HowRead,
    ImagedCatalog,
    SecondTarget,
)
from gzfeatures.experiment.settings.section import Section
from gzfeatures.files import require_file

__all__ = [
    "SETTINGS",
    "ByDigest",
    "Experiment",
    "FrozenBackbone",
    "Galaxies",
    "HeadChoice",
    "HowRead",
    "ImagedCatalog",
    "Joined",
    "NetworkChoice",
    "SecondTarget",
    "load",
    "with_settings",
]

SETTINGS = "experiment.json"
"""Name of the file in a run's folder that holds the run's settings."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Experiment(Section):
    """Store all settings of one run; they cannot change during the run."""

    name: Name
    """Name of the run and of its folder."""
    description: str = ""
    """What the experiment is for; printed, and without effect."""
    seed: int = Field(0, ge=0)
    """Seed of the split, the fits and the trainings."""
    galaxies: Galaxies
    """Galaxies, their images, votes and split."""
    backbones: tuple[FrozenBackbone, ...] = ()
    """Backbones whose vectors heads are fitted on."""
    networks: tuple[NetworkChoice, ...] = ()
    """Networks to train end to end."""
    heads: tuple[HeadChoice, ...] = ()
    """Heads to fit on every table."""
    joined: tuple[Joined, ...] = ()
    """Several tables and columns as one input of heads."""
    jobs: int = Field(1, ge=-1)
    """Number of settings tried at once when heads are tuned; -1 for one per core."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of extraction and training."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks compute."""
    heads_on: Literal["all", "catalog"] = "all"
    """Whether heads train on all training galaxies, or only on those of the catalog that is
    split, since galaxies that only train may have other shares of classes."""
    learning_curve: tuple[int, ...] = ()
    """Numbers of labels at which heads of each approach's best table are fitted too, for three
    seeds each."""
    sizes: tuple[int, ...] = ()
    """Numbers of labels at which every network and every head on a frozen table is measured, in
    one plot that says from where fine-tuning pays."""
    map: bool = True
    """Whether a map of the best table is drawn."""
    explain: int = Field(0, ge=0)
    """Number of galaxies of each class that the report explains; 0 loads no network for it."""
    allow_seen: bool = False
    """Whether test galaxies that a backbone was trained on are scored too, with a dagger."""

    @model_validator(mode="after")
    def _something_to_do(self) -> Experiment:
        if not self.networks and not (self.backbones and self.heads):
            raise ValueError("name at least one network, or a backbone and a head")
        return self

    @model_validator(mode="after")
    def _one_curve(self) -> Experiment:
        older = self.learning_curve or any(each.learning_curve for each in self.networks)
        if self.sizes and older:
            raise ValueError("sizes: they take the place of learning_curve; leave one of them out")
        if any(size < 2 for size in self.sizes):
            raise ValueError("sizes: each is a number of labels above 1")
        return self

    @model_validator(mode="after")
    def _heads_once(self) -> Experiment:
        # two heads of one name would write to the same file
        names = [choice.name for choice in self.heads]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"heads: {twice} is listed twice; give it seeds, or its other parameters a run"
            )
        return self

    @model_validator(mode="after")
    def _known_tables(self) -> Experiment:
        tables = {("frozen", choice.name) for choice in self.backbones}
        tables |= {("fine-tuned", network.name) for network in self.networks if network.as_backbone}
        for joint in self.joined:
            if not joint.tables or len(joint.tables) + len(joint.columns) < 2:
                raise ValueError("joined: name two tables, or a table and a column")
            for approach, name in joint.tables:
                if (approach, name) not in tables:
                    raise ValueError(
                        f"joined: {name} is none of the experiment's {approach} tables"
                    )
        return self

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Return all paths that a run reads from: catalogs, images, labels and weights."""
        return tuple(_paths(self.model_dump()))

    @property
    def fingerprint(self) -> str:
        """Return a sha256 of all settings but the description, to recognise equal experiments."""
        settings = self.model_dump(mode="json", exclude={"description"})
        for source in (settings["galaxies"], *settings["galaxies"]["training_only"]):
            # leave out the section `reading` if it is empty: the sha256 of older runs, which had no
            # such section, then stays the same
            if not any(source["reading"].values()):
                del source["reading"]
        # leave out newer settings at their default, so that the sha256 of older runs stays the same
        for section, younger in (
            (settings, _YOUNGER),
            (settings["galaxies"], _YOUNGER_OF_GALAXIES),
            *((network, _YOUNGER_OF_NETWORKS) for network in settings["networks"]),
            *((each, _YOUNGER_OF_BACKBONES) for each in settings["backbones"]),
        ):
            for name, default in younger.items():
                if section[name] == default:
                    del section[name]
        return fingerprint.of(settings)


_YOUNGER: dict[str, Any] = {"sizes": []}
_YOUNGER_OF_GALAXIES: dict[str, Any] = {
    "others": None,
    "target": None,
    "redshift": None,
    "as_number": False,
}
_YOUNGER_OF_NETWORKS: dict[str, Any] = {"members": 1}
_YOUNGER_OF_BACKBONES: dict[str, Any] = {"architecture": None, "mean": None, "std": None}
"""Settings that older runs lack, with their defaults."""


def _paths(fields: Any) -> Iterator[Path]:
    if isinstance(fields, (dict, list, tuple)):
        for each in fields.values() if isinstance(fields, dict) else fields:
            yield from _paths(each)
    elif isinstance(fields, Path) or (isinstance(fields, str) and Path(fields).is_absolute()):
        yield Path(fields)


def load(path: str | Path, settings: Sequence[str] = ()) -> Experiment:
    """Read an experiment file, or the settings that an earlier run stored in its folder.

    Parameters
    ----------
    path : str or Path
        Experiment file (TOML), or a run's folder, whose `experiment.json` is read.
    settings : sequence of str
        Texts `key=value` with dotted keys (`galaxies.images=…`, `backbones.0.weights=…`), which
        replace settings of the file. Relative paths in these texts are relative to the working
        folder.

    Raises
    ------
    MissingFileError, InputError
        The file does not exist or is no TOML, a key is unknown, or a value breaks a rule; the
        message names all such keys.
    """
    path = require_file(path, "experiment")
    if path.is_dir():
        # the folder of an earlier run may be given too: its settings repeat the run
        path = require_file(path / SETTINGS, "settings of the earlier run")
    with parsing("experiment cannot be read", path, rule="be TOML"):
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    # paths in the file are relative to the file; paths of --set are relative to the working folder
    fields = with_settings(absolute(fields, path.parent), settings)
    try:
        return Experiment.model_validate(fields)
    except ValidationError as error:
        # report all problems at once: on a cluster, a corrected run may wait a day before it starts
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'experiment'}: {e['msg']}" for e in error.errors()
        ]
        raise InputError(
            "; ".join(problems), where=path, remedy="see experiments/README.md"
        ) from None
