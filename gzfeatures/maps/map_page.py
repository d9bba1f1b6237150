"""Write the interactive map: one HTML file that works from disk, without a network.

Weighed for this work, 5,000 galaxies with thumbnails or 100,000 without, in one file: Plotly's
WebGL scatter (1.6 MB of script, images only as fixed layout objects), Bokeh (1.4 MB, no images in
place of points), DataMapPlot (its page takes deck.gl from unpkg.com, or from a cache filled online;
images on hover only), Embedding Atlas (over 5 MB beside a DuckDB in WebAssembly, loaded by workers,
which a file opened from disk may not start) and regl-scatterplot 1.16 (0.2 MB, the closest).
Measured against the last in software rendering (experiments/benchmarks/pages.py): a frame of
100,000 points takes 0.09 s of processor time instead of 0.11, and the page opens in 0.6 s instead
of 2.1; and it asks for float blending that phones lack, knows neither touch nor shapes, and turns
text into code. Underneath, each draws points with one small shader. So that shader stands here
(page/points.js), over twgl.js 7.0.0 (MIT, npm, 32 kB, in page/twgl.js), which spares WebGL's
bookkeeping; the rest of the page is plain scripts. The page's content policy forbids every request
and every evaluation of text. The density under a sample is numpy's histogram: datashader counts the
same in 0.9 s of a million galaxies, not 0.1, and brings eleven more packages.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.neighbours import nearest
from gzfeatures.figures.content_policy import with_policy
from gzfeatures.figures.page_template import page_template
from gzfeatures.figures.palette import CLASS_COLOURS, RAMP, on_paper
from gzfeatures.figures.sprites import ACROSS, Sprites, pack
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids, as_ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps.columns import columns
from gzfeatures.maps.page_points import MapCube, base64_of, point_data
from gzfeatures.maps.teaching_data import TeachingServer, teaching_data
from gzfeatures.outputs import sealed
from gzfeatures.progress import SILENT, Progress

POINTS = 100_000
"""Most galaxies drawn as points; larger maps show a sample over the density of all galaxies."""

DENSITY_SIDE = 512
NEIGHBOURS = 8
EXACT_UP_TO = 20_000
"""Most galaxies for which shown neighbours are exact; larger maps state the share found."""

THUMBNAIL = View(size=80, crop=0.6)


@dataclasses.dataclass(frozen=True, eq=False)
class MapPage:
    """Store all data of an interactive map, and write them as one HTML file.

    Parameters
    ----------
    ids : Ids
        Shape (n,). They are shown as text, even if they contain HTML.
    coordinates : ndarray of float32
        Shape (n, 2 or 3).
    vectors : ndarray of float32
        Embeddings, shape (n, d), in which the galaxies most similar to a galaxy are found.
    settings, quality : mapping
        Settings and quality of the map, for the header of the page.
    labels, predictions, catalog
        Properties to colour by (see `columns.columns`). If the catalog has `ra` and `dec`
        (degrees), the details of a galaxy link to the SDSS.
    images : ImageSet, str or Path, optional
        Images for thumbnails; galaxies without one stay points.
    layouts : mapping of str to ndarray, optional
        Other positions of the same galaxies, in the shape of `coordinates` and aligned with them;
        NaN hides a galaxy. The page moves the galaxies from one layout to another.
    title : str
        Title of the page.
    report : str, optional
        Name of a report beside the page, to link to.
    view : View
        Crop and size of a thumbnail.
    most : int
        Largest number of galaxies drawn as points.
    seed : int
        Seed of the sample if a map has more than `most` galaxies, and of the galaxies set aside to
        test a head that is fitted on the page.
    server : TeachingServer, optional
        Server that stores the labels given on the page; by default the browser stores them.
    answers : Predictions, optional
        Predicted fractions of the decision tree's answers, which name the regions of the map;
        without these, labels or numbers name them.
    sky : bool
        Whether the page also shows the galaxies on the sky, by `ra` and `dec` of the catalog.
    """

    ids: Ids
    coordinates: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]
    settings: Mapping[str, Any]
    quality: Mapping[str, Any]
    labels: Labels | None = None
    images: ImageSet | str | Path | None = None
    predictions: Mapping[str, Predictions] | None = None
    catalog: pd.DataFrame | None = None
    layouts: Mapping[str, npt.NDArray[np.float32]] | None = None
    title: str = "Map of galaxies"
    report: str | None = None
    view: View = THUMBNAIL
    most: int = POINTS
    seed: int = 0
    server: TeachingServer | None = None
    answers: Predictions | None = None
    sky: bool = False

    @cached_property
    def rows(self) -> npt.NDArray[np.intp]:
        """Return the row numbers of the galaxies drawn as points: all, or a sample of `most`."""
        order = np.random.default_rng(self.seed).permutation(len(self.ids))
        return np.sort(order[: self.most])

    @cached_property
    def places(self) -> npt.NDArray[np.float32]:
        """Scale each galaxy's position to the cube −1 … 1 that the page draws, shape (n, 3)."""
        return self.cube.placed(self.coordinates)

    @cached_property
    def cube(self) -> MapCube:
        """Return the cube around all galaxies, which scales coordinates to the page's −1 … 1."""
        return MapCube.around(self.coordinates)

    def write(self, path: str | Path, progress: Progress = SILENT) -> Path:
        """Write the page as one HTML file that works without a network.

        Parameters
        ----------
        path : str or Path
        progress : Progress
            Shows how many thumbnails are made; by default nowhere.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InputError
            The sky is to be shown, but the catalog has no positions.
        OutputError
            The place cannot be written.
        """
        if self.sky and (self.catalog is None or not {"ra", "dec"} <= set(self.catalog.columns)):
            raise InputError(
                "positions on the sky",
                rule="be in columns ra and dec of the catalog",
                remedy="name a catalog that has them with --catalog",
            )
        sprites = None
        if self.images is not None:
            ids, places = self.ids[self.rows], self.places[self.rows]
            sprites = pack(ids, places, self.images, self.view, progress)
        data = self._header() | self._points() | self._details(sprites)
        data |= {"teaching": self._teaching()}
        # a page in a frame hands its requests to the page around it, and needs no network itself
        asks = self.server is not None and not self.server.framed
        page = _filled(self.title, self.report, data, sprites, served=asks)
        path = Path(path)
        with written_whole(path) as temporary:
            temporary.write_text(sealed(page), encoding="utf-8")
        return path

    def _header(self) -> dict[str, Any]:
        """Return the map's title, number of galaxies, quality and colours as JSON values."""
        light = [on_paper(colour) for colour in CLASS_COLOURS]
        return {
            "title": self.title,
            "total": len(self.ids),
            "dimensions": self.coordinates.shape[1],
            "settings": dict(self.settings),
            "quality": dict(self.quality),
            "centre": self.cube.centre.tolist(),
            "unit": self.cube.unit,
            "palette": {"dark": CLASS_COLOURS, "light": light},
            "ramp": RAMP,
        }

    def _points(self) -> dict[str, Any]:
        """Return ids, positions and colour columns of the page's points as JSON values."""
        rows = self.rows
        return point_data(
            self.ids[rows],
            self.coordinates[rows],
            self.vectors[rows],
            columns(self.ids[rows], self.labels, self.predictions, self.catalog),
            cube=self.cube,
            layouts={name: places[rows] for name, places in (self.layouts or {}).items()},
            answers=self.answers,
            seed=self.seed,
        )

    def _teaching(self) -> dict[str, Any] | None:
        """Return embeddings for fitting a head on the page; None for too many galaxies."""
        return teaching_data(
            self.ids[self.rows],
            self.vectors[self.rows],
            self.labels,
            seed=self.seed,
            server=self.server,
            answers=self.answers,
        )

    def _details(self, sprites: Sprites | None) -> dict[str, Any]:
        """Return galaxies' probabilities, neighbours, sky positions and thumbnails as JSON values.

        If the page draws only a sample of the galaxies, also return the density of all galaxies.
        """
        ids, vectors = self.ids[self.rows], self.vectors[self.rows]
        density = None
        if len(self.ids) > self.most:
            density = {"side": DENSITY_SIDE, "values": base64_of(_density(self.places), "u1")}
        return {
            "probabilities": _probabilities(ids, self.predictions or {}),
            "neighbours": _neighbours(vectors, self.seed) if len(ids) > 1 else None,
            "sky": _sky_positions(ids, self.catalog),
            "sky_shown": self.sky,
            "sheets": None if sprites is None else _sheets(sprites),
            "density": density,
        }


