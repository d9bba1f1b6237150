"""List the networks that a run trains, and the embedding tables that it extracts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gzfeatures.evaluation.candidate import Approach
from gzfeatures.experiment.config import Experiment
from gzfeatures.experiment.folder import slug
from gzfeatures.experiment.settings.approaches import FrozenBackbone, HeadChoice, NetworkChoice
from gzfeatures.features.backbones import BACKBONES


@dataclasses.dataclass(frozen=True)
class PlannedTable:
    """Plan an embedding table: its backbone, the heads to fit, and the backbone's training time.

    `apart` is a suffix that distinguishes backbones of the same name. If the backbone was trained
    in this run, `spent` has the seconds of its training, and `curve` the validation score after
    each epoch.
    """

    name: str
    choice: FrozenBackbone
    heads: tuple[HeadChoice, ...]
    seed: int
    approach: Approach = "frozen"
    spent: Mapping[str, float] = dataclasses.field(default_factory=dict)
    apart: str = ""
    curve: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        network: NetworkChoice,
        checkpoint: Path,
        heads: tuple[HeadChoice, ...],
        seed: int,
        spent: float,
    ) -> PlannedTable:
        """Plan the embedding table of a trained network; its heads use the training's seed."""
        own_heads = (
            tuple(head.model_copy(update={"seeds": ()}) for head in heads)
            if network.seeds or network.members > 1
            else heads
        )
        return cls(
            network.name,
            FrozenBackbone(name=str(checkpoint)),
            own_heads,
            seed,
            "fine-tuned",
            {"train": spent},
        )


@dataclasses.dataclass(frozen=True)
class PlannedTraining:
    """Plan one training of a network: folder name, network and seed.

    `apart` is a suffix that distinguishes networks of the same name. `first` is true for the first
    of a network's seeds, `last` for the last. `stem` is the common start of the folder names of all
    its seeds.
    """

    folder: str
    network: NetworkChoice
    seed: int
    apart: str
    first: bool
    last: bool
    stem: str


def planned_tables(settings: Experiment) -> list[PlannedTable]:
    """Plan the embedding tables of backbones that are used without further training."""
    every = zip(settings.backbones, told_apart(settings.backbones), strict=True)
    heads, seed = settings.heads, settings.seed
    return [PlannedTable(choice.name, choice, heads, seed, apart=apart) for choice, apart in every]


def planned_trainings(settings: Experiment) -> Iterator[PlannedTraining]:
    """Yield one planned training for each network and each of its seeds."""
    every = zip(settings.networks, told_apart(settings.networks), strict=True)
    for number, (network, apart) in enumerate(every):
        folder = f"{number:02d}-{slug(network.name)}"
        seeds = network.seeds_from(settings.seed)
        several = bool(network.seeds) or network.members > 1
        for seed in seeds:
            folder_of_seed = f"{folder}-seed{seed}" if several else folder
            first, last = seed == seeds[0], seed == seeds[-1]
            yield PlannedTraining(folder_of_seed, network, seed, apart, first, last, folder)


def told_apart(choices: Sequence[FrozenBackbone | NetworkChoice]) -> list[str]:
    """Return suffixes that tell chosen networks of equal name apart: settings, a number, or both.

    The suffix is empty for a name that occurs once.
    """
    names = [each.name for each in choices]
    counts: Counter[str] = Counter()
    suffixes = []
    for each in choices:
        # if a network is chosen twice, the two choices usually differ in these settings: append the
        # settings to the name
        parts = [
            each.view,
            getattr(each, "layer", None),
            "dihedral" if getattr(each, "dihedral", False) else None,
        ]
        apart = "".join(f" {text}" for text in parts if text) if names.count(each.name) > 1 else ""
        # number the networks that have equal names and equal settings
        counts[each.name + apart] += 1
        number = counts[each.name + apart]
        suffixes.append(f"{apart} {number}" if number > 1 else apart)
    return suffixes


def weight_files(settings: Experiment) -> list[str]:
    """Return the weight files that replace those of a backbone, or that trainings start from."""
    given = [choice.own_weights for choice in settings.backbones]
    given += [each.weights for each in settings.networks]
    return [file for file in given if file and file not in ("none", "own")]


def starting_weights(settings: Experiment) -> list[str]:
    """Return the names of backbones that are used, or whose weights trainings start from."""
    starts = [each.name for each in settings.networks if each.weights != "none"]
    # the run checks that no network was trained on test galaxies: keep only known backbones and
    # checkpoint folders, which have a list of training galaxies, and not names of architectures
    starts = [name for name in starts if name in BACKBONES or Path(name).is_dir()]
    named = [choice.name for choice in settings.backbones if choice.architecture is None]
    return [*named, *starts]
