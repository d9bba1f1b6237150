"""Declare the options that several commands of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

NOT_PARQUET = (
    *(".csv", ".tsv", ".txt", ".ecsv", ".fits", ".fit", ".vot", ".votable", ".xml", ".html"),
    *(".h5", ".hdf5", ".h5ad", ".npy", ".npz", ".feather", ".arrow", ".json"),
)
"""Endings of file names that promise another format than Parquet."""


def csv_only(path: Path | None) -> Path | None:
    """Refuse an output file whose name promises another format than CSV, before any work."""
    from gzfeatures.files import require_csv

    return None if path is None else require_csv(path, "table to write")


def parquet_only(path: Path | None) -> Path | None:
    """Refuse an embedding table whose name promises another format than Parquet, before any work.

    A name without a known ending, and any folder, is accepted: a folder holds several tables.
    """
    from gzfeatures.errors import InputError

    if path is None or path.is_dir():
        return path
    if path.name.lower().removesuffix(".gz").endswith(NOT_PARQUET):
        raise InputError(
            "embedding table to write",
            where=path,
            rule="end in .parquet, because it is written as Parquet",
            found=path.name,
            remedy="choose another name; 'gzfeatures table export' writes other formats",
        )
    return path


LABELS = typer.Option("--labels", help="Label file (CSV): galaxy_id,label[,split][,group].")
IMAGES = typer.Option(
    "--images",
    help="Folder, zip, tar or HDF5 file of images; the id of a galaxy is the file's stem.",
)
CatalogFile = Annotated[
    Path,
    typer.Argument(
        metavar="CATALOG", help="Catalog: FITS, CSV, Parquet, Feather, VOTable, ECSV, HDF5, HATS."
    ),
]
TableFile = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Embedding table written by 'extract'.")
]
Selection = Annotated[
    Path | None,
    typer.Option(
        "--ids",
        metavar="FILE",
        help="Read these galaxies alone: a text file, one id a line, or a table with ids, such as "
        "a selection of the map page.",
    ),
]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE", help="Folder or archive of images; or a catalog, with --images."
    ),
]
Scheme = Annotated[
    str,
    typer.Option(
        "--scheme", "-s", help="Class scheme: a name from 'list schemes', or a TOML file."
    ),
]
Campaign = Annotated[
    str | None,
    typer.Option(
        help=(
            "Campaign whose votes are read (gz2, dr5, hubble, …); default: the campaign "
            "that asked each galaxy."
        )
    ),
]
VoteMeasure = Annotated[
    str | None,
    typer.Option(
        "--measure", help="Kind of votes to read: weighted, fraction, count, weight or debiased."
    ),
]
MinVotes = Annotated[
    int,
    typer.Option(min=0, help="Leave out galaxies whose class rests on fewer volunteers than this."),
]
Others = Annotated[
    Literal["class", "left-out"] | None,
    typer.Option(
        "--others",
        help="Galaxies that match no class: put them in the class none-of-these, or leave "
        "them out (default).",
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option("--id", help="Column of the galaxies' ids; default: recognised by its name."),
]
MissingLabel = Annotated[
    list[str] | None,
    typer.Option(
        "--missing-label", help="Word in the label column that means unlabelled; repeat for more."
    ),
]
LabelAsIs = Annotated[
    bool,
    typer.Option(
        "--label-as-is", help="Treat NA, nan, None and N/A in the label column as classes."
    ),
]
LabelsFile = Annotated[Path, LABELS]
MaybeLabels = Annotated[Path | None, LABELS]
Images = Annotated[Path, IMAGES]
MaybeImages = Annotated[Path | None, IMAGES]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Device for the computation.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all random choices.")]
GroupArcsec = Annotated[
    float,
    typer.Option(
        "--group-arcsec",
        min=0,
        help="Galaxies closer than this on the sky stay in one part of the split; 0 = no "
        "such groups.",
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        "--sizes",
        help="Numbers of labels for a learning curve, e.g. 100,300,1000; each set contains "
        "the smaller ones.",
    ),
]
WithCurve = Annotated[
    list[Path] | None,
    typer.Option(
        "--with-curve",
        help="Add curves from another learning_curve.json to the plot; repeat for more.",
    ),
]
Near = Annotated[
    bool, typer.Option("--group-duplicates", help="Keep near duplicates in one part of the split.")
]
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="COLUMN",
        help=(
            "Predict a number instead of classes, e.g. redshift: a column of the label "
            "file or of the catalog."
        ),
    ),
]
IsRedshift = Annotated[
    bool | None,
    typer.Option(
        "--redshift/--no-redshift",
        help="Measure errors of the target in units of 1 + z; default: if its name is that "
        "of a redshift.",
    ),
]
AsNumber = Annotated[
    bool,
    typer.Option(
        "--as-number",
        help="Treat a target with few different whole numbers as a number, not as classes.",
    ),
]
PixelScale = Annotated[
    str | None,
    typer.Option(
        help="Catalog column with arcseconds per pixel (or one number); with --petrosian, "
        "it sets the crops."
    ),
]
Petrosian = Annotated[
    str | None,
    typer.Option(
        help="Catalog column with petroR90 in arcseconds; with --pixel-scale, crop each "
        "galaxy as Galaxy Zoo does."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print only one JSON object on stdout.")]
Coverage = Annotated[
    float | None,
    typer.Option(
        help=(
            "Share of galaxies of each class whose class_set holds the true class; "
            "default: 0.9, or the head's."
        )
    ),
]
MoreTables = Annotated[
    list[Path] | None,
    typer.Option("--with", help="Another table, joined to the first by id; repeat for more."),
]
ColumnsOf = Annotated[
    Path | None, typer.Option("--catalog", help="Catalog with the columns that heads also read.")
]
