"""Remember the sky position of each cutout in a folder, and compare two positions of a galaxy."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gzfeatures import fingerprint, outputs
from gzfeatures.errors import InputError
from gzfeatures.files import writing_to
from gzfeatures.images.decoding.alignment import arcsec_per_pixel, celestial
from gzfeatures.images.decoding.warning_filter import without_warnings

if TYPE_CHECKING:
    from astropy.io.fits import Header

POSITIONS = "cutout_positions.csv"
"""Name of a file with the sky position of each cutout in a folder."""
COLUMNS = ("galaxy_id", "ra", "dec", "arcsec_per_pixel", "sha256")
DIGITS = 16
"""Number of hex digits of a sha256 that the file contains."""
_DIGEST = re.compile(f"[0-9a-f]{{{DIGITS}}}")
OFF_MIDDLE = 0.01
"""Largest change of a galaxy's position, as a fraction of the cutout's side, that is tolerated.

Half a pixel is always tolerated. A fraction of the side, and not a fixed angle, because one arcsec
is 1 % of a cutout of SDSS, but 13 % of one of JWST (256 pixels of 0.03 arcsec). With 1 %, newly
measured positions of the same galaxies (SDSS: 0.1 arcsec) do not replace a whole folder, and the
galaxy is still in the middle of its image: random shifts during training are larger."""
OTHER_SCALE = 0.01
"""Largest change of the arcsec per pixel, as a fraction, that is tolerated."""


class Place(NamedTuple):
    """Store what part of the sky a cutout shows: its centre, and its arcsec per pixel.

    Parameters
    ----------
    ra, dec : float
        Centre in degrees.
    scale : float
        Arcsec per pixel.
    """

    ra: float
    dec: float
    scale: float

    def arcsec_to(self, other: Place) -> float:
        """Return the angle between two centres in arcsec, along the great circle.

        Examples
        --------
        >>> round(Place(359.9999, 0.0, 0.4).arcsec_to(Place(0.0001, 0.0, 0.4)), 3)
        0.72
        >>> round(Place(0.0, 89.9999, 0.4).arcsec_to(Place(180.0, 89.9999, 0.4)), 3)
        0.72
        """
        # the haversine formula is accurate for small angles, at ra 0 and at the poles
        ra, dec, other_ra, other_dec = np.radians([self.ra, self.dec, other.ra, other.dec])
        chord = np.hypot(
            np.sin((dec - other_dec) / 2),
            np.sqrt(np.cos(dec) * np.cos(other_dec)) * np.sin((ra - other_ra) / 2),
        )
        return float(np.degrees(2 * np.arcsin(min(chord, 1.0))) * 3600)

    def change(self, wanted: Place, pixels: int, spare: float = 0.0) -> str:
        """Say how a cutout differs from the one that is wanted; an empty text if it does not.

        Parameters
        ----------
        wanted : Place
            What the cutout should show.
        pixels : int
            Side of the cutout in pixels.
        spare : float
            Pixels by which this centre may differ from the position that was asked for.

        Examples
        --------
        >>> Place(10.0, 0.0, 0.4).change(Place(10.01, 0.0, 0.4), pixels=64)
        'shows a position 36.0 arcsec away'
        >>> Place(10.0, 0.0, 0.4).change(Place(10.00005, 0.0, 0.4), pixels=64)
        ''
        """
        arcsec = self.arcsec_to(wanted)
        tolerated = (max(0.5, OFF_MIDDLE * pixels) + spare) * wanted.scale
        if not arcsec <= tolerated:
            return f"shows a position {arcsec:.1f} arcsec away"
        if not abs(self.scale / wanted.scale - 1) <= OTHER_SCALE:
            return f"has {self.scale:.4g} arcsec per pixel, not {wanted.scale:.4g}"
        return ""


BESIDE = 0.5**0.5
"""Largest distance in pixels between a position and the centre of the FITS cutout made for it.

