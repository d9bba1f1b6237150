"""Collect the options of a training in one object, from the command line or an experiment file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gzfeatures.images.view import View
from gzfeatures.networks.setup.augment import Augmentation
from gzfeatures.progress import Progress


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingOptions:
    """Collect all options of a training, such as recipe, seed and device, without its galaxies.

    Parameters
    ----------
    folder : Path
        Where the checkpoint goes, with the state to resume from, `history.json` and `curves.png`.
    recipe : {"probe", "tune", "scratch"}, optional
        See `recipe.RECIPES`; by default tune where there are weights to start from, else scratch.
    epochs : int, optional
        At most; by default as many as the number of galaxies asks (`Recipe.settled`).
    seed : int
        Decides weights, order, augmentation and dropout: on a CPU, the same seed gives the same
        weights.
    halving_seed : int, optional
        Decides which half of the validation galaxies chooses the epoch, where that is chosen;
        default `seed`. The members of an ensemble share it: the other half can calibrate them all.
    resume : bool
        Insist on going on from the last whole epoch in `folder`, if there is one: other settings
        are an error. An unfinished training of the same settings goes on in any case; on a CPU the
        result is the same to the bit.
    again : bool
        Train anew, whatever the folder holds.
    view : View, optional
        Pixels the network sees; default the backbone's or network's own.
    weights : str or Path, optional
        File to start from, or "own" for the backbone's own; by default a checkpoint folder starts
        from its weights and a name from a random start, which is said. The output layer starts
        anew, unless the weights are those of a checkpoint with the same classes.
    target : str, optional
        Entry of `targets.TARGETS`; default the kind of the labels.
    augmentation : Augmentation
        Random changes of the training images.
    dihedral : bool
        Average the returned predictions over the 8 symmetries of the square.
    precision, device : str
        As `hardware.choose`; weights are float32 in any case.
    devices, nodes : int
    strategy : str
        Processes and machines, as Lightning names them ("ddp", "ddp_spawn", …).
    compiled : bool
        Compile the network (torch.compile): pays on CUDA in long trainings, not on CPUs.
    cache : str or Path, optional
        Folder of decoded pixels, to share among trainings; by default one in `folder`, removed at
        the end.
    progress : Progress or bool
        Shows what the training will do, before the first step, and how far it is; nothing by
        default. True is the terminal.
    members : int
        Number of networks of the ensemble that this training is a part of; 1 for a single network.
        It changes only what is announced.
    numbers : mapping
        Fields of `Recipe` that replace those of the recipe's name.
    """

    folder: Path
    recipe: str | None = None
    epochs: int | None = None
    seed: int = 0
    halving_seed: int | None = None
    resume: bool = False
    again: bool = False
    view: View | None = None
    weights: str | Path | None = None
    target: str | None = None
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    dihedral: bool = False
    precision: str = "auto"
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    compiled: bool = False
    cache: str | Path | None = None
    progress: Progress | bool = False
    members: int = 1
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> TrainingOptions:
        """Build training options from names and values, as given by `--set` or an experiment file.

        Parameters
        ----------
        fields : mapping
            `folder`, any field of this class, and any field of `Recipe`; `augmentation` may be a
            mapping of its fields.

        Raises
        ------
        UnknownNameError
            The augmentation has no such field. Names that are no field of this class are taken for
            numbers of the recipe, which refuses those that it does not know.

        Examples
        --------
        >>> options = TrainingOptions.of({"folder": "tuned", "epochs": 3, "batch_size": 16})
        >>> options.epochs, options.numbers
        (3, {'batch_size': 16})
        """
        # names that are no field of this class are numbers of the recipe, which refuses unknown
        # names
        names = {field.name for field in dataclasses.fields(cls)} - {"numbers"}
        options = {name: value for name, value in fields.items() if name in names}
        numbers = {name: value for name, value in fields.items() if name not in names}
        options["folder"] = Path(options["folder"])
        augmentation = options.get("augmentation")
        if not isinstance(augmentation, Augmentation):
            options["augmentation"] = Augmentation.of(augmentation or {})
        return cls(**options, numbers=numbers)

    @property
    def halves_by(self) -> int:
        """Return the seed that halves the validation galaxies: one half calibrates the network."""
        return self.seed if self.halving_seed is None else self.halving_seed

    @property
    def scratch(self) -> Path:
        """Return the folder that holds decoded pixels during the training."""
        return Path(self.cache) if self.cache is not None else self.folder / "pixels"
