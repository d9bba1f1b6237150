"""Choose galaxies, the user's or simulated, to compare an exported file with its head."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import GzError, InputError
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.progress import SILENT, Progress
from gzfeatures.synthetic.survey import draw_survey

Pixels = npt.NDArray[np.uint8]
SIDE = 212
"""Width and height of simulated pictures in px."""
SIMULATED = "simulated galaxies"


def spaced(count: int, most: int) -> npt.NDArray[np.intp]:
    """Return at most `most` evenly spaced row numbers out of `count` rows.

    Examples
    --------
    >>> spaced(9, 3).tolist()
    [0, 4, 8]
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def pixels_of(images: ImageSet, view: View, most: int) -> Pixels:
    """Return pixels (n, size, size, 3) of some images, cropped and resized for the network.

    Images that cannot be read are left out.

    Raises
    ------
    InputError
        No image can be read.
    """
    found = []
    for row in spaced(len(images), most):
        try:
            found.append(to_views(images, int(row), (view,))[0])
        except GzError:
            continue
    if not found:
        raise InputError("images to check the file on", rule="be readable", found="none")
    return np.stack(found)


def simulated_pixels(view: View, most: int, seed: int = 0, progress: Progress = SILENT) -> Pixels:
    """Simulate galaxies, the same on every machine; return their pixels in the network's size."""
    progress.say(f"drawing {most} simulated galaxies")
    with TemporaryDirectory() as folder:
        survey = draw_survey(Path(folder), most, seed=seed, size=SIDE)
        return pixels_of(ImageSet.of(survey.images), view, most)
