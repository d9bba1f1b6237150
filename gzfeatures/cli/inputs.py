"""What verbs take: arguments and options that several of them have, and what is read from those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gzfeatures.cli.console import say

if TYPE_CHECKING:
    from gzfeatures.galaxies.ids import Ids
    from gzfeatures.galaxies.labels import Labels
    from gzfeatures.galaxies.splits import Split
    from gzfeatures.images.imageset import ImageSet

LABELS = typer.Option("--labels", help="CSV: galaxy_id,label[,split][,group].")
IMAGES = typer.Option("--images", help="Folder, zip, tar or HDF5; id = file stem.")

CatalogFile = Annotated[Path, typer.Argument(metavar="CATALOG", help="FITS(.gz), CSV(.gz) or Parquet catalog.")]
TableFile = Annotated[Path, typer.Argument(metavar="TABLE", help="Embedding table written by 'extract'.")]
Source = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="Folder or archive of images; or a catalog, with --images.")
]
Scheme = Annotated[str, typer.Option("--scheme", "-s", help="Name in 'list schemes', or a TOML file.")]
LabelsFile = Annotated[Path, LABELS]
MaybeLabels = Annotated[Path | None, LABELS]
Images = Annotated[Path, IMAGES]
MaybeImages = Annotated[Path | None, IMAGES]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


def images_of(source: Path, images: Path | None, on_missing: Literal["raise", "skip"]) -> ImageSet:
    """Images of a folder or archive, or of a catalog's galaxies."""
    from gzfeatures.images.imageset import ImageSet

    if images is None:
        return ImageSet.of(source)
    from gzfeatures.galaxies.catalog import Catalog

    return ImageSet.of(images, ids=Catalog.read(source).ids, on_missing=on_missing)


def labels_and_split(
    path: Path, read: tuple[Labels, Split | None], seed: int, ids: Ids, seen: Sequence[Ids] = ()
) -> tuple[Labels, Split]:
    """Labels, as `read` from a file, of the galaxies at hand, with the split of the file or one drawn from the seed.

    Galaxies that a backbone has `seen` are drawn for training only.
    """
    import numpy as np

    from gzfeatures.galaxies.ids import among
    from gzfeatures.galaxies.splits import Split

    labels, split = read
    here = among(labels.ids, ids)
    if not here.all():
        say(f"{int((~here).sum())} of {len(labels)} labelled galaxies are not there and are left out")
        labels = labels.select(labels.ids[here])
    if split is None:
        known = labels.ids[among(labels.ids, np.concatenate([labels.ids[:0], *seen]))]
        split = Split.draw(labels, seed=seed, only_train=known)
        say(f"{path} has no split: a grouped, stratified 0.7/0.1/0.2 one was drawn with seed {seed}")
        if len(known):
            say(f"{len(known)} of {len(labels)} galaxies only train: a backbone was trained on them")
    return labels, split.among(labels.ids)
