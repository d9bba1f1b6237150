"""Test whether another library's encoder gives an image the same embedding in every batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import WeightsError
from gzfeatures.explore.table_similarity import neighbour_overlap

Pixels: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Pixels], Vectors]

TOLERANCE = 1e-4
"""Largest allowed difference of two vectors, as a fraction of the largest number in all vectors."""
STRIP = 8
"""A strip at an edge of an image is as wide as the image divided by this."""
UNSEEN = 1e-7
"""Largest relative change of vectors if an encoder does not read the changed strip of images."""
IMAGES, QUANTISED_IMAGES = 4, 24
FLOATS = "losses of 8-bit integers"
"""Name of the test that would need the network before rounding to 8-bit integers."""
CENTRED_COSINE = 0.95
"""Smallest mean cosine of two libraries' 8-bit vectors, after subtracting the mean vector."""
NEIGHBOURS, SHARED = 5, 0.82
"""Nearest neighbours of each image, and the smallest share of them that both libraries must find.

Measured on random images: GoogLeNet 99 %, a ResNet-18 of random weights 88 to 94 %, MobileNetV2,
whose vectors rounding ruins, 39 to 78 % (experiments/int8_judgement.py).
"""


@dataclasses.dataclass(frozen=True)
class Trial:
    """Store the result of one test (trial) of an encoder.

    Parameters
    ----------
    trial : str
        What was tested.
    sound : bool, optional
        Whether the encoder passed; None where the test cannot decide.
    detail : str
        Measured value, or why the test cannot decide.
    """

    trial: str
    sound: bool | None
    detail: str

    def __str__(self) -> str:
        """Return the name, result and measured value of the test in one line."""
        verdict = {True: "sound", False: "NOT SOUND", None: "not known"}[self.sound]
        return f"{self.trial}: {verdict} ({self.detail})"


def trial_images(size: int, images: int = IMAGES, seed: int = 0) -> Pixels:
    """Return random smooth images of shape (n, size, size, 3), the same on every computer."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (images, 8, 8, 3))
    rows = np.linspace(0, 7, size).round().astype(int)
    smooth = coarse[:, rows][:, :, rows] + generator.integers(-8, 9, (images, size, size, 3))
    return np.asarray(np.clip(smooth, 0, 255), dtype=np.uint8)


def findings_of(
    run: Run,
    size: int,
    other: Run | None = None,
    sizes: Callable[[int], int] | None = None,
    quantised: bool = False,
    layers: Sequence[Trial] = (),
    batch: int | None = None,
) -> list[Trial]:
    """Test an encoder on a few random images, and return the result of each test.

    Parameters
    ----------
    run : callable
        Function from pixels (n, size, size, 3) to vectors (n, dim).
    size : int
        Side of the images in px.
    other : callable, optional
        Computes the same vectors in another library, for comparison.
    sizes : callable, optional
        Function from a side in px to the length of the vectors; None if the image size is fixed.
    quantised : bool
        The encoder computes in 8-bit integers, where libraries differ by more than float rounding.
    layers : sequence of Trial
        Results of tests on the encoder's layers (see `pooled_area`, `layer_trials`).
    batch : int, optional
        Fixed number of images that the encoder takes at a time; None if any number is possible.

    Returns
    -------
    list of Trial
        Results. Tests fail (`sound` is False) for active dropout or batch statistics, vectors that
        depend on the batch, vectors that are equal for all images or not finite, and a second
        library that gives other vectors.
    """
    images = trial_images(size)
    vectors = run(images)
    found = [
        _values(vectors),
        _alike("the same images again (dropout)", vectors, run(images), vectors),
        *_batches(run, images, vectors, batch),
    ]
    spread = float(np.ptp(vectors, axis=0).max())
    found.append(Trial("different images", spread > 0, f"vectors differ by up to {spread:.3g}"))
    found.append(_ends(run, images, vectors))
    found += layers
    found.append(_sizes(size, vectors.shape[1], sizes))
    if quantised:
        # how much accuracy the rounding to 8 bits cost stays unknown: the libraries compared below
        # run the same rounded weights, so they agree even if the rounding was bad
        found.append(Trial(FLOATS, None, "the file holds no network in floats"))
    if other is None:
        found.append(Trial("another library", None, "there is no second one to compare with"))
    elif quantised:
        many = trial_images(size, QUANTISED_IMAGES, seed=1)
        found.append(_quantised("another library", run(many), other(many)))
    else:
        found.append(_alike("another library", other(images), vectors, vectors))
    return found


def _quantised(trial: str, vectors: Vectors, others: Vectors) -> Trial:
    """Compare two libraries' 8-bit embeddings by their cosine and their nearest neighbours.

    The mean is subtracted first: all vectors share a large mean, which would hide rounding losses.
    """
    cosine, shared = directions_and_neighbours(vectors, others)
    detail = f"centred cosine {cosine:.3f}, {shared:.0%} of {NEIGHBOURS} nearest neighbours"
    return Trial(trial, cosine >= CENTRED_COSINE and shared >= SHARED, detail)


def directions_and_neighbours(vectors: Vectors, others: Vectors) -> tuple[float, float]:
    """Compare two libraries' embeddings: mean cosine, and share of equal nearest neighbours.

    Parameters
    ----------
    vectors, others : ndarray of float32
        Shape (n, dim), more than `NEIGHBOURS` rows.

    Returns
    -------
    float
        Mean over rows of the cosine between a row's two vectors, each minus the mean vector of the
        first table.
    float
        Share of the `NEIGHBOURS` nearest neighbours that both tables have, in [0, 1].

    Examples
    --------
    >>> table = np.arange(30, dtype=np.float32).reshape(10, 3) ** 2
    >>> cosine, shared = directions_and_neighbours(table, table)
    >>> round(cosine, 5), shared
    (1.0, 1.0)
    """
    one, other = (table - vectors.mean(0) for table in (vectors, others))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine = float(np.mean((one * other).sum(1) / np.maximum(norms, 1e-12)))
    return cosine, neighbour_overlap(vectors, others, k=NEIGHBOURS)


def _batches(run: Run, images: Pixels, vectors: Vectors, batch: int | None) -> list[Trial]:
    """Test whether the embedding of an image depends on the batch's size or order."""
    alone, three = "one image alone (batch statistics)", "a batch of three"
    if batch == 1:
        # the network accepts only batches of one image, so batches of different sizes cannot be
        # compared
        reason = "it takes one image at a time"
        return [Trial(name, None, reason) for name in (alone, three)]
    return [
        _alike(alone, run(images[:1]), vectors[:1], vectors),
        _alike(three, run(images[:3]), vectors[:3], vectors),
        _alike("in another order", run(images[::-1])[::-1], vectors, vectors),
    ]


