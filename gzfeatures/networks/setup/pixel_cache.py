"""Decode galaxy images once into a memory-mapped file, from which every epoch reads the pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures import fingerprint
from gzfeatures.files import written_whole
from gzfeatures.ids import Ids, positions
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.progress import Progress, each, handed

BLOCK = 256
_CACHE_NAME = re.compile(r"\.?[0-9a-f]{32}\.npy(\..*)?")
FORMAT = 2


@dataclasses.dataclass(frozen=True, eq=False)
class PixelCache:
    """Read the pixels of galaxies, cropped and resized for a network, from a file.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    path : Path
        A .npy file of uint8, shape (n, size, size, bands).
    """

    ids: Ids
    path: Path

    @classmethod
    def of(
        cls,
        images: ImageSet,
        view: View,
        folder: Path,
        *,
        progress: Progress | bool = False,
        noted: Callable[[str, str], None] | None = None,
    ) -> PixelCache:
        """Open the file with the pixels of given images; if it is missing, decode the images first.

        The file's name is a hash of all that its content depends on: the images' bytes, in order,
        and the view. The file appears whole or not at all.

        Parameters
        ----------
        images : ImageSet
            At least one.
        view : View
            Crop, size and colour.
        folder : Path
            Folder of the file; created if missing.
        progress : Progress or bool
            Shows a progress bar; none by default. True: in the terminal.
        noted : callable, optional
            Called with id and reason for each decoded image that shows no galaxy.

        Raises
        ------
        InputError
            An image cannot be decoded.
        OutputError
            The folder cannot be written, or the disk is full.
        """
        rows = range(len(images))
        blocks = [rows[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # name the file by the content of the images, because other images may have the same ids
            digests = list(pool.map(images.digest, rows))
            path = folder / f"{fingerprint.of([FORMAT, view.asdict(), digests])[:32]}.npy"
            if not path.exists():
                shape = (len(images), *to_views(images, 0, (view,))[0].shape)
                bar = each(blocks, handed(progress), "decoding", len(blocks), transient=True)
                # write to the file block by block: writing through a memory map would kill the
                # process if the disk is full
                with written_whole(path) as temporary, temporary.open("wb") as file:
                    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_2_0(file, header)
                    for block in bar:
                        decoded = partial(_decoded, images, view, digests)
                        for row, (pixels, reasons) in zip(
                            block, pool.map(decoded, block), strict=True
                        ):
                            if noted is not None and reasons:
                                noted(str(images.ids[row]), reasons[0])
                            file.write(pixels.tobytes())
        return cls(images.ids, path)

    @property
    def bands(self) -> int:
        """Return the number of bands of the images."""
        return int(self._open().shape[-1])

    def rows(self, ids: Ids) -> npt.NDArray[np.intp]:
        """Return the row of each galaxy id in the file of pixels; refuse an unknown id."""
        return positions(self.ids, ids, where="pixel cache")

    def batch(self, rows: npt.NDArray[Any]) -> torch.Tensor:
        """Return the pixels of galaxies: uint8, (n, bands, size, size), channels last in memory."""
        return torch.from_numpy(self._open()[rows]).permute(0, 3, 1, 2)

    def _open(self) -> npt.NDArray[np.uint8]:
        pixels: npt.NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return pixels


def _decoded(
    images: ImageSet, view: View, digests: Sequence[str], row: int
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Return the pixels of one image, and a list of reasons why the image shows no galaxy."""
    reasons: list[str] = []
    pixels = to_views(images, row, (view,), digest=digests[row], noted=reasons.append)
    return pixels[0], reasons


def drop(folder: Path) -> None:
    """Remove the files of decoded pixels in a folder, and the folder if nothing else is in it."""
    for path in folder.iterdir():
        # the folder may hold files of other kinds: remove only files with the name of a pixel cache
        if _CACHE_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
