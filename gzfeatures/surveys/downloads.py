"""Download many cutouts at the same time, and verify each image before it becomes a file."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint, outputs
from gzfeatures.errors import InputError
from gzfeatures.files import written_whole
from gzfeatures.images.decoding.band_files import read_fits
from gzfeatures.images.decoding.decode_rgb import MAX_PIXELS, picture
from gzfeatures.progress import Progress
from gzfeatures.surveys.cutout_positions import BESIDE, CutoutPositions, Place, place_in
from gzfeatures.surveys.surveys import CutoutService
from gzfeatures.web.outcomes import BadAnswer, NoAnswer
from gzfeatures.web.polite_http import Service

if TYPE_CHECKING:
    from astropy.io.fits import Header

DONE, MOVED, KEPT, UNPLACED = "", "moved", "kept", "unplaced"
"""Four results for a galaxy whose file is complete.

The file was downloaded now, or downloaded again because the galaxy's position or scale has changed;
or an earlier call wrote it, for a position that is known, or unknown."""
COMPLETE = (DONE, MOVED, KEPT, UNPLACED)
"""All results that leave a complete file."""

_ASIDE = "move it away, or say --overwrite"
"""Remedy for a file that stands where a cutout is to be written."""


class _SameAnswer(BadAnswer):
    """Error: a downloaded image has the same bytes as the image of another position."""

    def __init__(self, other: int, name: str) -> None:
        super().__init__(f"answer is byte for byte the cutout of {name}, another position")
        self.other = other


class _Elsewhere(BadAnswer):
    """Error: a file shows another position, or has another scale, than the galaxy has now."""

    def __init__(self, change: str, recorded: bool) -> None:
        super().__init__(change)
        self.recorded = recorded


class _OtherPicture(BadAnswer):
    """Error: an image has a wrong size or wrong bands, or all its pixels are equal."""


@dataclasses.dataclass(eq=False)
class Download:
    """Download the cutouts of many galaxies with several threads, and remember the results.

    Parameters
    ----------
    ids : list of str
        Galaxy ids.
    places : ndarray of float64
        ra and dec (degrees) and scale (arcsec per pixel) of each galaxy, shape (n, 3); NaN if
        missing.
    folder : Path
        Folder for the files.
    own : bool
        True if the folder has only cutouts: a file that cannot be decoded is then a damaged cutout,
        and is replaced.
    survey : CutoutService
        Service with the ending and the bands of the files.
    pixels : int
        Side of a cutout in pixels.
    service : Service
        Sends requests, with a limited rate and with retries.
    fetch : callable
        (ra, dec, scale) → bytes of the downloaded image.
    overwrite : bool
        Replace files that have the name of a cutout but are no valid cutouts.
    """

    ids: list[str]
    places: npt.NDArray[np.float64]
    folder: Path
    own: bool
    survey: CutoutService
    pixels: int
    service: Service
    fetch: Callable[[float, float, float], bytes]
    overwrite: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._doubted: dict[int, str] = {}
        self._made: set[int] = set()
        self._positions = CutoutPositions(self.folder, self.own)

    def run(self, workers: int, progress: Progress) -> list[str]:
        """Download every cutout; return for each galaxy one of `COMPLETE`, or why it failed.

        Raises
        ------
        OutputError
            The folder cannot be written, or the disk is full.
        """
        pool = ThreadPoolExecutor(workers)
        try:
            results = list(
                _tracked(pool.map(self._one, range(len(self.ids))), len(self.ids), progress)
            )
        finally:
            self.service.stop()
            pool.shutdown(cancel_futures=True)
        # if a server sends the same bytes for two positions, these are a placeholder and no image.
        # The second answer was refused; now remove the file of the first
        for row, reason in self._doubted.items():
            if row in self._made or self._ours(self._path(row)):
                self._path(row).unlink(missing_ok=True)
                results[row] = reason
        return results

    def _path(self, row: int) -> Path:
        """Return the path of the file with a galaxy's cutout."""
        return self.folder / (self.ids[row] + self.survey.suffix)

    def _one(self, row: int) -> str:
        """Download one galaxy's cutout if its file is missing, damaged, or of another position."""
        reason = _unsafe(self.ids[row]) or _nowhere(*self.places[row])
        if reason is not None:
            return reason
        path, moved = self._path(row), ""
        # keep a complete file
        try:
            if path.exists():
                return self._present(row, path.read_bytes())
        except _Elsewhere as error:
            # a file is a cutout, and not the user's own, if its bytes are in the list of positions
            if not ((self.own and error.recorded) or self._ours(path)):
                return f"a file that is there {error}; {_ASIDE}"
            moved = str(error)
        except BadAnswer as error:
            damaged = self.own and not isinstance(error, _OtherPicture)
            if not (damaged or self._ours(path)):
                return f"a file that is there is no such cutout ({error}); {_ASIDE}"
            path.unlink(missing_ok=True)
        except OSError as error:
            return f"file that is there cannot be read: {error.strerror}"
        # otherwise download it
        try:
            data = self.service.ask(lambda: self._answer(row))
        except NoAnswer as error:
            if isinstance(error.__cause__, _SameAnswer):
                self._doubted[error.__cause__.other] = (
                    f"cutout is byte for byte that of {self.ids[row]}, removed"
                )
            return f"{error}; the file that is there {moved}" if moved else str(error)
        self._write(row, data, replaces=bool(moved))
        return MOVED if moved else DONE

    def _present(self, row: int, data: bytes) -> str:
        """Return KEPT for a galaxy's complete file, or UNPLACED if its position is unknown.

        Raises
        ------
        BadAnswer
            The bytes are no such cutout, or show another position.
        """
        header, wanted = self._verified(data), self._place(row)
        place = self._positions.of(self.ids[row], data)
        recorded, spare = place is not None, 0.0
        if place is None:
            place, spare = place_in(header, self.pixels), BESIDE
        if place is not None and (change := place.change(wanted, self.pixels, spare)):
            raise _Elsewhere(change, recorded)
        self._claim(row, data)
        return KEPT if place is not None else UNPLACED

    def _write(self, row: int, data: bytes, replaces: bool) -> None:
        """Write a verified cutout to the galaxy's file, and its position to the list."""
        path = self._path(row)
        with written_whole(path) as temporary:
            temporary.write_bytes(data)
            self._positions.add(self.ids[row], self._place(row), data)
            # the file of an earlier position is replaced by `written_whole`, unless the running
            # command has no record of it, as in a copied folder: remove it then, because `_one`
            # has checked that it is a cutout
            if replaces and outputs.current() is not None and not self._ours(path):
                path.unlink(missing_ok=True)
        self._made.add(row)

    def _place(self, row: int) -> Place:
        """Return the position and scale of a galaxy's cutout."""
        ra, dec, scale = self.places[row].tolist()
        return Place(ra, dec, scale)

    def _ours(self, path: Path) -> bool:
        """Return whether a file may be replaced: a download wrote it, or the user agrees."""
        guard = outputs.current()
        if guard is None:
            return self.overwrite
        return self.overwrite or guard.overwrite or guard.wrote(path)

    def _answer(self, row: int) -> bytes:
        """Download the cutout of one galaxy, and verify the image."""
        data = self.fetch(*self.places[row])
        self._verified(data)
        self._claim(row, data)
        return data

    def _verified(self, data: bytes) -> Header | None:
        """Require an image to have the right size and bands; return its header if it is FITS.

        Raises
        ------
        BadAnswer
            The image cannot be decoded, has another size or other bands, or is blank.
        """
        header = None
        try:
            if self.survey.bands:
                bands = read_fits(data, where="answer", max_pixels=MAX_PIXELS)
                height, width = bands.flux.shape[1:]
                header = bands.header
                blank = [line for line in bands.faults() if line.endswith("blank")]
                if bands.names != self.survey.bands:
                    received, wanted = "+".join(bands.names), "+".join(self.survey.bands)
                    raise _OtherPicture(f"answer has bands {received}, not {wanted}")
            else:
                image = np.asarray(picture(data, where="answer", max_pixels=MAX_PIXELS))
                height, width = image.shape[:2]
                # refuse an image of a single colour, which servers send for a position without data
                blank = ["image is blank"] if (image == image[0, 0]).all() else []
        except InputError as error:
            raise BadAnswer(str(error)) from error
        if (height, width) != (self.pixels, self.pixels):
            raise _OtherPicture(f"answer is {width}×{height}, not {self.pixels}×{self.pixels}")
        if blank:
            raise _OtherPicture(blank[0])
        return header

    def _claim(self, row: int, data: bytes) -> None:
        """Store which galaxy received this image; refuse the same image for another position."""
        digest = fingerprint.of_bytes(data)
        with self._lock:
            other = self._seen.setdefault(digest, row)
        place, second = self._place(row), self._place(other)
        if place.arcsec_to(second) > 1 or place.scale != second.scale:
            raise _SameAnswer(other, self.ids[other])


def _unsafe(name: str) -> str | None:
    """Return why a galaxy's id cannot be used as a file name; None if it can."""
    # an unsafe id is refused and not changed, because the file name must be the galaxy's id
    plain = (
        name.isprintable()
        and not set(name) & set('/\\:*?"<>|')
        and not name.startswith((".", "~", "-"))
    )
    if plain and name == name.strip() and not name.endswith(".") and len(name.encode()) <= 200:
        return None
    return "id is not a safe file name; rename the galaxy"


def _nowhere(ra: float, dec: float, scale: float) -> str | None:
    """Return why no cutout can be requested (position or size is missing); None if it can."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return "position is missing"
    return None if np.isfinite(scale) else "size that sets the scale is missing or not positive"


def _tracked(items: Iterable[str], total: int, progress: Progress) -> Iterable[str]:
    """Yield the results of downloads one by one, and show progress with the number of failures."""
    failed = 0
    with progress.counted("cutouts", total) as advance:
        for item in items:
            failed += item not in COMPLETE
            advance(beside=f"{failed} failed" if failed else "")
            yield item