`surveys.tiles` shifts a cutout by up to half a pixel in x and in y."""


def place_in(header: Header | None, pixels: int) -> Place | None:
    """Return the centre and scale of a square FITS cutout by its header; None if not in it."""
    from astropy.wcs.utils import pixel_to_skycoord

    world = celestial(header)
    if world is None:
        return None
    with without_warnings():
        try:
            middle = pixel_to_skycoord((pixels - 1) / 2, (pixels - 1) / 2, world).icrs
            scale = arcsec_per_pixel(world)
        except Exception:
            # as in `celestial`: damaged coordinates raise many kinds of errors, and say nothing
            return None
    place = Place(float(middle.ra.deg), float(middle.dec.deg), scale)
    return place if np.isfinite(place).all() else None


class CutoutPositions:
    """Store the sky position of each cutout in a folder in a CSV file, which grows line by line.

    A line also contains the sha256 of the cutout: the position is that of a file with these bytes,
    not that of a different file that has the galaxy's name. If a line is missing or damaged, the
    position of its cutout is unknown.

    Parameters
    ----------
    folder : Path
        Folder with the cutouts.
    own : bool
        True if the folder has only cutouts: a file of this name is then the one that was written
        before, even if it is damaged.

    Raises
    ------
    InputError
        A different file has this name, or the file cannot be read.
    """

    def __init__(self, folder: Path, own: bool) -> None:
        self.path = folder / POSITIONS
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Place] = {}
        self._end = 0
        first = self._read_on()
        # never add lines to a file of the user's: ours has the names of the columns, or was damaged
        # in a folder that has only cutouts
        if self._end and first != ",".join(COLUMNS) and not (own or self._known):
            raise InputError(
                "file has the name of the list of positions of cutouts",
                where=self.path,
                rule=f"begin with {','.join(COLUMNS)}",
                found=first[:60],
                remedy="move it away",
            )

    def _read_on(self) -> str:
        """Read the lines that were added since the last reading, and return the first of them."""
        if not self.path.is_file() or self.path.stat().st_size == self._end:
            return ""
        try:
            with self.path.open("rb") as file:
                file.seek(self._end)
                data = file.read()
        except OSError as error:
            raise InputError(
                "list of positions cannot be read", where=self.path, found=error.strerror
            ) from error
        self._end += len(data)
        # a line that another process has not finished is read as a damaged one: the position of its
        # cutout, which is not yet in the folder, stays unknown
        lines = data.decode(errors="replace").split("\n")
        for line in lines:
            self._read(line)
        return lines[0]

    def _read(self, line: str) -> None:
        """Store the position in one line of the file; ignore a line that is damaged."""
        try:
            name, *numbers, digest = next(csv.reader([line], strict=True))
            place = Place(*map(float, numbers))
        except (csv.Error, StopIteration, TypeError, ValueError):
            return
        if np.isfinite(place).all() and _DIGEST.fullmatch(digest):
            self._known[name, digest] = place

    def of(self, name: str, data: bytes) -> Place | None:
        """Return what a galaxy's file shows of the sky; None if these bytes were not recorded."""
        key = name, fingerprint.of_bytes(data)[:DIGITS]
        with self._lock:
            if key not in self._known:
                # another process may have written this cutout since the file was read
                self._read_on()
            return self._known.get(key)

    def add(self, name: str, place: Place, data: bytes) -> None:
        """Add a line with the position of a cutout, before its bytes become the galaxy's file.

        If the program is killed in between, the line is about bytes that no file has, and so says
        nothing about a file that exists.

        Raises
        ------
        OutputError
            The file cannot be written, or is an input of the running command.
        """
        text = io.StringIO()
        digest = fingerprint.of_bytes(data)[:DIGITS]
        numbers = (repr(float(number)) for number in place)
        csv.writer(text, lineterminator="\n").writerow([name, *numbers, digest])
        with self._lock, writing_to(self.path):
            self._append(text.getvalue())
            self._known[name, digest] = place

    def _append(self, line: str) -> None:
        """Append a line to the file in a single write, which no other process can interrupt."""
        outputs.allow_longer(self.path)
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                line = ",".join(COLUMNS) + "\n" + line
            else:
                file.seek(size - 1)
                # begin a new line if an earlier call was stopped in the middle of one
                line = line if file.read(1) == b"\n" else "\n" + line
            data = line.encode()
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
