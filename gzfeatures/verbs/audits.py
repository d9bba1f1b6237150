"""Audit embeddings: measure how well they predict nuisances, such as redshift or seeing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from gzfeatures.audit.audit import AuditOptions, audit_table
from gzfeatures.audit.findings import Audit
from gzfeatures.audit.page import write_audit
from gzfeatures.errors import InputError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels import schemes
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet
from gzfeatures.progress import Progress, handed
from gzfeatures.verbs.catalogs import label
from gzfeatures.verbs.inputs import Place, catalog_of, images_of, labels_of, table_of

VOTES = "votes-37"
"""Class scheme that turns a catalog's votes into the morphology, if no labels are given."""


def audit(
    table: EmbeddingTable | Place,
    labels: Labels | Place | None = None,
    *,
    catalog: Catalog | Place | None = None,
    nuisances: Sequence[str] = (),
    images: ImageSet | Place | None = None,
    options: AuditOptions | None = None,
    output: Place | None = None,
    progress: Progress | bool = False,
) -> Audit:
    """Measure how well embeddings predict nuisances, such as redshift, seeing or JPEG quality.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings to audit.
    labels : Labels, str or Path, optional
        Morphology with which nuisances are compared: classes or vote fractions; by default the 37
        vote fractions of the catalog.
    catalog : Catalog, str or Path, optional
        Has columns of nuisances, votes, and positions, by which folds of cross-validation keep
        close galaxies together.
    nuisances : sequence of str
        Columns of the catalog to use as nuisances; by default those with usual names.
    images : ImageSet, str or Path, optional
        Images on which further nuisances are measured; the backbone also gets changed copies of
        them, to see how far embeddings move.
    options : AuditOptions, optional
        Number of random draws, seed, and the backbone's place on disk.
    output : str or Path, optional
        Folder for the page, the numbers and finished steps; by default nothing is written.
    progress : Progress or bool
        Shows messages and progress bars; by default nothing is shown. True: in the terminal.

    Returns
    -------
    Audit
        Results: `verdict` in words, `probes` (how well each nuisance is predicted), `slices` (class
        scores along nuisances) and `movements` (of embeddings, when images change).

    Raises
    ------
    InputError
        Neither labels nor votes are given, too few galaxies have them, or a column is missing.

    Examples
    --------
    >>> audit("table.parquet", catalog="gz2.csv", output="audit/").verdict  # doctest: +SKIP
    """
    chosen = options or AuditOptions()
    if nuisances:
        chosen = dataclasses.replace(chosen, nuisances=tuple(nuisances))
    columns = None if catalog is None else catalog_of(catalog)
    if chosen.nuisances and columns is None:
        raise InputError("nuisances", rule="be columns of a catalog", remedy="give the catalog")
    if labels is None:
        if columns is None:
            raise InputError(
                "audit without morphology",
                rule="have labels, or a catalog with votes",
                remedy="give --labels FILE or --catalog FILE",
            )
        labels = label(columns, schemes.scheme(VOTES))
    if chosen.rerun.store is None:
        rerun = dataclasses.replace(chosen.rerun, store=Store.default())
        chosen = dataclasses.replace(chosen, rerun=rerun)
    folder = None if output is None else Path(output)
    found = audit_table(
        table_of(table),
        labels_of(labels),
        columns,
        None if images is None else images_of(images),
        chosen,
        folder=folder,
        progress=handed(progress),
    )
    if folder is not None:
        write_audit(found, folder)
    return found
