"""Measure how similar a galaxy is to the training galaxies, with conformal p values."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.evaluation.conformal_sets import LEVEL as EMPTY_BELOW
from gzfeatures.features.matrices import BLOCK

Array: TypeAlias = npt.NDArray[np.float64]
Matrix: TypeAlias = npt.NDArray[np.float32]

LEVEL = EMPTY_BELOW
"""Galaxies with a smaller p value are called unfamiliar."""
MOST_COMPONENTS, ROWS_A_COMPONENT = 200, 10
"""Most principal components for distances, and training galaxies needed per component.

The variance along an axis has to be known before a distance can be measured in it."""
ROWS = 5000
"""Least number of evenly spaced galaxies for the principal components, if so many exist."""
CLIP = 4.0
"""Limit of coordinates in the contrast, in standard deviations: a far galaxy must not dominate."""
REFERENCE_COMPONENTS = 32
"""Number of principal components stored of calibration galaxies, to compare tables with them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Familiarity:
    """Measure a galaxy's distance to the training galaxies, with a conformal p value.

    The p value is the share of galaxies kept out of training that are at least as far.

    The distance is Mahalanobis': vectors are scaled to unit length and compared along the principal
    axes of the training galaxies, in units of the standard deviation along each axis. The p value
    is conformal: of galaxies drawn like the calibration galaxies (kept out of training), a share of
    at most a has p ≤ a, whatever network made the embeddings.

    Parameters
    ----------
    centre : ndarray of float32
        Mean direction of the training galaxies, shape (dim,).
    axes : ndarray of float32
        Principal axes of unit length, shape (c, dim).
    spread : ndarray of float64
        Standard deviation of the training galaxies along each axis, above 0, shape (c,).
    distances : ndarray of float64
        Logarithmic distances of the m calibration galaxies in increasing order, shape (m,).
    reference : ndarray of float32
        Coordinates of the calibration galaxies along the first axes, shape (m, up to 32).
    contrast : ndarray of float64, optional
        Direction in which embeddings of pictures without a galaxy differ from those of galaxies,
        shape (c,), learned from computer-drawn pictures; the coordinate along it is added to the
        logarithmic distance.

    Raises
    ------
    InputError
        Shapes disagree, or a number is not finite.

    References
    ----------
    Lee+2018, arXiv:1807.03888, equation 2 (the distance, with one class); Bates+2023,
    doi:10.1214/22-AOS2244, equation 1 (the p value); Hendrycks+2019, arXiv:1812.04606 (the
    contrast).

    Examples
    --------
    >>> draw = np.random.default_rng(0).normal(size=(1200, 8)).astype(np.float32) + 3
    >>> known = Familiarity.of(draw[:1000], draw[1000:])
    >>> bool(known.p_values(-draw[:1])[0] < 0.01)
    True
    """

    centre: Matrix
    axes: Matrix
    spread: Array
    distances: Array
    reference: Matrix
    contrast: Array | None = None

    def __post_init__(self) -> None:
        c, dim = self.axes.shape
        fits = (
            self.centre.shape == (dim,)
            and self.spread.shape == (c,)
            and self.reference.shape == (len(self.distances), min(c, REFERENCE_COMPONENTS))
            and (self.contrast is None or self.contrast.shape == (c,))
        )
        if not fits:
            raise InputError("record of familiarity", rule="hold arrays of shapes that agree")
        arrays: list[npt.NDArray[Any]] = [self.centre, self.axes, self.spread, self.distances]
        arrays.append(self.reference)
        if not all(np.isfinite(array).all() for array in arrays) or not (self.spread > 0).all():
            raise InputError("record of familiarity", rule="hold finite numbers, spreads above 0")

    @classmethod
    def of(cls, training: Matrix, kept_out: Matrix, strangers: Matrix | None = None) -> Familiarity:
        """Fit principal axes to training galaxies; store how far kept-out galaxies are from them.

        Kept-out galaxies were drawn from the same sample but not used for training.

        Parameters
        ----------
        training : ndarray of float32
            Vectors of training galaxies, shape (n, dim), n ≥ 2; finite.
        kept_out : ndarray of float32
            Vectors of galaxies drawn from the same sample but not trained on, shape (m, dim), m ≥
            1.
        strangers : ndarray of float32, optional
            Vectors of pictures without a galaxy, shape (s, dim); they make the distance larger for
            such pictures. The p values still come from the kept-out galaxies.

        Raises
        ------
        InputError
            There are too few galaxies, or their vectors are all equal or not finite.
        """
        from sklearn.decomposition import PCA

        if len(training) < 2 or not len(kept_out):
            raise InputError(
                "familiarity",
                rule="be learned from 2 or more training galaxies "
                "and 1 or more kept out of training",
                found=f"{len(training)} and {len(kept_out)}",
            )
        if not (np.isfinite(training).all() and np.isfinite(kept_out).all()):
            raise InputError("vectors that familiarity is learned from", rule="be finite numbers")
        # use evenly spaced rows, fewer than 10,000, to limit the time for large tables
        rows = _directions(training[:: max(1, len(training) // ROWS)])
        if not np.ptp(rows, axis=0).any():
            raise InputError("vectors are all equal", rule="differ between galaxies")
        count = min(MOST_COMPONENTS, max(1, len(rows) // ROWS_A_COMPONENT), rows.shape[1])
        components = PCA(count, svd_solver="randomized", random_state=0).fit(rows)
        spread = np.sqrt(components.explained_variance_)
        # leave out axes without variance: divided by a spread of 0, every new galaxy would be
        # infinitely far
        spread_out = spread > 1e-4 * spread[0]
        # a head's file stores 16-bit numbers; round now, so that a head read from its file gives
        # the same p values
        axes, centre = _halved(components.components_[spread_out]), _halved(components.mean_)
        bare = cls(centre, axes, spread[spread_out].astype(np.float64), np.empty(0), _no_rows(axes))
        contrast = None if strangers is None else bare._contrast(rows, strangers)
        bare = dataclasses.replace(bare, contrast=contrast)
        coordinates = bare._coordinates(kept_out)
        reference = _halved(np.clip(coordinates[:, :REFERENCE_COMPONENTS], -6e4, 6e4))
        distances = np.sort(bare._distance(coordinates))
        return dataclasses.replace(bare, distances=distances, reference=reference)

    def p_values(self, matrix: Matrix) -> Array:
        """Return each galaxy's p value: share of calibration galaxies as far from training ones.

        Parameters
        ----------
        matrix : ndarray of float32
            Vectors, shape (n, dim), of galaxies that are not among the calibration galaxies.

        Returns
        -------
        ndarray of float64
            Shape (n,), in [1 / (m + 1), 1]; a small value means unlike the training galaxies.

        Raises
        ------
        InputError
            The vectors have a different length than the training galaxies' vectors.
        """
        return self._p_values(matrix, 1)

    def p_values_of_calibration(self, matrix: Matrix) -> Array:
        """Return the p values of the calibration galaxies themselves.

        Each p value is the share of all calibration galaxies that are at least as far from the
        training galaxies as this one, itself included.
        """
        return self._p_values(matrix, 0)

    def _p_values(self, matrix: Matrix, itself: int) -> Array:
        if matrix.shape[1:] != self.centre.shape:
            raise InputError("vector length", rule=f"be {len(self.centre)}", found=matrix.shape[1])
        m = len(self.distances)
        farther = np.empty(len(matrix), dtype=np.int64)
        for start in range(0, len(matrix), BLOCK):
            part = slice(start, start + BLOCK)
            distance = self._distance(self._coordinates(matrix[part]))
            farther[part] = m - np.searchsorted(self.distances, distance, side="left")
        return np.asarray(np.maximum(farther + itself, 1) / (m + itself))

    @property
    def why_none_flagged(self) -> str | None:
        """Return a message if too few calibration galaxies make p values below 0.01 impossible."""
        m = len(self.distances)
        if 1 / (m + 1) < LEVEL:
            return None
        return (
            f"no galaxy can be flagged as unfamiliar: {m} calibration galaxies give no p value "
            f"below {1 / (m + 1):.3g} (100 or more give one below {LEVEL:g})"
        )

    def coordinates(self, matrix: Matrix) -> Array:
        """Return coordinates of embeddings along the first principal axes, shape (n, ≤ 32).

        `reference` has the calibration galaxies' coordinates along the same axes.
        """
        return self._coordinates(matrix)[:, :REFERENCE_COMPONENTS]

    def _coordinates(self, matrix: Matrix) -> Array:
        along = (_directions(matrix) - self.centre) @ self.axes.T
        return np.asarray(along / self.spread, dtype=np.float64)

    def _distance(self, coordinates: Array) -> Array:
        # take the logarithm of the squared distance, which keeps the order of galaxies: otherwise
        # the contrast added below (position towards images without a galaxy) would not matter for
        # far galaxies
        distance = np.log(np.maximum((coordinates**2).sum(1), 1e-12))
        if self.contrast is not None:
            distance = distance + np.clip(coordinates, -CLIP, CLIP) @ self.contrast
        return np.asarray(distance, dtype=np.float64)

    def _contrast(self, rows: Matrix, strangers: Matrix) -> Array:
        """Fit the direction from embeddings of galaxies to those of images without a galaxy."""
        from sklearn.linear_model import LogisticRegression

        galaxies, others = self._coordinates(rows), self._coordinates(strangers)
        both = np.concatenate([galaxies, others])
        of = np.repeat([0, 1], [len(galaxies), len(others)])
        both = np.clip(both, -CLIP, CLIP)
        direction = LogisticRegression(C=0.03, max_iter=2000).fit(both, of).coef_[0]
        # an image is judged by its distance from the training galaxies plus its position along this
        # direction. Scale the direction so that, among galaxies, the position varies twice as much
        # as the distance: then an image without a galaxy stands out even if its distance is small
        spread = (both[: len(galaxies)] @ direction).std()
        return np.asarray(2 * direction / spread * self._distance(galaxies).std())

    def asdict(self) -> dict[str, Any]:
        """Return this object's attributes as JSON values, with arrays as base64 text.

        Axes, centre and reference are rounded to half precision.
        """
        return {
            "components": len(self.axes),
            "centre": _encoded(self.centre, "<f2"),
            "axes": _encoded(self.axes, "<f2"),
            "spread": _encoded(self.spread, "<f8"),
            "distances": _encoded(self.distances, "<f8"),
            "reference": _encoded(self.reference, "<f2"),
            "contrast": None if self.contrast is None else _encoded(self.contrast, "<f8"),
        }

    @classmethod
    def fromdict(cls, fields: Mapping[str, Any]) -> Familiarity:
        """Return a Familiarity from a dict that `asdict` wrote; refuse arrays of wrong shapes."""
        c = int(fields["components"])
        distances = _decoded(fields["distances"], "<f8")
        reference = _decoded(fields["reference"], "<f2")
        contrast = fields.get("contrast")
        return cls(
            _decoded(fields["centre"], "<f2").astype(np.float32),
            _decoded(fields["axes"], "<f2").astype(np.float32).reshape(c, -1),
            _decoded(fields["spread"], "<f8"),
            distances,
            reference.astype(np.float32).reshape(len(distances), min(c, REFERENCE_COMPONENTS)),
            None if contrast is None else _decoded(contrast, "<f8"),
        )


def _directions(matrix: Matrix) -> Matrix:
    """Return rows scaled to unit length; rows of zeros stay zero."""
    rows = np.asarray(matrix, dtype=np.float32)
    # add squares in double precision, because squares of very large numbers overflow in single
    # precision
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))[:, None]
    return np.asarray(rows / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)


def _halved(array: npt.NDArray[Any]) -> Matrix:
    """Round an array to 16-bit (half precision) values, and return it as float32."""
    return np.asarray(array, dtype=np.float16).astype(np.float32)


def _no_rows(axes: Matrix) -> Matrix:
    return np.empty((0, min(len(axes), REFERENCE_COMPONENTS)), dtype=np.float32)


def _encoded(array: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=kind).tobytes()).decode("ascii")


def _decoded(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=kind)
