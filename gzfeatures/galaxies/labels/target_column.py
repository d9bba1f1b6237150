"""Read a numeric column of a catalog, such as redshift or mass, as the number to predict."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.catalogs.quantities import column_of, present
from gzfeatures.galaxies.labels.labels import Labels, Target
from gzfeatures.galaxies.labels.redshift_names import REDSHIFTS

FEW_NUMBERS = 20
"""Count of different whole numbers up to which a column may hold codes of classes."""
UNKNOWN = "is unknown (empty, NaN, masked or a sentinel)"
"""Reason why a galaxy has no number to learn."""


@dataclasses.dataclass(frozen=True)
class TargetColumn:
    """Name the numeric catalog column whose values heads and networks learn to predict.

    Parameters
    ----------
    column : str
        Name of the column in the catalog, or in gzfeatures (see `Catalog.column`).
    redshift : bool, optional
        Whether it is a redshift, whose errors are in units of 1 + z; by default decided by its
        name.
    as_number : bool
        Accept a column with few different whole numbers, which could be codes of classes.
    """

    column: str
    redshift: bool | None = None
    as_number: bool = False

    def labels(self, catalog: Catalog) -> Labels:
        """Return the known values of the column as numbers to learn, in the order of the catalog.

        Parameters
        ----------
        catalog : Catalog
            Has the column. Cells that are empty, NaN, masked or a sentinel (−9999, −999) are
            unknown: their galaxies are left out, under the reason `UNKNOWN`.

        Returns
        -------
        Labels
            Labels with the target `redshift` or `value`; `classes` contains only the column's name.

        Raises
        ------
        InputError
            The catalog has no such column, or the column is text; a number is infinite; no galaxy
            has a known number, or all have the same; the numbers look like codes of classes; or a
            redshift is −1 or less.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"galaxy_id": ["a", "b", "c"], "z": [0.03, -9999.0, 0.08]})
        >>> labels = TargetColumn("z").labels(Catalog(frame))
        >>> labels.target, labels.ids.tolist(), labels.values[:, 0].tolist()
        ('redshift', ['a', 'c'], [0.03, 0.08])
        """
        where = f"catalog {catalog.source}, column {self.column}"
        numbers = catalog.column(self.column)
        infinite = np.isinf(numbers)
        if infinite.any():
            raise InputError(
                "number to be predicted is infinite",
                where=f"{where}, galaxy {catalog.ids[infinite.argmax()]}",
                rule="be finite, or empty where it is unknown",
                found=f"{int(infinite.sum())} of {len(numbers)}",
            )
        known = present(numbers)
        target = self._target(catalog)
        self._require_numbers(numbers[known], where)
        if target == "redshift" and (numbers[known] <= -1).any():
            row = int(np.argmax(known & (numbers <= -1)))
            raise InputError(
                "redshift",
                where=f"{where}, galaxy {catalog.ids[row]}",
                rule="be above -1, or empty where it is unknown",
                found=float(numbers[row]),
                remedy="say --no-redshift where the column holds something else",
            )
        return Labels(
            catalog.ids[known],
            (self.column,),
            numbers[known].reshape(-1, 1),
            target,
            self.column,
            left_out={UNKNOWN: catalog.ids[~known]} if not known.all() else {},
        )

    def _target(self, catalog: Catalog) -> Target:
        """Return "redshift" if the user or the column name says that it is one; else "value"."""
        # a column `z` that contains magnitudes, or stands beside columns g and r, is the brightness
        # in the z band: then its name does not make it a redshift
        misnamed = self.column in column_of(catalog.frame, "redshift").refused
        by_name = self.column.lower() in REDSHIFTS and not misnamed
        return "redshift" if (by_name if self.redshift is None else self.redshift) else "value"

    def _require_numbers(self, numbers: npt.NDArray[np.float64], where: str) -> None:
        """Refuse numbers that are all equal, or that seem to be codes of classes."""
        different = np.unique(numbers)
        if len(different) < 2:
            raise InputError(
                "column to be predicted",
                where=where,
                rule="have two different known numbers at least",
                found=f"{different[0]:g} everywhere" if len(different) else "none that is known",
            )
        # codes of classes repeat: if values occur less than twice on average, they are no codes
        few = len(different) <= FEW_NUMBERS and 2 * len(different) <= len(numbers)
        if few and not self.as_number and (different == np.rint(different)).all():
            shown = ", ".join(f"{number:g}" for number in different[:8])
            raise InputError(
                f"column holds {len(different)} different whole numbers: are they class labels?",
                where=where,
                rule="be a number that is measured or counted",
                found=shown + (", …" if len(different) > 8 else ""),
                remedy="give classes as the column label, or say --as-number",
            )
