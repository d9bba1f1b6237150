"""Find images that show no galaxy: blank, saturated, of one colour, or with many bad pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet


def showing_nothing(
    images: ImageSet, ids: Ids, hashes: npt.NDArray[np.uint8] | None = None
) -> list[tuple[str, str]]:
    """List the images that show no galaxy, each with its id and the reason.

    Parameters
    ----------
    images : ImageSet
        Holds the galaxies.
    ids : Ids
        Galaxies that are asked about, shape (n,).
    hashes : ndarray of uint8, optional
        Their picture hashes, shape (n, 64). A flat picture has none, so that those without one
        alone are decoded again: flat, small, or bands. All are where no hashes are given.

    Examples
    --------
    >>> showing_nothing(images, table.ids, table.pictures)  # doctest: +SKIP
    [('black', 'image is blank: every pixel is [0, 0, 0]')]
    """
    doubtful = ids if hashes is None else ids[~hashes.any(1)]
    return list(images.select(doubtful).check().broken) if len(doubtful) else []
