"""Keep embeddings on disk by extractor (network, layer, crop) and image sha256, for all runs.

`<root>/<extractor fingerprint>/` holds `extractor.json` and shards (see `shard`), which are data
and no code. Each embedding is looked up on its own. Its key contains everything that changes an
embedding, but not the galaxy's id, the path, the batch size or the number of workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from pathlib import Path

from gzfeatures import user_folders
from gzfeatures._moved import renamed
from gzfeatures.errors import InputError
from gzfeatures.features import shard
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.vector_cache import EXTRACTOR_FILE, VectorCache
from gzfeatures.files import read_sidecar, write_sidecar

STALE_SECONDS = 86_400.0


@dataclasses.dataclass(frozen=True)
class StoredVectors:
    """Hold number, size and last use of the stored embeddings of one network, layer and crop.

    Parameters
    ----------
    fingerprint : str
        Sha256 of the extractor's settings.
    extractor : Extractor
        Settings that made the vectors.
    rows, bytes : int
        Number of vectors (a vector in two shards counts twice), and bytes on disk.
    last_used : float
        Seconds since the epoch.
    """

    fingerprint: str
    extractor: Extractor
    rows: int
    bytes: int
    last_used: float


@dataclasses.dataclass(frozen=True)
class Store:
    """Keep embeddings in one folder, by extractor (network, layer, crop), for later runs.

    Parameters
    ----------
    root : str or Path
        Folder, made on the first write.

    Examples
    --------
    >>> Store.at("vectors").root.name
    'vectors'
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    @classmethod
    def at(cls, place: Store | str | Path) -> Store:
        """Return the store of embeddings in a folder; return a given store unchanged.

        Parameters
        ----------
        place : Store, str or Path
            The store, or its folder.
        """
        return place if isinstance(place, Store) else cls(Path(place))

    @classmethod
    def default(cls) -> Store:
        """Return the store of embeddings at `$GZFEATURES_STORE`, or in the user's cache folder."""
        return cls(user_folders.cache())

    def vectors_of(self, extractor: Extractor) -> VectorCache:
        """Return the part of this store with one extractor's embeddings (one network, layer, crop).

        Parameters
        ----------
        extractor : Extractor
            Settings that make the vectors.
        """
        folder = self.root / extractor.fingerprint
        # set the modification time of the file of settings (extractor), by which `prune` knows the
        # last use; a store that is read-only can still be read
        with contextlib.suppress(OSError):
            os.utime(folder / EXTRACTOR_FILE)
            # the folder is named by the sha256 of the settings that are given here, so a damaged
            # file of settings can be written again; the sha256 does not cover the training
            # galaxies of the network, which the settings given first may not have known
            stored = read_sidecar(folder / EXTRACTOR_FILE)
            if not stored or (extractor.trained_on and not stored.get("trained_on")):
                write_sidecar(folder / EXTRACTOR_FILE, extractor.asdict())
        return VectorCache(folder, extractor)

    shelf = renamed("shelf", "vectors_of")

    def show(self) -> list[StoredVectors]:
        """Return number, size and last use of embeddings, for each network, layer and crop."""
        entries = []
        for record in self.root.glob("*/" + EXTRACTOR_FILE):
            if not (fields := read_sidecar(record)):
                raise InputError(
                    "record of the store is damaged",
                    where=record,
                    remedy="extract again, or remove its folder",
                )
            cache = VectorCache(record.parent, Extractor.fromdict(fields))
            size = sum(p.stat().st_size for p in record.parent.iterdir())
            entries.append(
                StoredVectors(
                    record.parent.name, cache.extractor, len(cache), size, record.stat().st_mtime
                )
            )
        return sorted(entries, key=lambda entry: -entry.last_used)

    def prune(
        self,
        *,
        backbone: str | None = None,
        unused_days: float | None = None,
        max_bytes: int | None = None,
    ) -> list[StoredVectors]:
        """Remove embeddings that meet any given condition, and files left by killed processes.

        Parameters
        ----------
        backbone : str, optional
            Remove embeddings of the backbone with this name.
        unused_days : float, optional
            Remove embeddings of extractors not used for so many days; 0 removes all.
        max_bytes : int, optional
            Remove the least recently used embeddings, until the rest is at most this large.

        Returns
        -------
        list of StoredVectors
            What was removed.
        """
        now, entries = time.time(), self.show()
        removed = [
            entry
            for entry in entries
            if entry.extractor.backbone == backbone
            or (unused_days is not None and now - entry.last_used >= unused_days * 86_400)
        ]
        rest = [entry for entry in entries if entry not in removed]
        # the list begins with the most recently used embeddings, so remove from its end
        while max_bytes is not None and sum(entry.bytes for entry in rest) > max_bytes:
            removed.append(rest.pop())
        for entry in removed:
            shutil.rmtree(self.root / entry.fingerprint, ignore_errors=True)
        # remove damaged embedding files, and compiled code that an earlier version kept in the
        # store: nothing reads them
        useless = [*self.root.glob("*/*" + shard.DAMAGED), *self.root.glob("*/compiled-*")]
        for path in [*self.root.glob("*/.*.part*"), *useless]:
            with contextlib.suppress(FileNotFoundError):
                # a temporary file changed recently may belong to a process that is still writing it
                if path in useless or now - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
        return removed
