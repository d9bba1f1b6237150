"""Compute the light of simulated galaxies in the bands g, r and i, before seeing and noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from gzfeatures.synthetic.galaxy_shape import Galaxy, Kind
from gzfeatures.synthetic.profiles import (
    PIXEL,
    Plane,
    bands,
    clumps,
    elliptical_radius,
    on_pixels,
    scattered,
    sersic,
    summed,
    turned,
)

DUST = np.array([1.35, 1.0, 0.75])
"""Optical depth of dust in g, r and i, divided by that in r."""


def surface_brightness(galaxy: Galaxy, side: int, rng: np.random.Generator) -> Plane:
    """Compute a simulated galaxy's light per pixel in g, r and i, before seeing and noise.

    Parameters
    ----------
    galaxy : Galaxy
        True shape of the galaxy, which is drawn in the centre of the image.
    side : int
        Side of the image in pixels.
    rng : numpy.random.Generator
        Random numbers for clumps, knots and debris.

    Returns
    -------
    ndarray of float64
        Light in g, r and i, shape (3, side, side), in nanomaggies per pixel.
    """
    offset = (np.arange(side) - (side - 1) / 2) * PIXEL
    x, y = np.meshgrid(offset, offset)
    return _MODELS[galaxy.kind](galaxy, x, y, rng) * galaxy.flux


def _elliptical(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw a smooth simulated galaxy with a Sérsic profile that becomes bluer outwards."""
    x, y = turned(*_pulled(galaxy, x, y, rng), galaxy.position_angle)
    light = on_pixels(
        lambda u, v: sersic(elliptical_radius(u, v, galaxy.axis_ratio), galaxy.r50, galaxy.sersic),
        x,
        y,
    )
    # make the outer parts bluer, because the outer stars of elliptical galaxies have fewer metals
    blueing = 1 - 0.1 * np.log10(
        np.clip(elliptical_radius(x, y, galaxy.axis_ratio) / galaxy.r50, 0.2, 4)
    )
    return (
        light
        * np.stack([blueing**-1.0, np.ones_like(blueing), blueing**0.5])
        * bands(galaxy.colour)[:, None, None]
    )


