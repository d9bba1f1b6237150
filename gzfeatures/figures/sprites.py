"""Put small images of galaxies into large JPEG sheets, which the map page loads."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from gzfeatures.errors import GzError
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.progress import SILENT, Progress, each

ACROSS = 12
QUALITY = 82


@dataclasses.dataclass(frozen=True, eq=False)
class Sprites:
    """Store JPEG sheets of 12 × 12 small images, and the place of each galaxy's image in them.

    Parameters
    ----------
    size : int
        Side of a small image in pixels.
    pictures : ndarray of int32
        Number of each galaxy's small image, shape (n,); −1 if the galaxy has none. Image t is in
        sheet t // 144, at place t mod 144, counted row by row.
    sheets : tuple of bytes
        JPEG files of the sheets.
    missing : tuple of (id, reason)
        Galaxies without a small image, and why.
    """

    size: int
    pictures: npt.NDArray[np.int32]
    sheets: tuple[bytes, ...]
    missing: tuple[tuple[str, str], ...]


def pack(
    ids: Ids,
    coordinates: npt.NDArray[np.float32],
    images: ImageSet | str | Path,
    view: View,
    progress: Progress = SILENT,
) -> Sprites:
    """Put small images of galaxies into JPEG sheets; neighbours on the map share a sheet.

    Parameters
    ----------
    ids : Ids
        Galaxy ids, shape (n,).
    coordinates : ndarray of float32
        Positions of the galaxies on the map, shape (n, 2 or 3).
    images : ImageSet, str or Path
        Images of the galaxies, or their folder or archive. Galaxies without an image, or with a
        broken one, are listed in `missing`.
    view : View
        Crop and size of a small image.
    progress : Progress
        Shows a progress bar; by default nothing is shown.

    Raises
    ------
    MissingFileError
        The image folder does not exist.
    """
    images = images if isinstance(images, ImageSet) else ImageSet.of(images)
    rows = pd.Index(images.ids).get_indexer(pd.Index(ids))
    missing = [(str(name), "no image") for name in ids[rows < 0]]
    queue = np.flatnonzero(rows >= 0)
    # put neighbours on the map into the same sheet: a browser that shows a part of the map then
    # needs only few sheets
    queue = queue[np.argsort(_along_curve(coordinates[queue]), kind="stable")]
    pictures = np.full(len(ids), -1, dtype=np.int32)
    sheets: list[bytes] = []
    sheet, filled = Image.new("RGB", (ACROSS * view.size, ACROSS * view.size)), 0
    # `filled` counts only readable images, so that a broken image leaves no gap in the sheet
    for galaxy, thumbnail in _thumbnails(images, queue, rows, view, progress):
        if isinstance(thumbnail, GzError):
            missing.append((str(ids[galaxy]), str(thumbnail)))
            continue
        pictures[galaxy] = filled
        place = filled % ACROSS**2
        sheet.paste(thumbnail, (place % ACROSS * view.size, place // ACROSS * view.size))
        filled += 1
        if place == ACROSS**2 - 1:
            sheets.append(_jpeg(sheet))
    if filled % ACROSS**2:
        sheets.append(_jpeg(sheet))
    return Sprites(view.size, pictures, tuple(sheets), tuple(missing))


def _thumbnails(
    images: ImageSet,
    queue: npt.NDArray[np.intp],
    rows: npt.NDArray[np.intp],
    view: View,
    progress: Progress,
) -> Iterator[tuple[int, Image.Image | GzError]]:
    """Yield each galaxy's row number with its small image, or with the error if it is broken."""

    def one(galaxy: int) -> Image.Image | GzError:
        try:
            return thumbnail(images, int(rows[galaxy]), view)
        except GzError as error:
            return error

    # use threads and not processes: image decoding releases Python's global lock, so threads can
    # use all cores
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done: Iterable[tuple[int, Image.Image | GzError]] = zip(
            queue.tolist(), pool.map(one, queue.tolist()), strict=True
        )
        # show no progress bar for fewer than 500 images, for which it would appear only for a
        # moment
        shown = progress if len(queue) >= 500 else SILENT
        yield from each(done, shown, "thumbnails", len(queue), transient=True)


def thumbnail(images: ImageSet, row: int, view: View) -> Image.Image:
    """Decode a galaxy's image to a small RGB picture; raise InputError for a broken image.

    The picture shows the first three channels; an image with fewer channels is shown in grey.
    """
    return picture_of(images.pixels(row, view))


def picture_of(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    """Convert pixels, shape (height, width, channels), to an RGB picture.

    The picture shows the first three channels; a single channel is repeated three times (grey).
    """
    return Image.fromarray(
        np.repeat(pixels, 3, axis=2)
        if pixels.shape[2] < 3
        else np.ascontiguousarray(pixels[:, :, :3])
    )


def address(picture: Image.Image) -> str:
    """Return a picture as a `data:` URL, by which an HTML page can contain the picture."""
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(picture)).decode("ascii")


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def _along_curve(coordinates: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return each point's position along a Morton curve, which keeps near points together."""
    if not len(coordinates):
        return np.empty(0, dtype=np.int64)
    low = coordinates[:, :2].min(0)
    reach = np.ptp(coordinates[:, :2], axis=0)
    cells = ((coordinates[:, :2] - low) / np.where(reach > 0, reach, 1) * 1023).astype(np.int64)
    code = np.zeros(len(cells), dtype=np.int64)
    # Morton order: bit b of x becomes bit 2b of the number, bit b of y becomes bit 2b + 1; points
    # that are close to each other mostly get close numbers
    for bit in range(10):
        code |= (cells[:, 0] >> bit & 1) << (2 * bit) | (cells[:, 1] >> bit & 1) << (2 * bit + 1)
    return code
