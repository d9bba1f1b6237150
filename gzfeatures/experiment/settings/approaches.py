"""Define settings of an experiment file that choose backbones, networks and heads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from gzfeatures.experiment.settings.section import Section

if TYPE_CHECKING:
    from gzfeatures.features.backbones import Backbone


class FrozenBackbone(Section):
    """Name a backbone to use without further training, with settings that replace its defaults."""

    name: str
    """Name from `list backbones`, or a checkpoint; with `architecture` any name."""
    weights: str | None = None
    """File of weights, or 'none' for random ones; default: the backbone's own."""
    architecture: str | None = None
    """Encoder of another library, as `timm:NAME`, `onnx:FILE`, …; paths count from this file."""
    mean: tuple[float, float, float] | None = None
    """Mean of red, green and blue that it subtracts, if its own file does not say."""
    std: tuple[float, float, float] | None = None
    """What it then divides by, if its own file does not say."""
    layer: str | None = None
    """Layer whose output is the vector; default: the last before the classes."""
    view: str | None = None
    """Crop and size of what the backbone sees, as `--view`."""
    dihedral: bool = False
    """Whether vectors are means over the 8 symmetries of the square."""

    @model_validator(mode="after")
    def _pixels_of_an_architecture(self) -> FrozenBackbone:
        if self.architecture is None and (self.mean or self.std):
            raise ValueError("mean and std: they go with an architecture of another library")
        return self

    def backbone(self) -> str | Backbone:
        """Return a backbone's name, or an object that describes an encoder of another library.

        Raises
        ------
        GzError
            The encoder of the other library does not exist, or cannot be read.
        """
        if self.architecture is None:
            return self.name
        # `described` imports PyTorch, which a backbone given by name does not need yet
        from gzfeatures.networks.encoders.backbone_table import FIELDS, entry_backbone
        from gzfeatures.networks.encoders.described import described

        entry = self.model_dump(mode="json", include=set(FIELDS), exclude_none=True)
        return entry_backbone(entry, Path(), described, f"backbone {self.name}")

    @property
    def own_weights(self) -> str | None:
        """Return the weights file to load into a backbone; None for another library's encoder."""
        return self.weights if self.architecture is None else None


class NetworkChoice(Section):
    """Name a network to train, with the settings of its training."""

    name: str
    """Name from `list networks`, or a checkpoint."""
    weights: str | None = None
    """File of weights to start from, `own` for those it is known with, `none` for random."""
    view: str = ""
    """Crop and size of what the network sees, as `--view`."""
    recipe: Literal["probe", "tune", "scratch"] | None = None
    """How it is trained; default: tune where there are weights to start from."""
    epochs: int | None = Field(None, ge=1)
    """Passes over the training galaxies; default: by their number."""
    as_backbone: bool = True
    """Whether heads are fitted on its embeddings too."""
    seeds: tuple[int, ...] = ()
    """Seeds of several trainings on the one split; the report says how far they spread."""
    learning_curve: tuple[int, ...] = ()
    """Numbers of labels on which it is trained from its start too."""
    members: int = Field(1, ge=1)
    """Number of seeds whose mean probabilities are one network more in the ranking."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of `gzfeatures.networks.training.train.train`, such as lr."""

    @model_validator(mode="after")
    def _nothing_twice(self) -> NetworkChoice:
        keys = {
            *type(self).model_fields,
            "device",
            "precision",
            "seed",
            "folder",
            "resume",
            "again",
        }
        twice = sorted(keys & set(self.options))
        if twice:
            raise ValueError(f"options: {twice[0]} has a key of its own")
        return self

    @model_validator(mode="after")
    def _seeds_of_members(self) -> NetworkChoice:
        if self.members > 1 and self.seeds and len(self.seeds) != self.members:
            raise ValueError(
                f"members: {self.members} of them have as many seeds, not {len(self.seeds)}; "
                "leave seeds out, and they are counted from that of the experiment"
            )
        return self

    def seeds_from(self, seed: int) -> tuple[int, ...]:
        """Return the training seeds; if none are given, count up from the experiment's seed.

        Examples
        --------
        >>> NetworkChoice(name="resnet18", members=3).seeds_from(5)
        (5, 6, 7)
        """
        return self.seeds or tuple(range(seed, seed + self.members))


class HeadChoice(Section):
    """Name a head to fit on embeddings, with its parameters."""

    name: str
    """Name from `list heads`."""
    tune: bool = False
    """Whether parameters are chosen by cross-validation on the training galaxies."""
    seeds: tuple[int, ...] = ()
    """Seeds of several fits on the one split; on a network of several seeds, its own."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters by name, such as C."""


class Joined(Section):
    """Name embedding tables and catalog columns that together are one more input of all heads."""

    backbones: tuple[str, ...] = ()
    """Names of backbones of the experiment."""
    networks: tuple[str, ...] = ()
    """Names of networks of the experiment that are backbones too; of several seeds the first."""
    columns: tuple[str, ...] = ()
    """Columns of the catalog, such as redshift."""

    @property
    def tables(self) -> tuple[tuple[str, str], ...]:
        """Return approach ("frozen" or "fine-tuned") and backbone name of each table to join."""
        return (
            *(("frozen", name) for name in self.backbones),
            *(("fine-tuned", name) for name in self.networks),
        )
