"""Draw random galaxies for a simulated survey: types, distances, luminosities, sizes, shapes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from gzfeatures.synthetic.galaxy_shape import BulgeShape, Galaxy

TYPES: dict[str, float] = {
    "round": 0.15,
    "in-between": 0.14,
    "cigar": 0.09,
    "edge-on": 0.14,
    "spiral": 0.20,
    "barred-spiral": 0.13,
    "barred-disk": 0.03,
    "ring": 0.03,
    "merger": 0.04,
    "irregular": 0.03,
    "artifact": 0.02,
}
"""Share of each galaxy type; rare types are more frequent than on the sky, so that all occur."""

AXIS_RATIOS = {"round": (0.79, 1.0), "in-between": (0.44, 0.79), "cigar": (0.21, 0.42)}
"""Smallest and largest apparent axis ratio of each smooth galaxy type."""

LIMIT = 17.0
"""r magnitude of the faintest galaxies, as in Galaxy Zoo 2."""


@dataclasses.dataclass(frozen=True)
class Member:
    """Store one galaxy of a simulated survey: its position, distance and true shape.

    Parameters
    ----------
    type : str
        Type of galaxy, one of `TYPES`.
    ra, dec : float
        Position in degrees.
    redshift : float
        Redshift of the galaxy; an artifact has that of the galaxy for which it was mistaken.
    absolute_magnitude : float
        Absolute magnitude in the r band.
    spectrum : bool
        True if the redshift has been measured.
    shape : Galaxy
        True shape, from which the image is drawn.
    """

    type: str
    ra: float
    dec: float
    redshift: float
    absolute_magnitude: float
    spectrum: bool
    shape: Galaxy


def type_of(index: int, seed: int) -> str:
    """Return the type of galaxy number `index` of a simulated survey.

    In a survey of any size, each type has nearly the share of galaxies that `TYPES` gives it.
    """
    start = float(np.random.default_rng([seed, 0]).random())
    # golden-ratio sequence: its first n numbers fill [0, 1) almost evenly for every n. Each type
    # has a part of [0, 1) as long as its share, so it gets this share for every n
    place = (start + (index + 1) * (math.sqrt(5) - 1) / 2) % 1.0
    edges = np.cumsum(list(TYPES.values()))
    return list(TYPES)[
        min(int(np.searchsorted(edges, place * edges[-1], side="right")), len(TYPES) - 1)
    ]


def distance(redshift: float) -> tuple[float, float]:
    """Return the distance modulus (mag) and the kiloparsecs per arcsec at a redshift.

    The universe is flat, with H0 = 70 km/s/Mpc and Ωm = 0.3.
    """
    # equations 14 and 15 of Hogg 1999 (arXiv:astro-ph/9905116): comoving distance = c / H0 ∫ dz /
    # E(z), with E² = Ωm (1 + z)³ + 1 − Ωm
    z = np.linspace(0, redshift, 64)
    comoving = 299792.458 / 70 * float(np.trapezoid((0.3 * (1 + z) ** 3 + 0.7) ** -0.5, z))
    return 5 * math.log10(comoving * (1 + redshift)) + 25, comoving / (
        1 + redshift
    ) * 1e3 * math.pi / 648000


def member(index: int, seed: int, rng: np.random.Generator) -> Member:
    """Draw galaxy number `index` of a simulated survey: position, redshift, luminosity and shape.

    Parameters
    ----------
    index : int
        Number of the galaxy in the survey, which decides its type.
    seed : int
        Seed of the survey.
    rng : numpy.random.Generator
        Random numbers of this galaxy.
    """
    from scipy.special import ndtr, ndtri

    kind = type_of(index, seed)
    early = kind in AXIS_RATIOS
    mean, scatter = (
        (-21.4, 0.7) if early else (-19.8, 0.7) if kind == "irregular" else (-20.9, 0.75)
    )
    redshift = float(np.clip(rng.gamma(5, 0.017), 0.012, 0.10 if kind == "irregular" else 0.15))
    modulus, kpc = distance(redshift)
    faintest = LIMIT - modulus
    magnitude = mean + scatter * float(
        ndtri(rng.uniform(1e-9, 1) * ndtr((faintest - mean) / scatter))
    )
    slope, size = (-0.22, 0.48) if early else (-0.13, 0.64)
    r50 = 10 ** (size + slope * (magnitude + 21) + rng.normal(0, 0.1)) / kpc
    shape = _shape(kind, magnitude + modulus, r50, rng)
    shape = dataclasses.replace(
        shape,
        r50=float(np.clip(shape.r90, 3.0, 14.0) / shape.r90 * shape.r50),
        colour=shape.colour + 1.8 * (redshift - 0.05),
        position_angle=float(rng.uniform(0, math.pi)),
        handedness=int(rng.choice([-1, 1])),
    )
    dec = math.degrees(math.asin(rng.uniform(0.0, 0.87)))
    spectrum = bool(rng.random() < 0.95)
    return Member(kind, float(rng.uniform(120, 240)), dec, redshift, magnitude, spectrum, shape)


def nearby(galaxy: Member, redshift: float) -> Galaxy:
    """Return a galaxy's shape as seen at a lower `redshift`; unchanged if it is nearer already."""
    if galaxy.redshift <= redshift or galaxy.type == "artifact":
        return galaxy.shape
    (far, kpc_far), (near, kpc_near) = distance(galaxy.redshift), distance(redshift)
    shape = galaxy.shape
    return dataclasses.replace(
        shape, magnitude=shape.magnitude - far + near, r50=shape.r50 * kpc_far / kpc_near
    )


