"""ImageSet: ids → files → digests → pixels; what is broken, and why."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, MissingFileError
from gzfeatures.files import existing
from gzfeatures.galaxies.ids import Ids, positions, require_unique
from gzfeatures.images.views import View

SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PIXELS = 64_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of galaxies by id.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    paths : tuple of Path
        File of each id.
    """

    ids: Ids
    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        require_unique(self.ids, where="images")

    @classmethod
    def of(cls, source: str | Path, ids: Ids | None = None) -> ImageSet:
        """Images of a folder; an id is a file's stem."""
        root = existing(source, "image folder")
        files = {p.stem: p for p in sorted(root.iterdir()) if p.suffix.lower() in SUFFIXES}
        wanted = np.asarray(sorted(files), dtype=object) if ids is None else ids
        missing = [name for name in wanted if name not in files]
        if missing:
            raise MissingFileError(f"{len(missing)} of {len(wanted)} images are missing", where=root, found=missing[0])
        return cls(wanted, tuple(files[name] for name in wanted))

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        """Bytes of the image as stored."""
        return self.paths[row].read_bytes()

    def digest(self, row: int) -> str:
        """Sha256 of the image's bytes."""
        return fingerprint.of_bytes(self.read(row))

    def pixels(self, row: int, view: View) -> npt.NDArray[np.uint8]:
        """Pixels of one image under a view, shape (size, size, 3).

        Raises
        ------
        InputError
            The file is broken, blank of bytes, not an image, or absurdly large.
        """
        data = self.read(row)
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise InputError("image is too large", where=self.paths[row], found=image.size)
                image.load()
                return view.apply(image)
        except (OSError, SyntaxError) as error:
            raise InputError("image cannot be decoded", where=self.paths[row], found=str(error)) from None

    def select(self, ids: Ids) -> ImageSet:
        """Images of these ids, in this order; an unknown id is an InputError."""
        rows = positions(self.ids, ids, where="images")
        return dataclasses.replace(self, ids=ids, paths=tuple(self.paths[r] for r in rows))
