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
        Folder of the checkpoint, of the state to resume from, `history.json` and `curves.png`.
    recipe : {"probe", "tune", "scratch"}, optional
        See `recipe.RECIPES`; by default `tune` if weights are given to start from, else `scratch`.
    epochs : int, optional
        Largest number of epochs; the default follows from the number of galaxies
        (`TrainingRecipe.settled`).
    seed : int
        Decides weights, order, augmentation and dropout: on a CPU, the same seed gives the same
        weights.
    halving_seed : int, optional
        Seed that halves the validation galaxies: one half chooses the best epoch, the other half
        calibrates. Default `seed`. The members of an ensemble share this seed, so that the same
        half can calibrate all of them.
    resume : bool
        Continue from the last complete epoch in `folder`, if any, and refuse other settings. An
        unfinished training of the same settings is continued in any case; on a CPU the result is
        the same to the bit as without the interruption.
    again : bool
        Train from the beginning, whatever the folder holds.
    view : View, optional
        Crop, size and colours of the network's input; default the backbone's or network's own.
    weights : str or Path, optional
        File to start from, or "own" for the backbone's own. By default a checkpoint folder starts
        from its weights, and a network's name from random weights, which is announced. The output
        layer is replaced, unless a checkpoint has the same classes.
    target : str, optional
        Key of `targets.TARGETS`; default the labels' own, such as "classes".
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
        Shows the plan of the training before the first step, and then its progress; nothing by
        default. True: in the terminal.
    members : int
        Number of networks of the ensemble that this training is a part of; 1 for a single network.
        It changes only what is announced.
    numbers : mapping
        Fields of `TrainingRecipe` that replace the defaults of the named recipe.
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
            `folder`, any field of this class, and any field of `TrainingRecipe`; `augmentation` may
            be a mapping of the fields of `Augmentation`.

        Raises
        ------
        UnknownNameError
            `Augmentation` has no such field. Names that are no field of this class are passed on to
            `TrainingRecipe`, which refuses unknown names.

        Examples
        --------
        >>> options = TrainingOptions.of({"folder": "tuned", "epochs": 3, "batch_size": 16})
        >>> options.epochs, options.numbers
        (3, {'batch_size': 16})
        """
        # a name that is no field of this class may be a field of `TrainingRecipe`, which later
        # refuses unknown names
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
        """Return the seed that halves the validation galaxies; one half is for calibration only."""
        return self.seed if self.halving_seed is None else self.halving_seed

    @property
    def scratch(self) -> Path:
        """Return the folder that holds decoded pixels during the training."""
        return Path(self.cache) if self.cache is not None else self.folder / "pixels"
