"""Check, label, join and sample catalogs, and download cutouts of their galaxies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from gzfeatures.errors import InputError
from gzfeatures.evaluation.prediction_files.columns import ucds_of
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.catalog_join import JoinKind, JoinReport, Rows
from gzfeatures.galaxies.catalogs.checks import Examination
from gzfeatures.galaxies.catalogs.label_words import LabelWords
from gzfeatures.galaxies.catalogs.sky_join import SkyReport
from gzfeatures.galaxies.labels import schemes
from gzfeatures.galaxies.labels.label_scheme import LabelScheme
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits import sampling
from gzfeatures.galaxies.splits.related_galaxies import SAME_FILE, Grouping
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC
from gzfeatures.galaxies.splits.split import Split, shares
from gzfeatures.galaxies.votes.vote_columns import Choice
from gzfeatures.galaxies.votes.votes import Measure
from gzfeatures.images.image_check import ImageCheck
from gzfeatures.images.image_set import ImageSet
from gzfeatures.progress import Progress
from gzfeatures.surveys.cutouts import CutoutReport, download
from gzfeatures.surveys.surveys import Scale
from gzfeatures.surveys.tiles import SIDE, cut_tiles
from gzfeatures.verbs.inputs import Place, catalog_of, images_of


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """Store what a check of a catalog and its images found: usable columns, problems, bad images.

    Parameters
    ----------
    catalog : Examination
        Columns of the catalog that can be used, and every problem.
    images : ImageCheck, optional
        Broken and missing images; None if no images were checked.
    """

    catalog: Examination
    images: ImageCheck | None


def check(
    catalog: Place,
    images: ImageSet | Place | None = None,
    *,
    id_column: str | None = None,
    missing_label: Sequence[str] = (),
    label_as_is: bool = False,
    progress: Progress | bool = False,
) -> Checked:
    """Check a catalog file and its images: list usable columns, problems and broken images.

    Parameters
    ----------
    catalog : str or Path
        File of the catalog.
    images : ImageSet, str or Path, optional
        Images of its galaxies, or their folder or archive.
    id_column : str, optional
        Column that names the galaxies.
    missing_label : sequence of str
        Words in a column `label` that mean that the galaxy has no label.
    label_as_is : bool
        Use every word in a column `label` as a class name.
    progress : Progress or bool
        Shows a progress bar; by default nothing is shown. True: in the terminal.

    Returns
    -------
    Checked
        `catalog.refused` says whether other functions, such as `label`, would refuse the file.

    Raises
    ------
    MissingFileError, InputError
        The file does not exist, cannot be read, or has no id column.

    Examples
    --------
    >>> import pandas as pd
    >>> pd.DataFrame({"objid": [1, 1], "ra": [10.0, 11.5], "dec": [1.0, 2.0]}).to_csv("two.csv")
    >>> check("two.csv").catalog.refused
    True
    """
    words = LabelWords(tuple(missing_label), label_as_is)
    root = None if images is None or isinstance(images, ImageSet) else images
    examination = Catalog.examine(catalog, root, id_column=id_column, words=words)
    if images is None:
        return Checked(examination, None)
    if not isinstance(images, ImageSet):
        # if the catalog has no usable ids, its galaxies' images are unknown: check all images
        try:
            wanted = Catalog.read(catalog, id_column=id_column).ids
        except InputError:
            wanted = None
        images = ImageSet.of(images, ids=wanted, on_missing="skip")
    return Checked(examination, images.check(progress=progress))


def label(
    catalog: Catalog | Place,
    scheme: LabelScheme | Place,
    *,
    campaign: str | None = None,
    measure: str | None = None,
    min_votes: int = 0,
    others: str | None = None,
    seed: int = 0,
    id_column: str | None = None,
) -> Labels:
    """Turn a catalog's vote fractions or gz2_class strings into a class for each galaxy.

    Parameters
    ----------
    catalog : Catalog, str or Path
        Galaxies with votes.
    scheme : LabelScheme, str or Path
        Class scheme (rules that turn votes into classes): a name in `SCHEMES`, or a TOML file.
    campaign, measure : str, optional
        Galaxy Zoo campaign and kind of vote fractions (raw, weighted, debiased) to read, instead
        of those that the scheme prefers.
    min_votes : int
        A galaxy gets no label if fewer volunteers answered the questions that the scheme reads.
    others : {"class", "left out"}, optional
        Galaxies that match no rule of the scheme get a class of their own, or are left out; by
        default as the scheme says.
    seed : int
        Seed for a scheme that draws classes at random.
    id_column : str, optional
        Column of the file that contains the galaxy ids.

    Returns
    -------
    Labels
        `left_out` says which galaxies have no label, and why; `origin` says which votes were read.

    Raises
    ------
    UnknownNameError
        No scheme has this name.
    InputError
        The catalog lacks the votes that the scheme reads, or no galaxy gets a label.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"dr7objid": [1, 2], "gz2_class": ["Er", "Sc2m"]})
    >>> label(Catalog.of(frame), "gz2-2class").names.tolist()
    ['elliptical', 'spiral']
    """
    rule = scheme if isinstance(scheme, LabelScheme) else schemes.scheme(scheme)
    galaxies = catalog_of(catalog, id_column)
    choice = Choice(campaign, cast("Measure | None", measure), min_votes)
    labels = rule.with_others(others).label(galaxies, seed, choice)
    if not len(labels):
        reasons = ", ".join(
            f"{reason}: {len(ids)}" for reason, ids in labels.left_out.items() if len(ids)
        )
        raise InputError("no galaxy is labelled", where=galaxies.source, found=reasons or None)
    return labels


def join(
    catalog: Catalog | Place,
    other: Catalog | Rows | Place,
    on: str | None = None,
    *,
    sky: float | None = None,
    keep_all: bool = False,
    suffix: str = "",
    id_column: str | None = None,
) -> tuple[Catalog, JoinReport | SkyReport]:
    """Add columns of another catalog, matched by key or sky position; keep galaxies that match.

    Parameters
    ----------
    catalog : Catalog, str or Path
        First catalog, whose galaxies keep their ids and columns.
    other : Catalog, Rows, str or Path
        Second table, whose columns are added.
    on : str, optional
        Key column in both tables: `dr7objid=OBJID`, or one name for both.
    sky : float, optional
        Instead of a key: two galaxies match if each is the other's nearest, and their separation
        is at most this number of arcsec.
    keep_all : bool
        Keep galaxies of `catalog` without a partner too, with empty cells in the added columns.
    suffix : str
        Ending for the names of those columns of `other` whose names `catalog` has too; without a
        suffix these columns are left out.
    id_column : str, optional
        Column of the ids in the first file.

    Returns
    -------
    joined : Catalog
        Galaxies that match, with the columns of both tables.
    report : JoinReport or SkyReport
        Numbers of galaxies that matched and that did not.

    Raises
    ------
    InputError
        A key column is absent or has lost digits, no rows match, or both or neither of `on` and
        `sky` are given.

    Examples
    --------
    >>> import pandas as pd
    >>> votes = Catalog.of(pd.DataFrame({"dr7objid": [1, 2], "p": [0.1, 0.9]}))
    >>> redshifts = Catalog.of(pd.DataFrame({"objid": [2, 3], "z": [0.05, 0.07]}))
    >>> joined, report = join(votes, redshifts, "dr7objid=objid")
    >>> joined.ids.tolist(), report.matched
    (['2'], 1)
    """
    if (on is None) == (sky is None):
        raise InputError("join", rule="have a key or a separation on the sky, one of them")
    kind = JoinKind(keep_all, suffix)
    if sky is not None:
        others = other if isinstance(other, Catalog | Rows) else described_rows(other, ())
        return catalog_of(catalog, id_column).join_sky(others, sky, kind=kind)
    left, _, right = str(on).partition("=")
    # if `on` has no `=`, the key column has the same name in both tables
    right = right or left
    beside = other if isinstance(other, Catalog | Rows) else described_rows(other, (right,))
    if isinstance(catalog, Catalog):
        return catalog_of(catalog, id_column).join(beside, left, right, kind)
    galaxies = Catalog.read(catalog, id_column=id_column, keys=(left,))
    return galaxies.join(beside, left, right, kind)


def described_rows(path: Place, keys: Sequence[str]) -> Rows:
    """Read a table to join; give columns of predictions their UCDs (standard words for meaning)."""
    rows = Rows.read(path, keys)
    attrs = rows.frame.attrs
    meanings = {**ucds_of([str(name) for name in rows.frame]), **attrs.get("ucds", {})}
    rows.frame.attrs = {**attrs, "ucds": meanings}
    return rows


def sample(
    catalog: Catalog | Place,
    scheme: LabelScheme | Place,
    *,
    strategy: str = "random",
    per_class: int | None = None,
    split: str | Sequence[float] = "0.7/0.1/0.2",
    images: ImageSet | Place | None = None,
    group_arcsec: float = NEAR_ARCSEC,
    seed: int = 0,
    id_column: str | None = None,
    **votes: Any,
) -> tuple[Labels, Split]:
    """Draw a stratified sample of galaxies, with its train, validation and test split.

    Parameters
    ----------
    catalog : Catalog, str or Path
        Galaxies with votes.
    scheme : LabelScheme, str or Path
        Class scheme (rules that turn votes into classes): a name in `SCHEMES`, or a TOML file.
    strategy : str
        How galaxies are chosen: random, low-redshift, volume-limited, or volume-limited-faithful
        (with the defects of the published selection).
    per_class : int, optional
        Number of galaxies of each class.
    split : str or three floats
        Shares of train, validation and test galaxies.
    images : ImageSet, str or Path, optional
        Images of the galaxies: galaxies with equal image files stay on one side of the split.
    group_arcsec : float
        Galaxies closer than this on the sky stay on one side of the split.
    seed : int
        Seed of the random draw.
    id_column : str, optional
        Column of the file that contains the galaxy ids.
    **votes
        `campaign`, `measure`, `min_votes` and `others`, as `label` takes them.

    Returns
    -------
    labels : Labels
        Labels of the drawn galaxies.
    split : Split
        Their division into train, validation and test galaxies.

    Raises
    ------
    UnknownNameError, InputError
        As `label`; or the strategy is unknown or needs columns that the catalog lacks; or the
        shares of the split are not valid.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"dr7objid": range(40), "gz2_class": ["Er", "Sc2m"] * 20})
    >>> labels, split = sample(Catalog.of(frame), "gz2-2class", per_class=10, split="60/20/20")
    >>> labels.counts, len(split.train), len(split.test)
    ({'elliptical': 10, 'spiral': 10}, 12, 4)
    """
    galaxies = catalog_of(catalog, id_column)
    labels = label(galaxies, scheme, seed=seed, **votes)
    labels, grouping = sampled(galaxies, labels, strategy, per_class, group_arcsec, seed)
    if images is not None:
        grouping = grouping.joined(SAME_FILE, _among(images_of(images), labels).duplicate_groups())
    sizes = shares(split) if isinstance(split, str) else split
    return labels, Split.draw(labels, sizes, groups=grouping.groups, seed=seed)


def sampled(
    galaxies: Catalog,
    labels: Labels,
    strategy: str,
    per_class: int | None,
    group_arcsec: float,
    seed: int,
) -> tuple[Labels, Grouping]:
    """Draw the galaxies of a sample, and group those that lie close together on the sky."""
    # draw the sample before it is split, because the shares of train, validation and test galaxies
    # are shares of the drawn galaxies, not of the catalog
    chosen = sampling.sample(galaxies, labels, strategy, per_class=per_class, seed=seed)
    # group close galaxies: their images overlap, so a split must not put one into train and the
    # other into test
    return chosen, Grouping().near(galaxies, chosen.ids, group_arcsec)


def _among(images: ImageSet, labels: Labels) -> ImageSet:
    """Return the images whose galaxies have a label."""
    wanted = set(labels.ids)
    return images.select(images.ids[[name in wanted for name in images.ids]])


def cutouts(
    catalog: Catalog | Place,
    output: Place,
    survey: str = "sdss",
    *,
    tiles: Place | None = None,
    bands: tuple[str, ...] | None = None,
    base_url: str | None = None,
    workers: int = 8,
    scale: Scale | float | None = None,
    pixels: int | None = None,
    rate: float | None = None,
    id_column: str | None = None,
    progress: Progress | bool = False,
    overwrite: bool = False,
) -> CutoutReport:
    """Download a cutout of each galaxy, or cut it out of survey tiles; keep existing cutouts.

    A cutout is made again if the galaxy's position in the catalog has changed since (see
    `surveys.cutouts.download`).

    Parameters
    ----------
    catalog : Catalog, str or Path
        Galaxies, with columns ra and dec in degrees.
    output : str or Path
        Folder for the images; complete images in it are kept.
    survey : str
        sdss, legacy, legacy-fits, skyview or hips, or `hips:ID` for any HiPS.
    tiles : str or Path, optional
        Instead of a survey: folder of FITS images (tiles) from which the galaxies are cut (see
        `surveys.tiles.cut_tiles`).
    bands : tuple of str, optional
        Bands to cut out of tiles; by default all.
    base_url : str, optional
        Another web address at which the survey's service can be reached.
    workers : int
        Number of downloads at the same time.
    scale : Scale or float, optional
        Arcseconds per pixel; by default computed from each galaxy's Petrosian radius.
    pixels : int, optional
        Side of a cutout in pixels; by default the usual one of the survey.
    rate : float, optional
        Requests per second; by default a polite rate for the survey.
    id_column : str, optional
        Column of the file that contains the galaxy ids.
    progress : Progress or bool
        Shows a progress bar; by default nothing is shown. True: in the terminal.
    overwrite : bool
        Replace files that have the name of a cutout but are no cutouts.

    Returns
    -------
    CutoutReport
        How many cutouts were downloaded or kept, and why others failed.

    Raises
    ------
    UnknownNameError, InputError, MissingExtraError, OutputError
        As `surveys.cutouts.download`.

    Examples
    --------
    >>> report = cutouts("catalog.fits", "images/", "legacy")  # doctest: +SKIP
    >>> report.downloaded  # doctest: +SKIP
    """
    if tiles is not None:
        return cut_tiles(
            catalog_of(catalog, id_column),
            output,
            tiles,
            bands=bands,
            scale=scale,
            pixels=SIDE if pixels is None else pixels,
            progress=progress,
            overwrite=overwrite,
        )
    return download(
        catalog_of(catalog, id_column),
        output,
        survey,
        base_url,
        workers,
        scale=scale,
        pixels=pixels,
        rate=rate,
        progress=progress,
        overwrite=overwrite,
    )