def _filled(
    title: str,
    report: str | None,
    data: Mapping[str, Any],
    sprites: Sprites | None,
    *,
    served: bool = False,
) -> str:
    """Return the HTML of a map's page: the template with scripts, styles, data and thumbnails."""
    from markupsafe import Markup

    sheets = () if sprites is None else sprites.sheets
    folder = files("gzfeatures.maps.page")

    def source(name: str) -> Markup:
        """Return the text of a script or style file of this package, not escaped for HTML."""
        return Markup(folder.joinpath(name).read_text(encoding="utf-8"))

    page = page_template("gzfeatures.maps.page", "map.html").render(
        title=title,
        report=report,
        data=data,
        sheets=[base64.b64encode(jpeg).decode() for jpeg in sheets],
        source=source,
    )
    # a page opened from disk may make no network request; a served page may ask its own server
    requests = "'self'" if served else "'none'"
    return with_policy(page, images="data: blob:", requests=requests)


def _neighbours(vectors: npt.NDArray[np.float32], seed: int) -> dict[str, Any]:
    k = min(NEIGHBOURS, len(vectors) - 1)
    near = nearest(vectors, None, k, exact_up_to=EXACT_UP_TO, seed=seed)
    return {"k": k, "rows": base64_of(near.rows, "<u4"), "recall": near.recall}


