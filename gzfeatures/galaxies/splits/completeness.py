"""Compute the redshift up to which a volume-limited sample is complete."""

from __future__ import annotations

import dataclasses

import numpy as np

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.splits.sampling import MAGNITUDES, REDSHIFTS, Numbers

HUBBLE, MATTER = 70.0, 0.3
"""Hubble constant (km/s/Mpc) and matter density of the absolute magnitudes of Galaxy Zoo 2."""
SHARE = 0.99
"""Share of the catalog's galaxies that are brighter than its magnitude limit."""


@dataclasses.dataclass(frozen=True)
class Completeness:
    """Store the redshift up to which a volume-limited sample is complete.

    Parameters
    ----------
    limit : float
        Apparent r magnitude of the catalog's limit: fainter galaxies are missing.
    faintest : float
        Absolute r magnitude of the faintest galaxies in the sample.
    redshift : float
        Redshift beyond which a galaxy of that magnitude is fainter than the catalog's limit.
    asked : float
        Highest redshift of the sample.
    """

    limit: float
    faintest: float
    redshift: float
    asked: float

    @property
    def whole(self) -> bool:
        """Return whether the sample is complete up to its highest redshift."""
        return self.redshift >= self.asked

    def __str__(self) -> str:
        end = "as far as it goes"
        if not self.whole:
            end = f"beyond it, to z = {self.asked:g}, faint galaxies are missing"
        redshift = min(self.redshift, self.asked)
        return (
            f"volume-limited: complete to z = {redshift:.3f} for galaxies down to"
            f" M_r = {self.faintest:g}, since the catalog ends at r = {self.limit:.2f}"
            f" ({SHARE:.0%} of its galaxies are brighter; H0 = {HUBBLE:g}, no K correction); {end}"
        )


def completeness(catalog: Catalog) -> Completeness | None:
    """Return the redshift up to which a volume-limited sample of a catalog would be complete.

    The catalog's limit is the apparent magnitude m = M + 5 lg(d_L / 10 pc) under which 99 % of all
    its galaxies lie, with their own absolute magnitudes M: since these are K-corrected, so is the
    limit. A galaxy of the faintest absolute magnitude reaches it at the redshift given.

    Returns
    -------
    Completeness or None
        None where the catalog has no redshifts with absolute magnitudes: published bins are too
        coarse.

    Examples
    --------
    >>> print(completeness(catalog))  # doctest: +SKIP
    volume-limited: complete to z = 0.085 for galaxies down to M_r = -20.95, since the catalog ends
    at r = 17.00 …
    """
    if not (catalog.has_column("redshift") and catalog.has_column("petro_mag_r_abs")):
        return None
    redshift, magnitude = catalog.column("redshift"), catalog.column("petro_mag_r_abs")
    # keep realistic ranges only: they exclude sentinel values such as −9999, and NaN, which fails
    # every comparison
    known = (redshift > 0) & (redshift < 2) & (magnitude > -30) & (magnitude < -5)
    if not known.any():
        return None
    # interpolate on a grid of 4,000 redshifts, because astropy would integrate once for each galaxy
    grid = np.geomspace(1e-4, 2, 4000)
    modulus = _distance_modulus(grid)
    # use the 99 % quantile of m = M + 5 lg(d_L / 10 pc) instead of the maximum, because a few very
    # faint galaxies are not the catalog's limit
    limit = float(np.quantile(magnitude[known] + np.interp(redshift[known], grid, modulus), SHARE))
    # solve m = M + 5 lg(d_L / 10 pc) for the redshift at which the sample's faintest galaxies
    # (absolute magnitude M) have the limiting apparent magnitude m
    reached = float(np.interp(limit - MAGNITUDES[1], modulus, grid))
    return Completeness(limit, MAGNITUDES[1], reached, REDSHIFTS[1])


def _distance_modulus(redshift: Numbers) -> Numbers:
    """Return the distance modulus 5 lg(d_L / 10 pc) in a flat cosmology, shape (n,)."""
    from astropy.cosmology import FlatLambdaCDM

    return np.asarray(FlatLambdaCDM(HUBBLE, MATTER).distmod(redshift).value, dtype=np.float64)
