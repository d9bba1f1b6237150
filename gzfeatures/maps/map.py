"""Store a map of galaxies, place new galaxies on a map, and read and write maps as Parquet."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gzfeatures.errors import InputError, parsing, require_format
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.explore.feature_space import FeatureSpace
from gzfeatures.explore.neighbours import nearest
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.files import require_file, written_whole
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids, among, as_ids, positions, require_unique
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.maps import map_page, quality
from gzfeatures.maps.teaching_data import TeachingServer
from gzfeatures.outputs import seal_parquet
from gzfeatures.progress import SILENT, Progress
from gzfeatures.tablefiles.parquet_size import read_parquet_file

FORMAT = 1
"""Version of map files; raise it if older code would misread a new file."""

AXES = ("x", "y", "z")


@dataclasses.dataclass(frozen=True, eq=False)
class Map:
    """Store a map: coordinates of galaxies in two or three dimensions, and how they were computed.

    Parameters
    ----------
    ids : Ids
        Shape (n,), unique.
    coordinates : ndarray of float32
        Shape (n, 2) or (n, 3), finite; units are arbitrary.
    settings : dict
        How the map was made, as JSON values.
    quality : dict
        Numbers about the map: `trustworthiness`, `knn_preservation`, … (see `project`).
    feature_space : FeatureSpace
        Metric and principal components in which distances between galaxies were computed.
    vectors : ndarray of float32
        Galaxies in these components, shape (n, components), by which new galaxies are placed.

    Raises
    ------
    InputError
        Ids repeat, shapes disagree, or a coordinate is not finite.
    """

    ids: Ids
    coordinates: npt.NDArray[np.float32]
    settings: Mapping[str, Any]
    quality: Mapping[str, Any]
    feature_space: FeatureSpace
    vectors: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        require_unique(self.ids, where="map")
        n = len(self.ids)
        if self.coordinates.shape not in ((n, 2), (n, 3)) or len(self.vectors) != n:
            raise InputError(
                "map",
                rule=f"have {n} rows of two or three coordinates",
                found=self.coordinates.shape,
            )
        if not np.isfinite(self.coordinates).all():
            raise InputError("coordinate of a map", rule="be finite")

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, ids: Ids) -> Map:
        """Return a map with only the given galaxies, in the order of the given ids."""
        rows = positions(self.ids, ids, where="map")
        return dataclasses.replace(
            self, ids=ids, coordinates=self.coordinates[rows], vectors=self.vectors[rows]
        )

    def place(self, table: EmbeddingTable) -> Map:
        """Place new galaxies on this map, near similar galaxies; the map stays unchanged.

        A galaxy lands on the mean of its nearest mapped galaxies, weighted by exp(−(d − d₁) / (d̄ −
        d₁)) with d₁ their smallest and d̄ their mean distance: UMAP's own first guess for new
        points, with membership weights that do not depend on the scale. A galaxy that is on the map
        (same id, same embedding) keeps its position. Nothing is random, and umap is not needed.

        Parameters
        ----------
        table : EmbeddingTable
            Embeddings of the new galaxies, made with the same settings as those of the map.

        Returns
        -------
        Map
            Map of the new galaxies. Its quality `far` is the share of new galaxies with an
            uncertain position: their nearest mapped galaxy is farther away than `reach`, within
            which 99 % of the mapped galaxies have their nearest neighbour.

        Raises
        ------
        InputError
            The table was made with other settings (network, layer, crop) than the map.
        """
        if table.extractor.fingerprint != self.settings["extractor"]:
            raise InputError(
                "table and map come from different extractors",
                rule=f"be extractor {self.settings['extractor'][:12]}",
                found=table.extractor.fingerprint[:12],
                remedy="extract the new galaxies as the mapped ones were",
            )
        vectors = self.feature_space.vectors(table.matrix)
        near = nearest(self.vectors, vectors, min(self.settings["n_neighbors"], len(self)))
        # subtract the distance to the nearest neighbour before weights are computed, as UMAP does
        # (McInnes+2018, section 3.1)
        beyond = near.distances - near.distances[:, :1]
        width = np.maximum(beyond.mean(1, keepdims=True), np.finfo(np.float32).tiny)
        weights = np.exp(-beyond / width)
        scale = np.linalg.norm(self.vectors.std(0))
        weights = np.where(
            near.distances[:, :1] <= 1e-5 * scale, near.distances <= 1e-5 * scale, weights
        )
        weights /= weights.sum(1, keepdims=True)
        coordinates = np.einsum("ij,ijk->ik", weights, self.coordinates[near.rows]).astype(
            np.float32
        )
        # a galaxy of the map keeps its own position, also where another one has equal embeddings; a
        # galaxy of another survey, which has only the same id, does not get it
        mapped = pd.Index(self.ids).get_indexer(pd.Index(table.ids))
        own = np.flatnonzero(mapped >= 0)
        apart = np.linalg.norm(vectors[own] - self.vectors[mapped[own]], axis=1)
        own = own[apart <= 1e-5 * scale]
        coordinates[own] = self.coordinates[mapped[own]]
        far = float((near.distances[:, 0] > self.settings["reach"]).mean()) if len(table) else 0.0
        return dataclasses.replace(
            self, ids=table.ids, coordinates=coordinates, vectors=vectors, quality={"far": far}
        )

    def joined(self, placed: Map) -> Map:
        """Add galaxies that were placed on this map; positions of the map's own galaxies stay.

        Raises
        ------
        InputError
            The placed galaxies have another number of dimensions.
        """
        new = ~among(placed.ids, self.ids)
        if self.coordinates.shape[1] != placed.coordinates.shape[1]:
            raise InputError(
                "maps cannot be joined",
                rule="have the same dimensions",
                found=placed.coordinates.shape[1],
            )
        return dataclasses.replace(
            self,
            ids=np.concatenate([self.ids, placed.ids[new]]),
            coordinates=np.concatenate([self.coordinates, placed.coordinates[new]]),
            vectors=np.concatenate([self.vectors, placed.vectors[new]]),
            quality={**self.quality, **placed.quality},
        )

    def aligned(self, onto: Map) -> Map:
        """Rotate, mirror, scale and shift this map to match another one, by the galaxies in both.

        This is a Procrustes fit.

        Returns
        -------
        Map
            This map in its new position. Its quality gains `disparity` in [0, 1] (0: same shape)
            and `shared`, the number of galaxies in both maps.

        Raises
        ------
        InputError
            Fewer than three galaxies are shared, or the numbers of dimensions differ.
        """
        shared = np.asarray([name for name in self.ids if name in set(onto.ids)], dtype=object)
        if len(shared) < 3 or self.coordinates.shape[1] != onto.coordinates.shape[1]:
            raise InputError(
                "maps cannot be aligned",
                rule="share three galaxies and their number of dimensions",
                found=f"{len(shared)} shared, {self.coordinates.shape[1]} and "
                f"{onto.coordinates.shape[1]} dimensions",
            )
        own_places = self.coordinates[positions(self.ids, shared)].astype(np.float64)
        target_places = onto.coordinates[positions(onto.ids, shared)].astype(np.float64)
        turn, scale, centre, disparity, target = quality.superposed(own_places, target_places)
        coordinates = ((self.coordinates - centre) @ turn * scale + target).astype(np.float32)
        gained = {**self.quality, "disparity": disparity, "shared": len(shared)}
        return dataclasses.replace(self, coordinates=coordinates, quality=gained)

    @property
    def frame(self) -> pd.DataFrame:
        """Return a data frame of `galaxy_id`, `x`, `y` (and `z`), to join with a catalog."""
        columns = {
            name: self.coordinates[:, i] for i, name in enumerate(AXES[: self.coordinates.shape[1]])
        }
        return pd.DataFrame({"galaxy_id": self.ids, **columns})

    def write_html(
        self,
        path: str | Path,
        labels: Labels | None = None,
        images: ImageSet | str | Path | None = None,
        *,
        predictions: Mapping[str, Predictions] | None = None,
        catalog: pd.DataFrame | None = None,
        others: Mapping[str, Map] | None = None,
        title: str = "Map of galaxies",
        report: str | None = None,
        view: View = map_page.THUMBNAIL,
        most: int = map_page.POINTS,
        server: TeachingServer | None = None,
        answers: Predictions | None = None,
        sky: bool = False,
        progress: Progress = SILENT,
    ) -> Path:
        """Write the map as one interactive HTML file that works without a network.

        For the parameters see also `map_page.MapPage`.

        `others`, by name, are maps of the same galaxies from other tables or settings: each is
        aligned with this map (Procrustes), and the page moves the galaxies from one map to another;
        galaxies that a map lacks are hidden. `progress` shows how many thumbnails are made. A
        `server` stores the labels that a person gives on the page. `report` is the name of a page
        to link to. `answers` are predicted fractions of the decision tree's answers, by which
        regions are named; `sky` also shows the galaxies on the sky, by `ra` and `dec` of the
        catalog.

        Raises
        ------
        InputError
            Another map shares fewer than three galaxies with this one.
        OutputError
            The place cannot be written.
        """
        layouts = {}
        for name, other in (others or {}).items():
            laid = other.aligned(self)
            rows = pd.Index(other.ids).get_indexer(pd.Index(self.ids))
            places = np.where(rows[:, None] < 0, np.float32(np.nan), laid.coordinates[rows])
            layouts[f"{name} (disparity {laid.quality['disparity']:.2f})"] = places
        page = map_page.MapPage(
            self.ids,
            self.coordinates,
            self.vectors,
            self.settings,
            self.lasting_quality,
            labels=labels,
            images=images,
            predictions=predictions,
            catalog=catalog,
            layouts=layouts,
            title=title,
            report=report,
            view=view,
            most=most,
            server=server,
            answers=answers,
            sky=sky,
        )
        return page.write(path, progress)

    @property
    def lasting_quality(self) -> dict[str, Any]:
        """Return the map's quality without run times, which differ between runs with one seed."""
        return {name: value for name, value in self.quality.items() if name != "seconds"}

    def write(self, path: str | Path) -> Path:
        """Write the map as Parquet: `galaxy_id`, `x`, `y` (`z`), `vector` (in the `feature_space`).

        The metadata key `gzfeatures` holds settings and quality as JSON, `gzfeatures_space` the
        mean and axes as base64 of little-endian float32.

        Raises
        ------
        OutputError
            The place cannot be written; an existing file is left as it was.
        """
        path = Path(path)
        width = self.vectors.shape[1]
        settings = {
            "format": FORMAT,
            "settings": self.settings,
            "quality": self.lasting_quality,
            "space": self.feature_space.asdict(),
        }
        axes = None if self.feature_space.axes is None else _encoded(self.feature_space.axes)
        arrays = {"mean": _encoded(self.feature_space.mean), "axes": axes}
        flat = pa.array(np.ascontiguousarray(self.vectors).reshape(-1))
        table = pa.Table.from_pandas(self.frame, preserve_index=False).append_column(
            "vector", pa.FixedSizeListArray.from_arrays(flat, width)
        )
        table = table.replace_schema_metadata(
            {"gzfeatures": json.dumps(settings), "gzfeatures_space": json.dumps(arrays)}
        )
        with (
            written_whole(path) as temporary,
            pq.ParquetWriter(
                temporary,
                table.schema,
                use_dictionary=False,
                compression="zstd",
                write_page_checksum=True,
            ) as writer,
        ):
            writer.write_table(table)
            seal_parquet(writer, temporary)
        return path

    @classmethod
    def read(cls, path: str | Path) -> Map:
        """Read a map from a Parquet file that was written by `write`.

        Raises
        ------
        MissingFileError, InputError
            No such file; not a map; a newer format.
        """
        path = require_file(path, "map")
        with parsing("not a map", path, rule="be a Parquet file written by 'gzfeatures map'"):
            table = read_parquet_file(path, verified=True)
            metadata = table.schema.metadata or {}
            fields, arrays = (
                json.loads(metadata[key]) for key in (b"gzfeatures", b"gzfeatures_space")
            )
            require_format("map", fields["format"], FORMAT, path)
            mean = _decoded(arrays["mean"])
            axes = (
                None if arrays["axes"] is None else _decoded(arrays["axes"]).reshape(-1, len(mean))
            )
            column = table["vector"].combine_chunks()
            names = [name for name in AXES if name in table.column_names]
            return cls(
                as_ids(table["galaxy_id"].to_numpy(), where=path),
                np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32),
                fields["settings"],
                fields["quality"],
                FeatureSpace(fields["space"]["metric"], mean, axes, fields["space"]["kept"]),
                column.flatten()
                .to_numpy(zero_copy_only=False)
                .reshape(len(table), column.type.list_size),
            )


def _encoded(array: npt.NDArray[np.float32]) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _decoded(text: str) -> npt.NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