def _shape(kind: str, magnitude: float, r50: float, rng: np.random.Generator) -> Galaxy:
    """Draw the shape and colour of a simulated galaxy of type `kind`.

    The caller then rotates the galaxy, and changes its colour with the redshift.
    """
    if kind in AXIS_RATIOS:
        return _elliptical(kind, magnitude, r50, rng)
    if kind == "artifact":
        return _artifact(rng)
    if kind == "edge-on":
        return _edge_on(magnitude, r50, rng)
    if kind == "irregular":
        return _irregular(magnitude, r50, rng)
    if kind == "merger":
        return _merger(magnitude, r50, rng)
    return _disk(kind, magnitude, r50, rng)


# never change the order in which the functions below draw random numbers: with another order, a
# seed would give another survey than before


def _elliptical(kind: str, magnitude: float, r50: float, rng: np.random.Generator) -> Galaxy:
    """Draw the shape of a simulated smooth galaxy: round, in-between, or cigar-shaped."""
    low, high = AXIS_RATIOS[kind]
    # give cigar-shaped galaxies a smaller Sérsic index: most of them are disks seen from the side,
    # whose light falls less steeply towards the outside than that of ellipticals
    sersic = rng.uniform(1.2, 2.6) if kind == "cigar" else rng.uniform(2.0, 4.8)
    axis_ratio = rng.uniform(low, high)
    # most smooth galaxies are old and red; the 18 % that still form stars are bluer
    colour = rng.normal(0.84, 0.07) - (0.3 if rng.random() < 0.18 else 0)
    return Galaxy("elliptical", magnitude, r50, sersic=sersic, axis_ratio=axis_ratio, colour=colour)


def _artifact(rng: np.random.Generator) -> Galaxy:
    """Choose at random the shape of a simulated artifact: a bright star, or a satellite's trail."""
    trail = rng.random() < 0.3
    return Galaxy(
        "trail" if trail else "star",
        15.3 if trail else rng.uniform(11.5, 14.5),
        r50=rng.uniform(2.5, 6),
        colour=rng.uniform(0.2, 1.4),
    )


def _edge_on(magnitude: float, r50: float, rng: np.random.Generator) -> Galaxy:
    """Draw the shape of a simulated disk seen edge-on, with or without a bulge."""
    shapes: tuple[BulgeShape, ...] = ("none", "rounded", "boxy")
    bulge_shape = shapes[int(rng.choice(3, p=[0.35, 0.5, 0.15]))]
    return Galaxy(
        "edge-on",
        magnitude + 0.2,  # dust in the plane absorbs light
        r50,
        axis_ratio=rng.uniform(0.13, 0.26),
        colour=rng.normal(0.68, 0.1),
        bulge=0.0 if bulge_shape == "none" else rng.uniform(0.12, 0.4),
        bulge_shape=bulge_shape,
        dust=rng.choice([0.0, rng.uniform(0.6, 2.0)], p=[0.55, 0.45]),
    )


def _irregular(magnitude: float, r50: float, rng: np.random.Generator) -> Galaxy:
    """Draw the shape of a simulated irregular galaxy, blue and without symmetry."""
    return Galaxy(
        "irregular",
        magnitude,
        r50,
        axis_ratio=rng.uniform(0.45, 0.95),
        colour=rng.normal(0.35, 0.07),
        disturbance=rng.uniform(0.2, 0.5),
    )


def _merger(magnitude: float, r50: float, rng: np.random.Generator) -> Galaxy:
    """Draw the shape of a simulated galaxy that a neighbour distorts, sometimes with tidal arms."""
    return Galaxy(
        "merger",
        magnitude,
        r50 * 1.1,
        sersic=rng.uniform(1.2, 3),
        axis_ratio=rng.uniform(0.5, 0.95),
        colour=rng.normal(0.62, 0.1),
        bulge=0.15,
        bulge_shape="rounded",
        arms=int(rng.choice([0, 2])),
        pitch=rng.uniform(20, 38),
        strength=0.6,
        disturbance=rng.uniform(0.1, 0.35),
    )


def _disk(kind: str, magnitude: float, r50: float, rng: np.random.Generator) -> Galaxy:
    """Draw the shape of a simulated disk that is not seen edge-on: spiral, barred or ringed."""
    arms = (
        int(rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.6, 0.15, 0.1, 0.1])) if "spiral" in kind else 0
    )
    # give disks with fewer than three arms a larger bulge: galaxies with more arms are of later
    # Hubble types, whose bulges are smaller
    bulge = float(np.clip(rng.beta(1.6, 5.5) + (0.05 if arms < 3 else 0), 0.02, 0.6))
    axis_ratio = rng.uniform(0.42, 1.0)
    # make disks with a large bulge, and disks without arms, redder: they have fewer young stars
    colour = rng.normal(0.58, 0.09) + 0.35 * (bulge - 0.2) + (0.12 if not arms else 0)
    # draw a pitch angle for each answer of Galaxy Zoo 2 (tight, medium, loose arms); one of the
    # three is chosen below
    pitches = [rng.uniform(7, 12), rng.uniform(13, 22), rng.uniform(24, 38)]
    return Galaxy(
        "disk",
        magnitude,
        r50,
        axis_ratio=axis_ratio,
        colour=colour,
        bulge=bulge,
        bulge_shape="rounded",
        arms=arms,
        pitch=float(rng.choice(pitches, p=[0.4, 0.4, 0.2])),
        strength=float(rng.uniform(0.25, 1.0)) if arms else 0.0,
        bar=float(rng.uniform(0.8, 1.6)) if kind.startswith("barred") else 0.0,
        ring=float(rng.uniform(0.15, 0.35)) if kind == "ring" else 0.0,
    )
