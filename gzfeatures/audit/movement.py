"""Measure how far an embedding moves if its image is turned, shifted, compressed or dimmed."""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures import user_folders
from gzfeatures.errors import GzError, InputError
from gzfeatures.explore.neighbours import nearest
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.ids import Ids, among, uniform
from gzfeatures.images.galaxy_files import WholePicture
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.progress import SILENT, Progress, each

if TYPE_CHECKING:
    from gzfeatures.networks.extraction.spec import Extraction

Pixels = npt.NDArray[np.uint8]
SAMPLE = 200
"""Galaxies whose images are changed."""
SAME = 0.05
"""Largest distance, in units of that to the nearest other galaxy, of vectors called the same."""
UNCHANGED = "unchanged"


def _shifted(pixels: Pixels) -> Pixels:
    """Shift the picture by a fiftieth of its side, and fill the gap by repeating its edge."""
    by = max(1, round(min(pixels.shape[:2]) / 50))
    return np.ascontiguousarray(np.pad(pixels, ((by, 0), (by, 0), (0, 0)), mode="edge")[:-by, :-by])


def _encoded(pixels: Pixels) -> Pixels:
    """Compress the picture as JPEG of quality 50, and decode it again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    UNCHANGED: lambda pixels: pixels,
    "turned by 90°": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "shifted by 2 %": _shifted,
    "JPEG of quality 50": _encoded,
    "dimmed by 30 %": lambda pixels: np.rint(pixels * 0.7).astype(np.uint8),
}
"""What is done to a picture, by its name on the page."""


@dataclasses.dataclass(frozen=True)
class Movement:
    """Store how far embeddings move if one change, such as a turn, is made to their images.

    Parameters
    ----------
    change : str
        What was done to the images.
    galaxies : int
        Number of galaxies whose images were changed.
    median, ninth : float
        Distance between the vectors before and after, in units of the distance to the nearest other
        galaxy: the median, and the 90th percentile.
    farther : float
        Share of galaxies that move farther than to their nearest other galaxy.
    """

    change: str
    galaxies: int
    median: float
    ninth: float
    farther: float

    def asdict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Rerun:
    """Store which encoder an audit runs again, to compute embeddings of changed images.

    Parameters
    ----------
    backbone, weights : str or Path, optional
        By default those that the table names.
    store : Store, optional
        Store for embeddings of the changed images; without one the encoder is not run.
    sample : int
        Number of galaxies whose images are changed.
    """

    backbone: str | Path | None = None
    weights: str | Path | None = None
    store: Store | None = None
    sample: int = SAMPLE


def movements(
    table: EmbeddingTable,
    images: ImageSet,
    rerun: Rerun = Rerun(),
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> list[Movement]:
    """Measure how far embeddings move if images are turned, shifted, compressed or dimmed.

    Parameters
    ----------
    table : EmbeddingTable
        Table whose encoder is run on the changed images.
    images : ImageSet
        Images of the table's galaxies; a sample of these is changed.
    rerun : Rerun
        Paths of the encoder, and size of the sample.
    seed : int
        Seed of the sample.
    progress : Progress
        Gets progress bars; by default shown nowhere.

    Raises
    ------
    InputError
        The encoder cannot be run here, the images are bands or too few, or unchanged images give
        other vectors than the table's.
    """
    extraction = _extraction(table, rerun)
    ids = table.ids[among(table.ids, images.ids)]
    ids = ids[np.argsort(uniform(ids, seed))[: rerun.sample]]
    if len(ids) < 2 or len(table) < 3:
        raise InputError("images of galaxies in the table", rule="be two or more", found=len(ids))
    chosen, galaxies = images.select(ids), table.select(ids)
    nearest_other = nearest(table.matrix, galaxies.matrix, 2).distances[:, 1]
    scale = np.maximum(nearest_other, np.finfo(np.float32).tiny)
    moved = []
    for change, apply in each(CHANGES.items(), progress, "changing images", len(CHANGES)):
        vectors = _vectors_of(chosen, apply, extraction)
        rows = among(ids, vectors.ids)
        after = vectors.select(ids[rows]).matrix
        ratio = np.linalg.norm(after - galaxies.matrix[rows], axis=1) / scale[rows]
        median, ninth = (float(value) for value in np.quantile(ratio, (0.5, 0.9)))
        if change == UNCHANGED and median > SAME:
            raise InputError(
                "images give other vectors than the table's",
                rule=f"lie within {SAME} of the distance to the nearest other galaxy",
                found=f"{median:.2f}",
                remedy="give the images and options of the extraction",
            )
        moved.append(Movement(change, int(rows.sum()), median, ninth, float((ratio > 1).mean())))
    return moved


def _extraction(table: EmbeddingTable, rerun: Rerun) -> Extraction:
    """Return the settings to compute a table's embeddings again; refuse a different encoder."""
    # import only here: the import loads PyTorch, which other steps of an audit do not need
    from gzfeatures.networks.extraction.spec import Extraction

    if rerun.store is None:
        raise InputError("encoder is not run", rule="have a store", remedy="give Store.default()")
    extraction = Extraction.repeating(
        table.extractor, store=rerun.store, backbone=rerun.backbone, on_bad="skip"
    )
    if rerun.weights is not None:
        extraction = dataclasses.replace(extraction, weights=rerun.weights)
    if extraction.extractor.fingerprint != table.extractor.fingerprint:
        raise InputError(
            "encoder is not the one that made the table",
            where=table.extractor.backbone,
            rule="have the same weights, layer, view and arithmetic",
            remedy="give --backbone and --weights of the extraction",
        )
    return extraction


def _vectors_of(
    images: ImageSet,
    apply: Callable[[Pixels], Pixels],
    extraction: Extraction,
) -> EmbeddingTable:
    """Apply a change to images, and return the embeddings of the changed images as a table."""
    from gzfeatures.networks.extraction.extract import compute_table

    scratch = user_folders.scratch()
    # on a new machine the folder for temporary files does not exist yet
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        names = {}
        for row in range(len(images)):
            shown = _picture(images, row)
            if shown is not None:
                # name the file by a number, because an id may contain characters illegal in file
                # names
                names[str(row)] = images.ids[row]
                # save as PNG, which is lossless, so that only the change alters the pixels
                Image.fromarray(apply(shown)).save(Path(folder) / f"{row}.png", compress_level=1)
        if not names:
            raise InputError(
                "images that are changed", rule="be pictures", found="bands, or broken images"
            )
        written = compute_table(ImageSet.of(folder), extraction)
    ids: Ids = np.array([names[str(name)] for name in written.ids], dtype=object)
    return dataclasses.replace(written, ids=ids)


def _picture(images: ImageSet, row: int) -> Pixels | None:
    """Return an image's RGB pixels, (height, width, 3); None for a broken or multi-band image."""
    try:
        shown = images.network_input(row, (View(),))
    except GzError:
        return None
    return shown.pixels if isinstance(shown, WholePicture) else None
