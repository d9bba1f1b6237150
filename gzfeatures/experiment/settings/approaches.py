"""Define the settings of an experiment that choose backbones, networks, heads and joined inputs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from gzfeatures.experiment.settings.section import Section


class FrozenBackbone(Section):
    """Name a backbone that is not trained further, with settings to override.

    With `dihedral` its vectors are means over the 8 symmetries of the square.
    """

    name: str
    weights: str | None = None
    layer: str | None = None
    view: str | None = None
    dihedral: bool = False


class NetworkChoice(Section):
    """Name a network to train; with `as_backbone`, heads are fitted on its embeddings too.

    `recipe` is probe, tune or scratch; by default tune where there are weights to start from.
    `epochs` follow from the number of galaxies where they are not given. `options` are keyword
    arguments of `gzfeatures.networks.training.train.train`. With `seeds` it is trained once for
    each (the split stays that of the experiment's seed), and the report says how far they spread.
    `learning_curve` lists numbers of labels on which it is trained from its start too. With
    `members` that many seeds are trained, and the mean of their probabilities is one network more,
    with a row of its own in the ranking.
    """

    name: str
    weights: str | None = None
    view: str = ""
    recipe: Literal["probe", "tune", "scratch"] | None = None
    epochs: int | None = Field(None, ge=1)
    as_backbone: bool = True
    seeds: tuple[int, ...] = ()
    learning_curve: tuple[int, ...] = ()
    members: int = Field(1, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)

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
        """Return the seeds of the trainings, counted from the experiment's seed if none are given.

        Examples
        --------
        >>> NetworkChoice(name="resnet18", members=3).seeds_from(5)
        (5, 6, 7)
        """
        return self.seeds or tuple(range(seed, seed + self.members))


class HeadChoice(Section):
    """Name a head and its parameters.

    With `seeds` it is fitted once for each (the split stays that of the experiment's seed), and the
    report says how far they spread; on a network trained with several seeds, heads have the
    network's.
    """

    name: str
    tune: bool = False
    seeds: tuple[int, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)


class Joined(Section):
    """Join several tables and catalog columns as one more input of every head.

    `backbones` and `networks` (that are backbones too; of several seeds the first) are listed by
    the names they have in the experiment; `columns` are those that `Catalog.column` knows, such as
    redshift.
    """

    backbones: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[tuple[str, str], ...]:
        """Return approach and name of each table, in order."""
        return (
            *(("frozen", name) for name in self.backbones),
            *(("fine-tuned", name) for name in self.networks),
        )
