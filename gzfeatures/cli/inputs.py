"""What verbs take: arguments and options that several of them have, and what is read from those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gzfeatures.cli.console import say

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalog import Catalog
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
Campaign = Annotated[
    str | None,
    typer.Option(help="Campaign whose votes are read (gz2, dr5, hubble, …); default the one that asked each galaxy."),
]
VoteMeasure = Annotated[
    str | None, typer.Option("--measure", help="Votes that are read: weighted, fraction, count, weight or debiased.")
]
MinVotes = Annotated[
    int, typer.Option(min=0, help="Leave out galaxies whose class fewer volunteers than this were asked about.")
]
LabelsFile = Annotated[Path, LABELS]
MaybeLabels = Annotated[Path | None, LABELS]
Images = Annotated[Path, IMAGES]
MaybeImages = Annotated[Path | None, IMAGES]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


def labelled(
    catalog: Catalog, scheme: str, seed: int, campaign: str | None, measure: str | None, min_votes: int
) -> Labels:
    """Labels of a catalog, with the votes they come from said."""
    from typing import cast

    from gzfeatures.errors import InputError
    from gzfeatures.galaxies import schemes
    from gzfeatures.galaxies.labels import FEW
    from gzfeatures.galaxies.votecolumns import RAW, Choice
    from gzfeatures.galaxies.votes import Measure

    rule = schemes.scheme(scheme)
    labels = rule.label(catalog, seed, Choice(campaign, cast("Measure | None", measure), min_votes))
    if labels.origin is not None:
        for name, read in labels.origin.measures.items():
            of = f" for {labels.origin.galaxies[name]} galaxies" if name in labels.origin.galaxies else ""
            say(f"votes read: {read} of {name}{of}")
        if measure is None and rule.measures[0] != RAW[0]:
            say(f"scheme {rule.name} asks for {rule.measures[0]} votes first, as its source does; --measure chooses")
        for name, few in (labels.origin.few or {}).items():
            if few and min_votes < FEW:
                say(
                    f"{name}: {few} of {labels.counts[name]} galaxies were asked of fewer than {FEW} volunteers; "
                    f"--min-votes {FEW} leaves them out"
                )
    if not len(labels):
        reasons = ", ".join(f"{reason}: {len(ids)}" for reason, ids in labels.left_out.items() if len(ids))
        raise InputError("no galaxy is labelled", where=catalog.source, found=reasons or None)
    return labels


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
