"""List the names of catalog columns that contain redshifts."""

from __future__ import annotations

from gzfeatures.galaxies.catalogs.quantities import QUANTITIES

REDSHIFTS = frozenset(
    {
        *(name.lower() for name in QUANTITIES["redshift"].names),
        *("z_spec", "zspec", "specz", "spec_z", "z_phot", "zphot", "photoz", "photo_z", "zbest"),
        *("z_best", "z_sdss", "zred", "redshift_spec", "spec_redshift", "photo_redshift"),
    }
)
"""Names of columns that hold redshifts, in lower case."""