def _values(vectors: Vectors) -> Trial:
    """Test whether all numbers of the embeddings are finite."""
    lost = int((~np.isfinite(vectors)).sum())
    count = f"{vectors.shape[1]} numbers"
    return Trial("values", not lost, f"{count}, {lost} are not finite" if lost else count)


def _alike(trial: str, one: Vectors, other: Vectors, all_: Vectors) -> Trial:
    """Test whether two tables of embeddings are equal up to `TOLERANCE` × largest number."""
    if one.shape != other.shape:
        return Trial(trial, False, f"shape {one.shape}, not {other.shape}")
    scale = max(float(np.abs(all_).max()), 1e-12)
    difference = float(np.abs(one - other).max()) / scale
    return Trial(trial, difference <= TOLERANCE, f"differs by {difference:.1e} of the largest")


def _ends(run: Run, images: Pixels, vectors: Vectors) -> Trial:
    """Test whether embeddings change if the pixels along one edge of the images are inverted.

    A kernel too small for its feature map does not reach the last cell, and patches may not fill an
    image. If embeddings do not change, the result is unknown, not failed: some encoders use only
    the middle of an image on purpose, and an untrained ResNet whose residual branches start at zero
    reads only one pixel per stride.
    """
    trial, width = "ends of the images", max(images.shape[1] // STRIP, 1)
    scale = max(float(np.abs(vectors).max()), 1e-12)
    blind = []
    for axis, names in ((1, ("top", "bottom")), (2, ("left", "right"))):
        for name, part in zip(names, (slice(width), slice(-width, None)), strict=True):
            changed = images.copy()
            strip = (slice(None), part) if axis == 1 else (slice(None), slice(None), part)
            changed[strip] = 255 - changed[strip]
            if float(np.abs(run(changed) - vectors).max()) / scale <= UNSEEN:
                blind.append(name)
    if not blind:
        return Trial(trial, True, f"all four change the vectors, {width} px each")
    return Trial(trial, None, f"{' and '.join(blind)} {width} px not seen")


def _sizes(size: int, dim: int, sizes: Callable[[int], int] | None) -> Trial:
    """Test whether an encoder gives embeddings of the same length for another image size."""
    trial = "images of another size"
    if sizes is None:
        return Trial(trial, None, f"it takes {size} px alone")
    # try a second image size: a pooling kernel made for one size gives maps with more or fewer
    # cells at another size, and so vectors of another length
    other = 2 * size if size <= 128 else size // 2
    try:
        length = sizes(other)
    except Exception as error:
        return Trial(trial, None, f"{other} px are not taken: {str(error)[:80]}")
    detail = f"{length} numbers at {other} px, {dim} at {size} px"
    # a change of length is no failure: embeddings at the encoder's own image size may still be
    # right
    return Trial(trial, True if length == dim else None, detail)


def require_sound(findings: Sequence[Trial], name: str) -> None:
    """Refuse an encoder if a test showed that its embeddings cannot be trusted.

    Raises
    ------
    WeightsError
        A test failed; the message names the first that failed.
    """
    for finding in findings:
        if finding.sound is False:
            raise WeightsError(
                f"encoder is not sound: {finding.trial}",
                where=name,
                rule="give each image one vector, of the whole image",
                found=finding.detail,
                remedy="export it in eval mode, with an open batch and size, or for this size",
            )