def _sheets(sprites: Sprites) -> dict[str, Any]:
    return {
        "size": sprites.size,
        "across": ACROSS,
        "tiles": base64_of(sprites.pictures, "<i4"),
        "missing": len(sprites.missing),
    }


def _probabilities(ids: Ids, predictions: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Encode class probabilities as bytes, 0 … 255; 0 for a galaxy without a prediction."""
    table = []
    for name, prediction in predictions.items():
        # leave out predicted numbers such as redshifts: they are not probabilities, and the page
        # offers them as colours
        if prediction.is_value:
            continue
        rows = pd.Index(prediction.ids).get_indexer(pd.Index(ids))
        predicted = np.where(rows[:, None] < 0, 0, prediction.probabilities[rows])
        table.append(
            {
                "name": name,
                "classes": prediction.classes,
                "values": base64_of(np.rint(predicted * 255), "u1"),
            }
        )
    return table


def _sky_positions(ids: Ids, catalog: pd.DataFrame | None) -> str | None:
    if catalog is None or not {"ra", "dec"} <= set(catalog.columns):
        return None
    places = catalog.set_index(as_ids(catalog["galaxy_id"]))[["ra", "dec"]].reindex(ids)
    return base64_of(places.to_numpy(dtype=np.float64), "<f8")


def _density(places: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Count galaxies in 512 × 512 cells of the map; return log counts as opacities, 0 … 190."""
    counts, _, _ = np.histogram2d(
        -places[:, 1], places[:, 0], bins=DENSITY_SIDE, range=[[-1, 1], [-1, 1]]
    )
    # counts differ by orders of magnitude, so draw their logarithm
    strength = np.log1p(counts)
    return np.asarray(np.rint(strength / max(strength.max(), 1) * 190), dtype=np.uint8)
