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
from gzfeatures.surveys.downloads import DONE, KEPT, Download
from gzfeatures.surveys.surveys import CutoutService, Scale, service_of
from gzfeatures.web.polite_http import Service

NOTE = "cutouts.json"
"""Name of the file that records how a folder's cutouts were made, so that kinds are not mixed."""

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class CutoutReport:
    """Report how many cutouts were downloaded, already present, or failed, with reasons.

    Parameters
    ----------
    downloaded : int
        New files.
    already_there : int
        Files of an earlier call, verified again.
    failed : tuple of (str, str)
        Id and reason of each galaxy without a file, in the catalog's order; the next call tries
        them again.
    scale : str
        The scale that was used.
    """

    downloaded: int
    already_there: int
    failed: tuple[tuple[str, str], ...]
    scale: str

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

    An existing file that is no such cutout is downloaded again if an earlier download wrote it, or
    if it does not decode in a folder of cutouts only; otherwise it stays and is listed as failed.

    A file appears only when it decodes, has the size asked for, is not blank, and is not byte for
    byte the answer for another position. Servers that answer 429, 5xx or not at all are asked
    again, later and later, and as late as their Retry-After says. Redirects from a public address
    to a private one are refused.

    Parameters
    ----------
    catalog : Catalog
        Needs ra and dec.
    folder : str or Path
        Where the files go.
    survey : str
        Entry of `surveys.SURVEYS`, or `hips:ID` for any HiPS of the CDS.
    base_url : str, optional
        Another address of the same service.
    workers : int
        Downloads at a time.
    scale : Scale or float, optional
        Arcsec per pixel. By default the survey's own rule: for SDSS 0.02 × petro_r90, at least 0.1
        (Willett et al. 2013), and 0.396 for a catalog without that column. A HiPS that is not in
        `surveys.HIPS` has no scale of its own.
    pixels : int, optional
        Side of a cutout; by default the survey's.
    rate : float, optional
        Questions per second. By default the survey's polite rate, and no limit at another
        `base_url`.
    retries : int
        Further tries after a failed one.
    backoff : float
        Seconds before the second try, doubled for each further one.
    timeout : float
        Seconds without a byte after which a try fails.
    progress : Progress or bool
        Where a bar goes; nowhere by default. True is the terminal.
    overwrite : bool
        Replace files that bear the name of a cutout and are none.

    Raises
    ------
    UnknownNameError
        There is no such survey.
    InputError
        The catalog has no positions, an argument breaks its rule, or the folder holds cutouts of
        another kind.
    MissingExtraError
        SkyView is asked for and astroquery is not installed.
    OutputError
        The folder cannot be written, or the disk is full; what was downloaded is kept.
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
    # limit the rate of requests to the survey's public server only; a user's own server needs no
    # limit
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
    """Return a report that counts downloaded, kept and failed cutouts, with reasons of failure."""
    told = [results[name] for name in ids]
    failed = tuple(
        (name, why) for name, why in zip(ids, told, strict=True) if why not in (DONE, KEPT)
    )
    return CutoutReport(told.count(DONE), told.count(KEPT), failed, scale)


def _rule(scale: Scale | float | None, survey: CutoutService, catalog: Catalog) -> Scale:
    """Return the arcsec per pixel of cutouts: as the user says, or by the survey's own rule."""
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
    """Write a new cutout folder's settings file; refuse other settings; remove partial files.

    Parameters
    ----------
    folder : Path
        Of cutouts.
    settings : dict of str to object
        What all cutouts of a folder share.

    Returns
    -------
    bool
        Whether the folder is one of cutouts only: nothing lay in it when it got its note.
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
    # if a folder has files but no settings file, its files may be the user's own: mark it as
    # shared, so that damaged files are not replaced
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
    # remove half-written files of downloads that were killed; keep those of the last hour, because
    # a running download may write them
    for part in folder.glob(".*.part*"):
        if time.time() - part.lstat().st_mtime > 3600:
            part.unlink(missing_ok=True)
    return not shared
