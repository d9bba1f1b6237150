"""Download cutouts (images) of a catalog's galaxies; verify each file; continue after a stop."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.files import read_sidecar, write_sidecar
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.progress import Progress, handed
from gzfeatures.surveys.downloads import COMPLETE, DONE, KEPT, MOVED, UNPLACED, Download
from gzfeatures.surveys.surveys import CutoutService, Scale, service_of
from gzfeatures.web.polite_http import Service

NOTE = "cutouts.json"
"""Name of a file with the settings of all cutouts in a folder; other settings are then refused."""

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class CutoutReport:
    """Store how many cutouts were downloaded, already present, or failed, with reasons.

    Parameters
    ----------
    downloaded : int
        Number of files that this call wrote.
    already_there : int
        Number of files of an earlier call, which were verified again.
    failed : tuple of (str, str)
        Id of each galaxy without a file, and the reason, in the catalog's order; the next call
        tries these galaxies again.
    scale : str
        Arcsec per pixel that were used, or the rule for them, as text.
    moved : int
        Number of downloaded files that replace cutouts of an earlier position or scale of the
        galaxy.
    unplaced : int
        Number of files already there that may show any position: they are not in the folder's list
        of positions, and no FITS header tells it.
    """

    downloaded: int
    already_there: int
    failed: tuple[tuple[str, str], ...]
    scale: str
    moved: int = 0
    unplaced: int = 0

    def asdict(self) -> dict[str, Any]:
        """Return the report as a dict of JSON values."""
        failed = [{"id": name, "reason": reason} for name, reason in self.failed]
        return {**dataclasses.asdict(self), "failed": failed}


def download(
    catalog: Catalog,
    folder: str | Path,
    survey: str = "sdss",
    base_url: str | None = None,
    workers: int = 8,
    *,
    scale: Scale | float | None = None,
    pixels: int | None = None,
    rate: float | None = None,
    retries: int = 4,
    backoff: float = 0.5,
    timeout: float = 30.0,
    progress: Progress | bool = False,
    overwrite: bool = False,
) -> CutoutReport:
    """Download one image per galaxy as `<galaxy_id>.jpg` or `.fits`; complete files stay unchanged.

    A file with the name of a cutout may exist that is no valid cutout. It is replaced if an earlier
    download wrote it, or if it cannot be decoded and the folder has only cutouts. Otherwise it is
    kept, and the galaxy is listed as failed.

    A file in the folder lists the position of each cutout. A cutout whose galaxy has another
    position or scale by now (1 % of the cutout's side, at least half a pixel; 1 % of the scale) is
    downloaded again. It is replaced by the same rule, after the new image has arrived. If the
    position of a cutout is unknown, the cutout is kept.

    A downloaded image becomes a file only if it can be decoded, has the right size, is not blank,
    and differs from the images of all other positions. Servers that answer 429, 5xx or not at all
    are asked again after longer and longer pauses, and never before the time in their Retry-After.
    Redirects from a public address to a private one are refused.

    Parameters
    ----------
    catalog : Catalog
        Galaxies, with columns ra and dec in degrees.
    folder : str or Path
        Folder for the files.
    survey : str
        Name in `surveys.SURVEYS`, or `hips:ID` for any HiPS of the CDS.
    base_url : str, optional
        Another address at which the same service can be reached.
    workers : int
        Number of downloads at the same time.
    scale : Scale or float, optional
        Arcsec per pixel. By default the rule of the survey: for SDSS 0.02 × petro_r90, at least 0.1
        (Willett et al. 2013), and 0.396 for a catalog without that column. For a HiPS that is not
        in `surveys.HIPS`, a catalog without that column needs a given scale.
    pixels : int, optional
        Side of a cutout in pixels; by default the usual one of the survey.
    rate : float, optional
        Requests per second. By default a polite rate for the survey's own server, and no limit for
        another `base_url`.
    retries : int
        Number of further attempts after a failed one.
    backoff : float
        Seconds before the second attempt; doubled before each further attempt.
    timeout : float
        An attempt fails if no byte arrives for so many seconds.
    progress : Progress or bool
        Shows a progress bar; by default nothing is shown. True: in the terminal.
    overwrite : bool
        Replace files that have the name of a cutout but are no valid cutouts.

    Raises
    ------
    UnknownNameError
        No survey has this name.
    InputError
        The catalog has no positions, an argument has a wrong value, or the folder has cutouts with
        other settings.
    MissingExtraError
        SkyView is chosen, and astroquery is not installed.
    OutputError
        The folder cannot be written, or the disk is full; finished downloads are kept.
    """
    source = service_of(survey)
    if pixels is None:
        pixels = source.pixels
    if not 8 <= pixels <= source.largest:
        raise InputError(
            "pixels of a cutout", rule=f"lie in 8…{source.largest} for {survey}", found=pixels
        )
    if base_url is not None and (
        urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname
    ):
        raise InputError("base URL", rule="be an http or https address", found=base_url)
    # by default, limit the requests per second to the survey's public server, but not those to
    # another address, which may be the user's own server
    rule = _rule(scale, source, catalog)
    service = Service(
        workers=workers,
        rate=source.rate if rate is None and base_url is None else rate,
        retries=retries,
        backoff=backoff,
        timeout=timeout,
    )
    work = Download(
        ids=[str(name) for name in catalog.ids],
        places=np.stack([catalog.column("ra"), catalog.column("dec"), rule.of(catalog)], axis=1),
        folder=Path(folder),
        own=prepared(Path(folder), {"survey": survey, "scale": str(rule), "pixels": pixels}),
        survey=source,
        pixels=pixels,
        service=service,
        fetch=_fetch(source, base_url or source.url, service, pixels),
        overwrite=overwrite,
    )
    results = work.run(workers, handed(progress))
    return report_of(work.ids, dict(zip(work.ids, results, strict=True)), str(rule))


def report_of(ids: list[str], results: dict[str, str], scale: str) -> CutoutReport:
    """Count downloaded, kept and failed cutouts; return the numbers and the reasons of failures."""
    told = [results[name] for name in ids]
    failed = tuple((name, why) for name, why in zip(ids, told, strict=True) if why not in COMPLETE)
    moved, unplaced = told.count(MOVED), told.count(UNPLACED)
    return CutoutReport(
        told.count(DONE) + moved, told.count(KEPT) + unplaced, failed, scale, moved, unplaced
    )


def _rule(scale: Scale | float | None, survey: CutoutService, catalog: Catalog) -> Scale:
    """Return the rule for the arcsec per pixel of cutouts: the user's, by default the survey's."""
    if isinstance(scale, Scale):
        return scale
    if scale is not None:
        return Scale(scale)
    if survey.scale.column is None or catalog.has_column(survey.scale.column):
        return survey.scale
    if survey.without_size is None:
        raise InputError(
            "scale of cutouts of this HiPS",
            where=catalog.source,
            rule=f"follow {survey.scale.column}, which the catalog lacks, or be given",
            remedy="give arcseconds per pixel with --scale",
        )
    return survey.without_size


def _fetch(
    survey: CutoutService, url: str, service: Service, pixels: int
) -> Callable[[float, float, float], bytes]:
    """Return a function that downloads the cutout at (ra, dec) with a given arcsec per pixel."""
    if survey.through == "astroquery":
        from gzfeatures.surveys.skyview import SkyView

        form = SkyView(url, service)
        return lambda ra, dec, scale: form.get(ra, dec, scale, pixels, survey.bands)
    mark = "&" if urlsplit(url).query else "?"
    return lambda ra, dec, scale: service.get(
        url
        + mark
        + survey.query.format(ra=ra, dec=dec, scale=scale, pixels=pixels, fov=scale * pixels / 3600)
    )


def prepared(folder: Path, settings: dict[str, Any]) -> bool:
    """Write a cutout folder's settings file or compare it with `settings`; remove partial files.

    Parameters
    ----------
    folder : Path
        Folder for cutouts.
    settings : dict of str to object
        Settings that all cutouts of the folder share. If the folder has a settings file with other
        settings, an error is raised.

    Returns
    -------
    bool
        True if the folder has only cutouts: it was empty when its settings file was written.
    """
    note = folder / NOTE
    wanted = {"format": FORMAT, **settings}
    found = read_sidecar(note) if note.exists() else dict(wanted)
    if not found:
        raise InputError(
            "note on the cutouts is damaged",
            where=note,
            remedy="remove it if the settings are those of the folder",
        )
    # files in a folder without a settings file may be the user's own: mark the folder as shared, so
    # that files that cannot be decoded are not replaced
    if not note.exists():
        shared = folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir())
        write_sidecar(note, wanted | ({"shared": True} if shared else {}))
    else:
        shared = bool(found.pop("shared", False))
    if found != wanted:
        raise InputError(
            "folder holds cutouts of another kind",
            where=note,
            rule=f"be of {json.dumps(wanted)}",
            found=json.dumps(found),
            remedy="choose another folder",
        )
    # remove the incomplete files of downloads that were killed; keep those changed in the last
    # hour, which a download in another process may still be writing
    for part in folder.glob(".*.part*"):
        if time.time() - part.lstat().st_mtime > 3600:
            part.unlink(missing_ok=True)
    return not shared