def _pulled(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Shift pixel coordinates by a sine wave, which makes a galaxy drawn on them asymmetric."""
    if not galaxy.disturbance:
        return x, y
    angle, phase = rng.uniform(0, 2 * math.pi, 2)
    wave = galaxy.disturbance * galaxy.r50
    distance = (math.cos(angle) * x + math.sin(angle) * y) / (2.2 * galaxy.r50)
    return x + wave * np.sin(distance + phase) * math.sin(angle), y - wave * np.sin(
        distance + phase
    ) * math.cos(angle)


def _disk(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw a simulated disk galaxy: bulge, bar, ring, and spiral arms of young stars and dust."""
    disk = _face_on(galaxy, x, y, rng)
    # the brightness of a disk's old stars falls exponentially with the radius (Freeman 1970,
    # doi:10.1086/150474)
    old = np.exp(-disk.radius / disk.h) * clumps(x.shape, 0.1 * disk.h, 0.04, rng)
    young, opacity = np.zeros_like(x), np.zeros_like(x)
    layers: list[tuple[Plane, float, float]] = []
    if galaxy.arms:
        arms = _arms(galaxy, disk, rng)
        young, opacity = arms.young, arms.opacity
        # old stars too are brighter in the arms, where the spiral density wave gathers them, but
        # less so than young stars
        old = old * (1 + 0.9 * galaxy.strength * (arms.crest - 0.3))
        knots = _knots(galaxy, disk, (x, y), rng)
        layers.append((knots / max(knots.sum(), 1e-12), 0.035 * galaxy.strength, 0.12))
    if galaxy.ring:
        band = np.exp(-0.5 * ((disk.radius - 1.9 * disk.h) / (0.28 * disk.h)) ** 2)
        band = band * clumps(x.shape, 0.12 * disk.h, 0.25, rng)
        layers.append((band / band.sum(), galaxy.ring, galaxy.colour - 0.3))
    if galaxy.bar:
        bar = _bar(galaxy, disk)
        layers.append((bar / bar.sum(), 0.1 + 0.1 * galaxy.bar, galaxy.colour + 0.1))
    if galaxy.bulge:
        # a bulge is thicker than its disk: assume that it looks only half as flattened
        q_bulge = 1 - 0.5 * (1 - galaxy.axis_ratio)
        bulge = on_pixels(
            lambda u, v: sersic(elliptical_radius(u, v, q_bulge), _bulge_size(galaxy), 2.2),
            disk.major,
            disk.minor,
        )
        layers.append((bulge, galaxy.bulge, galaxy.colour + 0.15))
    layers.append((young / max(young.sum(), 1e-12), 0.45 * galaxy.strength, galaxy.colour - 0.4))
    # the old stars of the disk give the rest of the light, but at least a tenth: a large bulge and
    # strong arms could leave nothing, or less
    rest = max(1 - sum(share for _, share, _ in layers), 0.1)
    layers.append((old / old.sum(), rest, galaxy.colour))
    light = summed(layers)
    return light * np.exp(-DUST[:, None, None] * opacity) if galaxy.arms else light


@dataclasses.dataclass(frozen=True, eq=False)
class _FaceOnDisk:
    """Store the coordinates of pixels in the plane of a galaxy's disk, in arcsec and radians."""

    major: Plane
    minor: Plane
    radius: Plane
    angle: Plane
    h: float
    bar_angle: float
    arms_begin: float


def _face_on(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> _FaceOnDisk:
    """Return pixel coordinates in the plane of a galaxy's disk, and the radius where arms begin."""
    along, across = turned(*_pulled(galaxy, x, y, rng), galaxy.position_angle)
    # compute the scale length h from the half-light radius: half of an exponential disk's light is
    # within 1.678 h
    h = galaxy.r50 / 1.678
    deprojected = across / galaxy.axis_ratio
    return _FaceOnDisk(
        along,
        across,
        radius=np.hypot(along, deprojected),
        angle=np.arctan2(deprojected, along),
        h=h,
        bar_angle=rng.uniform(0, math.pi),
        arms_begin=max(galaxy.bar, 0.35) * h,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _SpiralArms:
    """Store three images of spiral arms: density wave, light of young stars, opacity of dust."""

    crest: Plane
    young: Plane
    opacity: Plane


def _winding(galaxy: Galaxy) -> float:
    """Return the signed angle in radians by which a spiral arm turns per unit of ln(radius)."""
    return galaxy.handedness / math.tan(math.radians(galaxy.pitch))


def _arms(galaxy: Galaxy, disk: _FaceOnDisk, rng: np.random.Generator) -> _SpiralArms:
    """Draw logarithmic spiral arms of young stars, with a dust lane beside each arm."""
    h, radius, angle, shape = disk.h, disk.radius, disk.angle, disk.radius.shape
    wobble = 0.25 * np.sin(rng.uniform(1.5, 3) * np.log1p(radius / h) + rng.uniform(0, 6))
    # along an arm (a logarithmic spiral) the angle grows in proportion to ln(radius), counted from
    # the radius where arms begin. Subtract this growth: the phase is then constant along an arm
    unwound = np.log(np.maximum(radius, 0.3 * h) / disk.arms_begin)
    phase = galaxy.arms * (angle - disk.bar_angle - _winding(galaxy) * unwound + wobble)
    lopsided = 1 + 0.25 * np.cos(angle - rng.uniform(0, 6))
    begun = 1 / (1 + np.exp(-(radius - 0.9 * disk.arms_begin) / (0.15 * h)))
    narrow = 3.0 if galaxy.arms < 3 else 2.2
    crest = np.exp(narrow * (np.cos(phase) - 1)) * begun * lopsided
    grains = clumps(shape, 0.12 * h, 0.45 * galaxy.strength, rng)
    young = np.exp(-radius / (1.35 * h)) * crest * grains
    # shift the phase by 0.9 rad: this puts the dust lane beside the arm, on its outer, convex side.
    # Real trailing arms have it mostly on the inner, concave side (Lynds 1970); moving the lane
    # would change every simulated spiral, and all results measured on simulated galaxies
    lane = np.exp(5 * (np.cos(phase + galaxy.handedness * 0.9) - 1))
    opacity = 0.7 * galaxy.strength * begun * lane
    return _SpiralArms(crest, young, opacity)


def _knots(
    galaxy: Galaxy, disk: _FaceOnDisk, sky: tuple[Plane, Plane], rng: np.random.Generator
) -> Plane:
    """Draw star-forming knots along spiral arms as points; `sky` has the pixels' coordinates."""
    count = rng.poisson(14 * galaxy.strength * galaxy.arms)
    r = rng.gamma(2.6, 0.75 * disk.h, count) + disk.arms_begin
    arm = 2 * math.pi * rng.integers(galaxy.arms, size=count) / galaxy.arms
    azimuth = disk.bar_angle + _winding(galaxy) * np.log(r / disk.arms_begin) + arm
    azimuth += rng.normal(0, 0.13, count)
    inclined = r * np.sin(azimuth) * galaxy.axis_ratio
    places = turned(r * np.cos(azimuth), inclined, galaxy.position_angle)
    return scattered(*sky, *places, rng.exponential(1, count) * np.exp(-r / (2 * disk.h)))


def _bar(galaxy: Galaxy, disk: _FaceOnDisk) -> Plane:
    """Draw the bar of a disk galaxy: a boxy ellipse whose light falls steeply at its ends."""
    angle = disk.angle - disk.bar_angle
    cross = np.cos(angle) * disk.radius, np.sin(angle) * disk.radius
    length = galaxy.bar * disk.h
    return np.exp(-((elliptical_radius(*cross, 0.26, boxiness=2.6) / length) ** 2.2))


def _bulge_size(galaxy: Galaxy) -> float:
    """Return the effective radius of a galaxy's bulge in arcsec; brighter bulges are larger."""
    return galaxy.r50 * (0.12 + 0.45 * galaxy.bulge)


def _edge_on(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw a simulated exponential disk seen from the side, with bulge and dust lane.

    The formula for the disk is from van der Kruit & Searle 1981, A&A 95, 105.
    """
    from scipy.special import k1

    x, y = turned(*_pulled(galaxy, x, y, rng), galaxy.position_angle)
    h = galaxy.r50 / 1.6
    z0 = galaxy.axis_ratio * h
    along = np.maximum(np.abs(x), 0.02 * h) / h
    disk = (
        along
        * k1(along)
        / np.cosh(np.clip(y / z0, -30, 30)) ** 2
        * clumps(x.shape, 0.08 * h, 0.12, rng)
    )
    layers = [(disk / disk.sum(), 1 - galaxy.bulge, galaxy.colour)]
    if galaxy.bulge:
        boxy = galaxy.bulge_shape == "boxy"
        q, n, box = (0.6, 1.0, 4.5) if boxy else (0.75, 2.0, 2.0)
        size = _bulge_size(galaxy) * (1.3 if boxy else 1.0)
        bulge = on_pixels(lambda u, v: sersic(elliptical_radius(u, v, q, box), size, n), x, y)
        layers.append((bulge, galaxy.bulge, galaxy.colour + 0.15))
    lane = galaxy.dust * np.exp(-0.5 * ((y - 0.15 * z0) / (0.35 * z0)) ** 2 - (along / 2.2) ** 2)
    return summed(layers) * np.exp(-DUST[:, None, None] * lane)


def _irregular(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw a simulated irregular galaxy: an asymmetric blue disk broken into clumps."""
    u, v = turned(*_pulled(galaxy, x, y, rng), galaxy.position_angle)
    h = galaxy.r50 / 1.678
    smooth = np.exp(-elliptical_radius(u, v, galaxy.axis_ratio) / h)
    clumped = smooth * clumps(x.shape, 0.35 * h, 0.8, rng)
    count = 6 + rng.poisson(8)
    knots = scattered(
        x,
        y,
        rng.normal(0, 0.9 * h, count),
        rng.normal(0, 0.9 * h, count),
        rng.exponential(1, count),
    )
    return summed(
        [
            (smooth / smooth.sum(), 0.25, galaxy.colour + 0.15),
            (clumped / clumped.sum(), 0.65, galaxy.colour),
            (knots / max(knots.sum(), 1e-12), 0.1, galaxy.colour - 0.3),
        ]
    )


def _merger(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw two simulated galaxies that merge: in contact, distorted, with tidal debris."""
    ratio, direction = rng.uniform(0.35, 1.0), rng.uniform(0, 2 * math.pi)
    gap = rng.uniform(1.3, 3.0) * galaxy.r50
    companion = dataclasses.replace(
        galaxy,
        r50=galaxy.r50 * rng.uniform(0.6, 0.9),
        position_angle=rng.uniform(0, math.pi),
        axis_ratio=rng.uniform(0.45, 0.95),
        colour=galaxy.colour + rng.normal(0, 0.1),
        arms=0,
    )
    dx, dy = gap * math.cos(direction), gap * math.sin(direction)
    first = (_disk if galaxy.arms else _elliptical)(galaxy, x + 0.3 * dx, y + 0.3 * dy, rng)
    second = _elliptical(companion, x - 0.7 * dx, y - 0.7 * dy, rng)
    debris = np.zeros_like(x)
    for base, sense in ((-0.3, 1), (0.7, 1)) if rng.random() < 0.5 else ((-0.3, -1), (0.7, 1)):
        t = rng.beta(1.2, 1.8, 4000)
        bend = direction + (math.pi if base < 0 else 0) + sense * (0.5 + 2.0 * t)
        reach = galaxy.r50 * (0.6 + rng.uniform(2.4, 4.5) * t)
        spread = galaxy.r50 * (0.15 + 0.35 * t)
        u = base * dx + reach * np.cos(bend) + rng.normal(0, 1, t.size) * spread
        v = base * dy + reach * np.sin(bend) + rng.normal(0, 1, t.size) * spread
        debris += scattered(x, y, u, v, 1 - 0.6 * t)
    tails = (debris / max(debris.sum(), 1e-12)) * bands(galaxy.colour - 0.25)[:, None, None]
    light: Plane = (first + ratio * second) * (0.88 / (1 + ratio)) + 0.12 * tails
    return light


def _star(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw the image of a bright star: a point, a halo of scattered light, four diffraction spikes.

    The spikes come from the vanes that hold the telescope's secondary mirror.
    """
    u, v = turned(x, y, galaxy.position_angle)
    radius = np.hypot(u, v) + 0.5 * PIXEL
    halo = (1 + (radius / 2.0) ** 2) ** -1.5
    width = 0.8 * PIXEL
    spikes = (np.exp(-0.5 * (u / width) ** 2) + np.exp(-0.5 * (v / width) ** 2)) * (
        1 + radius / 3
    ) ** -1.6
    core = scattered(x, y, np.zeros(1), np.zeros(1), np.ones(1))
    return summed(
        [
            (core, 0.955, galaxy.colour),
            (halo / halo.sum(), 0.037, galaxy.colour + 0.15),
            (spikes / spikes.sum(), 0.008, galaxy.colour + 0.05),
        ]
    )


def _trail(galaxy: Galaxy, x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Draw the trail that a satellite leaves in an image, in one of the three bands only.

    The bands are exposed minutes apart, so only one of them shows the satellite.
    """
    _, v = turned(x, y, galaxy.position_angle)
    line = np.exp(-0.5 * (v / (0.9 * PIXEL)) ** 2)
    ghost = np.exp(-0.5 * ((v - 5) / (2.5 * PIXEL)) ** 2)
    colour = np.zeros(3)
    colour[rng.integers(3)] = 1.0
    light: Plane = line / line.sum() + 0.1 * ghost / max(ghost.sum(), 1e-12)
    return light * colour[:, None, None]


_MODELS: dict[Kind, Callable[[Galaxy, Plane, Plane, np.random.Generator], Plane]] = {
    "elliptical": _elliptical,
    "disk": _disk,
    "edge-on": _edge_on,
    "irregular": _irregular,
    "merger": _merger,
    "star": _star,
    "trail": _trail,
}
