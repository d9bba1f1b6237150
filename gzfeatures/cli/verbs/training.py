"""Define the command `finetune`, which trains a network."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import (
    catalog_from,
    images_of,
    labels_from,
    numbers_from,
    require_sizes_with_curve,
    show_sizes,
    sizes_and_curves,
    target_column,
)
from gzfeatures.cli.options import (
    AsNumber,
    Device,
    GroupArcsec,
    IdColumn,
    IsRedshift,
    Json,
    LabelAsIs,
    LabelsFile,
    MaybeImages,
    MissingLabel,
    Near,
    Seed,
    Selection,
    Sizes,
    Source,
    WithCurve,
)
from gzfeatures.cli.reading import reads_images
from gzfeatures.cli.splitting import labels_and_split
from gzfeatures.cli.verbs.experiments import Upgrade, Uri
from gzfeatures.cli.writing import Given, writes
from gzfeatures.errors import OutputError
from gzfeatures.files import lock_folder
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.labels.target_column import TargetColumn
    from gzfeatures.galaxies.splits.related_galaxies import Grouping
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.ids import Ids
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading
    from gzfeatures.tracking.later.recorder import TrainingRecorder


def _checkpoint(arguments: Given) -> list[Path]:
    from gzfeatures.experiment.label_sizes import FILES as CURVE_FILES
    from gzfeatures.networks.training.checkpoint import FILES

    names = FILES if arguments["sizes"] is None else CURVE_FILES
    return [arguments["output"] / name for name in names]


@app.command(
    epilog=(
        "Example: gzfeatures finetune images/ --labels labels.csv --network resnet18 "
        "--epochs 10 --set ema=0.997 -o checkpoint/; of a number: gzfeatures finetune images/ "
        "--labels sample.fits --target redshift --network googlenet-gz2 -o tuned/; "
        "an ensemble of three seeds: --members 3; how many labels it takes: --sizes 100,300,1000"
    ),
)
@writes(folder="output", beside=_checkpoint)
@reads_images
def finetune(
    reading: Reading,
    source: Source,
    labels: LabelsFile,
    network: Annotated[
        str, typer.Option(help="Name from 'list networks', or any torchvision classifier.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Checkpoint folder to write; it can be used as a backbone."
        ),
    ],
    images: MaybeImages = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help=(
                "'own' (the published weights of that name), a file, or 'none'; default: a "
                "checkpoint's own weights, else random."
            )
        ),
    ] = None,
    recipe: Annotated[
        Literal["probe", "tune", "scratch"] | None,
        typer.Option(
            help="Train the output layer alone (probe), then all blocks (tune), or from random "
            "weights (scratch). Default: by the weights."
        ),
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="Pixels that the network sees, e.g. size=96,crop=0.566.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Passes over the training galaxies; default: from the number of galaxies."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue after the last epoch in the folder, or stop with the reason why this "
            "is impossible.",
        ),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Train again, even if the folder holds a training.")
    ] = False,
    unfreeze: Annotated[
        int | None,
        typer.Option(
            min=0, help="Number of blocks to train, counted from the output; 0 = output layer only."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help=(
                "Training target, e.g. soft-classes; or a number, such as redshift: a column "
                "of the label file or of the catalog. Default: from the labels."
            )
        ),
    ] = None,
    redshift: IsRedshift = None,
    as_number: AsNumber = False,
    counts: Annotated[
        Path | None, typer.Option(help="Catalog with vote counts, for --target counts.")
    ] = None,
    also: Annotated[
        Path | None, typer.Option(help="Label file of a second training target, e.g. of votes-37.")
    ] = None,
    dihedral: Annotated[
        bool,
        typer.Option(
            "--dihedral", help="Average the predictions over 8 mirror images and quarter turns."
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Set a number of the recipe: batch_size=128, ema=0.997; repeat for more."
        ),
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="Numerical precision of the training."),
    ] = "auto",
    device: Device = "auto",
    group_arcsec: GroupArcsec = NEAR_ARCSEC,
    near_duplicates: Near = False,
    selection: Selection = None,
    seed: Seed = 0,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    members: Annotated[
        int,
        typer.Option(
            min=1, help="Number of seeds to train; the ensemble predicts their mean probability."
        ),
    ] = 1,
    sizes: Sizes = None,
    with_curve: WithCurve = None,
    tracking_uri: Uri = None,
    upgrade: Upgrade = False,
    as_json: Json = False,
) -> None:
    """Train a network from random or given weights; its checkpoint is a backbone."""
    from gzfeatures.errors import NotFirstProcess
    from gzfeatures.experiment.finetune_verb import FineTuning
    from gzfeatures.experiment.settings.overrides import with_settings
    from gzfeatures.images.view import View
    from gzfeatures.networks.setup.options import TrainingOptions
    from gzfeatures.networks.training.preparation import TrainingGalaxies

    require_sizes_with_curve(sizes, with_curve)
    reader = _LabelReading(missing_label, label_as_is, id_column)
    loss, number = _goal(target, redshift, as_number)
    # leave out galaxies without an image; `labels_and_split` will print how many there are
    chosen = images_of(source, images, "skip", id_column, reading, selection=selection)
    catalog = None if images is None else catalog_from(source, id_column)
    read = reader.first(labels, number, catalog)
    _require_trainable(network, members, loss or read[0].target)
    grouping, seen = _known_of(chosen, read[0], network, weights, near_duplicates)
    train_labels, split = labels_and_split(
        labels,
        read,
        seed,
        chosen.ids,
        seen,
        grouping=grouping,
        catalog=catalog,
        arcsec=group_arcsec,
        id_column=id_column,
    )
    # --also: labels of a second target, kept also for galaxies without a label in --labels
    second = None if also is None else _among(reader.labels(also)[0], chosen)
    vote_counts = None if counts is None else catalog_from(counts, id_column).counts
    fields: dict[str, Any] = {
        **{"epochs": epochs, "seed": seed, "resume": resume, "again": again, "recipe": recipe},
        **{"target": loss, "unfreeze": unfreeze, "weights": weights, "progress": Terminal()},
        **{"precision": precision, "device": device, "dihedral": dihedral},
    }
    # let --set override the other options, so that a script can vary single settings of a training
    fields = with_settings(fields, settings or ())
    fields |= {"folder": output, "view": None if view is None else View.parse(view)}
    galaxies = TrainingGalaxies(chosen, train_labels, split, vote_counts, second)
    options, tracker = TrainingOptions.of(fields), _tracker(output, tracking_uri, upgrade)
    tuning = FineTuning(network, options, say, members, tracker)
    try:
        if sizes is not None:
            wanted, curves = sizes_and_curves(sizes, with_curve, train_labels)
            return show_sizes(tuning.by_sizes(galaxies, wanted, seed), curves, output, as_json)
        tuned = tuning.of(galaxies)
    except NotFirstProcess:
        raise typer.Exit from None
    show(tuned.asdict(), as_json)
    _say_written(output)


def _say_written(output: Path) -> None:
    """Print where a checkpoint is written, and the commands that predict or extract with it."""
    say(f"checkpoint written to {output}")
    say_next(
        f"gzfeatures predict {quote(output)} my-images/ -o classes.csv",
        f"gzfeatures extract my-images/ --backbone {quote(output)} -o table.parquet",
    )


def _tracker(output: Path, uri: str | None, upgrade: bool) -> TrainingRecorder | None:
    """Lock the checkpoint's folder and open the training's MLflow record; None in a child process.

    Raises
    ------
    OutputError
        The file of the database exists, but is damaged.
    """
    from gzfeatures.experiment.finetune_verb import EXPERIMENT
    from gzfeatures.tracking.database import DamagedDatabase
    from gzfeatures.tracking.later.recorder import TrainingRecorder

    if "LOCAL_RANK" in os.environ:
        # several processes train together: the one that started this one has locked the folder
        return None
    lock_folder(output, say)
    remedy, progress = f"gzfeatures record {output}", Terminal()
    try:
        return TrainingRecorder.at(
            uri, EXPERIMENT, upgrade=upgrade, progress=progress, remedy=remedy
        )
    except DamagedDatabase:
        # stop before the training: a server may come back meanwhile, but a damaged database will
        # not
        raise
    except OutputError as error:
        # go on without a record: hours of training must not be lost because a server fails
        say(f"the training goes on without its record: {error}; afterwards, '{remedy}'")
        return TrainingRecorder(None, progress)


@dataclasses.dataclass(frozen=True)
class _LabelReading:
    """Read label files with the user's words for "no label" and the user's column of ids."""

    missing_label: list[str] | None
    label_as_is: bool
    id_column: str | None

    def first(
        self, path: Path, number: TargetColumn | None, catalog: Catalog | None
    ) -> tuple[Labels, Split | None]:
        """Read what the network will predict: the labels of a file, or a column of numbers."""
        if number is None:
            return self.labels(path)
        return numbers_from(path, number, catalog, self.id_column)

    def labels(self, path: Path) -> tuple[Labels, Split | None]:
        """Read the labels of a file, and its split if it has one."""
        return labels_from(path, self.missing_label, self.label_as_is, self.id_column)


def _goal(
    target: str | None, redshift: bool | None, as_number: bool
) -> tuple[str | None, TargetColumn | None]:
    """Return what --target names: a training target (soft-classes, …) or a column of numbers."""
    from gzfeatures.networks.setup.targets import TARGETS

    # a name such as soft-classes means the built-in training target, as in earlier versions, even
    # if a column has the same name
    if target in TARGETS:
        target_column(None, redshift, as_number)
        return target, None
    return None, target_column(target, redshift, as_number)


def _require_trainable(network: str, members: int, target: str) -> None:
    """Refuse, before any work, an unknown network, or an ensemble whose outputs have no mean."""
    from gzfeatures.networks.training.initialisation import require_network
    from gzfeatures.networks.training.members import require_mean

    require_network(network)
    if members > 1:
        require_mean(target)


def _known_of(
    images: ImageSet,
    labels: Labels,
    network: str,
    weights: str | None,
    near_duplicates: bool,
) -> tuple[Grouping, Sequence[Ids]]:
    """Group galaxies that share an image; find those that the initial weights were trained on."""
    from gzfeatures.features.trained_on import picture_groups
    from gzfeatures.galaxies.splits.related_galaxies import NEAR_DUPLICATES, SAME_FILE, Grouping
    from gzfeatures.ids import among
    from gzfeatures.networks.training.initialisation import seen_by

    near = images.select(images.ids[among(images.ids, labels.ids)])
    # galaxies that the weights were trained on are recognised by id, file or picture
    seen = [seen_by(network, near, weights)]
    grouping = Grouping().joined(SAME_FILE, near.duplicate_groups())
    if near_duplicates:
        # also compare picture hashes, which find a resampled or recompressed copy in another file
        alike = picture_groups(near.ids, near.picture_hashes())
        grouping = grouping.joined(NEAR_DUPLICATES, alike)
    return grouping, seen


def _among(labels: Labels, images: ImageSet) -> Labels:
    """Select the labels of galaxies that have an image."""
    import numpy as np

    return labels.select(labels.ids[np.isin(labels.ids, images.ids)])
