"""Read one galaxy's image: bytes, digest (sha256), pixels and faults, with a cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.images.decode import Decoder, reason
from gzfeatures.images.framing import Framing
from gzfeatures.images.galaxy_files import Files, GalaxyFiles, NetworkInput, WholePicture
from gzfeatures.images.picture_cache import KnownImage, PictureCache
from gzfeatures.images.picture_hash import NOTHING, picture_hash
from gzfeatures.images.view import View


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class GalaxyImage:
    """Read one galaxy's image; `ImageSet` creates one object of this class for each image it reads.

    Parameters
    ----------
    name : str
        Galaxy id.
    source : GalaxyFiles
        Archive or folder with the image.
    files : Files
        Names of the image's files in the archive.
    framing : Framing, optional
        Pixel scale and Petrosian radius, which set the size of crops; None if the image shows
        exactly the field that Galaxy Zoo 2 showed.
    cache : PictureCache, optional
        Cache of digest (sha256) and pixels, once they are read; None for no cache.
    """

    name: str
    source: GalaxyFiles
    files: Files
    framing: Framing | None
    cache: PictureCache | None

    @property
    def frame(self) -> float | None:
        """Return the side, in pixels of the image, of the sky field that Galaxy Zoo 2 showed.

        Return None if the image shows exactly this field.
        """
        return None if self.framing is None else self.framing.frame_pixels(self.name)

    def read(self) -> bytes:
        """Return the bytes of the galaxy's only file, or an uncompressed zip of its files."""
        return self.source.read(self.files)

    def digest(self) -> str:
        """Return a SHA-256 of the image's bytes and of the options that change its pixels."""
        known = self._known()
        return self._read_again()[1].digest if known is None else known.digest

    def pixels(self, view: View, digest: str | None = None) -> npt.NDArray[np.uint8]:
        """Return the pixels, cropped and resized for a view; refuse an unexpected digest."""
        frame, cached = self.frame, self._cached_pixels(digest)
        if cached is not None and view.bands is None and view.stretch is None:
            return self.source.see_picture(self.files, cached, view, frame)
        known, decoder = self._decoder(digest)
        pixels = self.source.see(self.files, decoder, view, frame)
        self._store(known, decoder)
        return pixels

    def network_input(
        self,
        views: Sequence[View],
        digest: str | None = None,
        noted: Callable[[str], None] | None = None,
    ) -> NetworkInput:
        """Return what networks read: a whole picture, or bands cropped and resized per view."""
        frame, cached = self.frame, self._cached_pixels(digest)
        if cached is not None and not any(view.bands or view.stretch for view in views):
            return self.source.whole_picture(self.files, cached, views, noted, frame)
        known, decoder = self._decoder(digest)
        result = self.source.network_input(self.files, decoder, views, noted, frame)
        self._store(known, decoder)
        return result

    def picture_hash(self) -> bytes:
        """Return the perceptual hash, 64 bytes; zeros if the image is broken or given as bands."""
        view = View(size=8, crop=1e-3)
        # the hash uses the uncropped picture, so crop and size of this view do not matter
        try:
            return hash_of(self.network_input((view,)), (view,))
        except (InputError, MissingFileError):
            return NOTHING + NOTHING

    def fault(self) -> tuple[str | None, int | None]:
        """Return why the image cannot be used (None if it can), and its number of grey levels."""
        try:
            known = self._known()
            if known is not None and known.fault is not None:
                return known.fault
            known, decoder = self._decoder()
            why = "; ".join(decoder.faults())
            fault = (why, None) if why else (None, decoder.levels())
            if known is not None:
                known.fault = fault
            if not why:
                self._store(known, decoder)
        except (InputError, MissingFileError) as error:
            return reason(error), None
        return fault

    def adopt_digest(self, digest: str) -> None:
        """Store in the cache a digest that an earlier run computed, unless one is stored."""
        if self.cache is not None and self.framing is None and self._known() is None:
            known = KnownImage(self.source.states(self.files), digest)
            self.cache.add((self.files, self.source), known)

    def _known(self) -> KnownImage | None:
        """Return what the cache stores about the image; None if it was not read, or has changed."""
        # use no cache if galaxies' radii set the crops: then two galaxies with the same file have
        # different digests, but the cache stores one digest per file
        if self.cache is None or self.framing is not None:
            return None
        return self.cache.known((self.files, self.source), self.source.states(self.files))

    def _read_again(self, digest: str | None = None) -> tuple[bytes, KnownImage]:
        """Read the image's bytes and digest (sha256); refuse bytes without the expected digest."""
        # note the file's size and modification time before reading: if the file changes during
        # reading, the next call notices it and reads again
        state = [] if self.cache is None else self.source.states(self.files)
        data = self.source.read(self.files)
        found = self.source.digest(data, self.frame)
        if digest is not None and found != digest:
            raise InputError(
                "image has changed",
                where=self.source.where(self.files),
                remedy="leave it alone and run again",
            )
        known = KnownImage(state, found)
        if self.cache is not None and self.framing is None:
            self.cache.add((self.files, self.source), known)
        return data, known

    def _decoder(self, digest: str | None = None) -> tuple[KnownImage | None, Decoder]:
        """Read the image and return its decoder; refuse an image that changed since it was read."""
        if digest is None and self.cache is None:
            return None, self.source.decoder(self.files, self.source.read(self.files))
        before = self._known()
        expected = digest or (None if before is None else before.digest)
        data, known = self._read_again(expected)
        if before is not None:
            known.fault, known.refused = before.fault, before.refused
        return known, self.source.decoder(self.files, data)

    def _cached_pixels(self, digest: str | None) -> npt.NDArray[np.uint8] | None:
        """Return the cached pixels of a picture that was decoded before; None if not stored."""
        known = self._known()
        if known is None or self.cache is None or digest not in (None, known.digest):
            return None
        return self.cache.pixels(known)

    def _store(self, known: KnownImage | None, decoder: Decoder) -> None:
        """Store the pixels of a picture that was just decoded in the cache."""
        if known is not None and self.cache is not None and self.framing is None:
            pixels = decoder.decoded
            if pixels is not None:
                self.cache.store(known, pixels)


def hash_of(source: NetworkInput, views: Sequence[View]) -> bytes:
    """Return a picture's perceptual hash, 64 bytes; zeros for an image given as filter bands."""
    if not isinstance(source, WholePicture):
        return NOTHING + NOTHING
    return picture_hash(source.pixels, views[0].crop / source.crops[0])
