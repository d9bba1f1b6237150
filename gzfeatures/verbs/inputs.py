"""Accept catalogs, labels, embedding tables and images, or paths from which they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet

Place: TypeAlias = str | Path
"""Path of a file or folder."""


def catalog_of(catalog: Catalog | Place, id_column: str | None = None) -> Catalog:
    """Return the given catalog; if it is a path, read the catalog from this file.

    Parameters
    ----------
    catalog : Catalog, str or Path
        The catalog, or its file.
    id_column : str, optional
        Column of the file that contains the galaxy ids.
    """
    if not isinstance(catalog, Catalog):
        return Catalog.read(catalog, id_column=id_column)
    _require_file("id_column", id_column)
    return catalog


def labels_of(labels: Labels | Place, id_column: str | None = None) -> Labels:
    """Return the given labels; if they are a path, read the labels from this file.

    Parameters
    ----------
    labels : Labels, str or Path
        The labels, or their file.
    id_column : str, optional
        Column of the file that contains the galaxy ids.
    """
    if not isinstance(labels, Labels):
        return Labels.read(labels, id_column=id_column)
    _require_file("id_column", id_column)
    return labels


def table_of(table: EmbeddingTable | Place) -> EmbeddingTable:
    """Return the given embedding table; if it is a path, read the table from this file.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        The table, or its Parquet file.
    """
    return table if isinstance(table, EmbeddingTable) else EmbeddingTable.read(table)


def images_of(images: ImageSet | Place) -> ImageSet:
    """Return the given images; if they are a path, list the images in this folder or archive.

    Parameters
    ----------
    images : ImageSet, str or Path
        The images, or their folder or archive.
    """
    return images if isinstance(images, ImageSet) else ImageSet.of(images)


def _require_file(option: str, value: object) -> None:
    """Refuse an option for reading a file if an object was given instead of a file."""
    if value is not None:
        raise InputError(option, rule="be left out where no file is read", found=value)
