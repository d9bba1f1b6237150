"""Find the columns of redshifts, magnitudes, sizes and positions, and convert their units.

A doubtful column is refused: a column `z` that contains magnitudes is not read as redshift, a
position in an unknown form is not read as a position, and a wrong unit is an error.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs import sexagesimal
from gzfeatures.id_text import MISSING_WORDS


@dataclasses.dataclass(frozen=True)
class Quantity:
    """Store a physical quantity: its column names in catalogs, and its unit in gzfeatures.

    Parameters
    ----------
    names : tuple of str
        Column names that catalogs use; the first that a catalog has is read.
    unit : str
        Unit as astropy writes it; "" without a unit.
    """

    names: tuple[str, ...]
    unit: str = ""


QUANTITIES: dict[str, Quantity] = {
    "redshift": Quantity(("redshift", "REDSHIFT", "Redshift", "z", "Z")),
    "petro_mag_r_abs": Quantity(
        ("petro_mag_r_abs", "PETROMAG_MR", "petromag_mr", "mag_abs_r"), "mag"
    ),
    "petro_r90": Quantity(
        ("petro_r90", "PETROR90_R", "petroR90_r", "petroR90", "petro_th90"), "arcsec"
    ),
    "petro_r50": Quantity(
        ("petro_r50", "PETROR50_R", "petroR50_r", "petroR50", "petro_th50"), "arcsec"
    ),
    "ra": Quantity(
        ("ra", "RA", "Ra", "RAJ2000", "_RAJ2000", "ra_deg", "RA_deg", "right_ascension"), "deg"
    ),
    "dec": Quantity(
        (
            "dec",
            "DEC",
            "Dec",
            "DEJ2000",
            "DECJ2000",
            "_DEJ2000",
            "dec_deg",
            "DEC_deg",
            "declination",
        ),
        "deg",
    ),
    "classifications": Quantity(
        ("classifications", "total_classifications", "smooth-or-featured_total-votes")
    ),
    "redshift_bin": Quantity(("redshift_bin", "REDSHIFT_SIMPLE_BIN")),
    "magnitude_bin": Quantity(("magnitude_bin", "PETROMAG_MR_SIMPLE_BIN")),
}
"""Physical quantities by their names in gzfeatures."""

ANGLES = ("deg", "arcsec")
"""Units of angle in gzfeatures, to which angles in a file are converted."""

WRITTEN_OTHERWISE = {
    **{'"': "arcsec", "''": "arcsec", "asec": "arcsec", "arc sec": "arcsec"},
    **{"arc second": "arcsec", "'": "arcmin", "arc min": "arcmin", "arc minute": "arcmin"},
    **{"º": "deg", "hour angle": "hourangle"},
}
"""Usual ways to write a unit of angle that astropy does not read, and the unit meant."""

_BESIDE_UNITS = re.compile(r"[][(),]|\b(?:decimal|angle|icrs|fk5|[jb](?:1950|2000)(?:\.0)?)\b")
"""Pattern of what stands beside a unit of angle, such as the frame in "deg (J2000)"."""

_NO_UNIT = ("unitless", "dimensionless")
"""Words of tables for a column without a unit."""

PAIRS = ("radec", "ra_dec", "RADEC", "coord", "coords", "coordinates", "position", "pos")
"""Names of columns that may hold right ascension and declination in one cell."""

SENTINELS = (-9999.0, -999.0)
"""Numbers that SDSS and Galaxy Zoo tables write for a missing value."""

HIGHEST = 20.0
"""Largest redshift that is accepted; larger values are no redshifts."""

MEDIAN_OF_MAGNITUDES = 7.0
"""Median above which a column `z` holds magnitudes: no survey has such a median redshift."""


@dataclasses.dataclass(frozen=True)
class Lookup:
    """Name the catalog column that contains a physical quantity, and the columns that were refused.

    Parameters
    ----------
    column : str, optional
        The column that is read; None if the catalog has none.
    others : tuple of str
        Columns that serve the same purpose and are not read.
    refused : dict of str to str
        Column with the name of the quantity that is not read → reason.
    """

    column: str | None
    others: tuple[str, ...]
    refused: dict[str, str]


def column_of(frame: pd.DataFrame, name: str) -> Lookup:
    """Return the catalog column with a physical quantity, found by any of its usual names."""
    names = dict.fromkeys((name, *(QUANTITIES[name].names if name in QUANTITIES else ())))
    columns = [column for column in names if column in frame]
    refused = {column: why for column in columns if (why := _unfit(frame, name, column))}
    fit = [column for column in columns if column not in refused]
    return Lookup(fit[0] if fit else None, tuple(fit[1:]), refused)


def _unfit(frame: pd.DataFrame, name: str, column: str) -> str | None:
    """Return why a column cannot contain the quantity that its name suggests, or None."""
    values = frame[column]
    if values.dtype.kind not in "iufb":
        return f"holds text: {strange_cells(values)}"
    unit = frame.attrs.get("units", {}).get(column, "")
    if name in QUANTITIES and _factor(unit, QUANTITIES[name].unit) is None:
        return f"is in {unit}, which cannot be converted to {QUANTITIES[name].unit}"
    if name != "redshift" or column not in ("z", "Z"):
        return None
    # a column called z is a redshift or a magnitude in the z band, so look at the other columns and
    # the values
    lower = {str(other).lower() for other in frame.columns}
    if {"g", "r"} <= lower:
        return "stands beside g and r: a magnitude"
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    finite = numbers[np.isfinite(numbers) & (numbers > -90)]
    if finite.size and np.median(finite) > MEDIAN_OF_MAGNITUDES:
        return f"has a median of {np.median(finite):.3g}: magnitudes"
    return None


def present(values: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Return which numbers are measured: finite and no sentinel (−9999, −999).

    Examples
    --------
    >>> present(np.array([0.1, np.nan, -9999.0])).tolist()
    [True, False, False]
    """
    measured: npt.NDArray[np.bool_] = np.isfinite(values) & ~np.isin(values, SENTINELS)
    return measured


def on_sky(ra: npt.NDArray[np.floating], dec: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Return which positions are known: ra in ±360 degrees and dec in ±90 degrees, shape (n,).

    NaN is unknown, and so are sentinels such as −9999, which would become positions modulo 360°.

    Examples
    --------
    >>> on_sky(np.array([81.0, -9999.0]), np.array([81.0, -9999.0])).tolist()
    [True, False]
    """
    known: npt.NDArray[np.bool_] = (np.abs(ra) <= 360) & (np.abs(dec) <= 90)
    return known


def strange_cells(texts: pd.Series) -> str:
    """Return a text with the number of cells that are no numbers, and the first of these cells."""
    present = texts[texts.notna() & (texts.astype("str") != "")].astype("str")
    strange = present[pd.to_numeric(present, errors="coerce").isna()]
    if strange.empty:
        return "no cell holds a number"
    first = f"the first in row {strange.index[0]}: {strange.iloc[0]!r}"
    return f"{len(strange)} of {len(texts)} cells are no number, {first}"


def require_known_units(frame: pd.DataFrame, names: Collection[str], where: object) -> None:
    """Refuse a table whose only column of a quantity has a unit that cannot be converted.

    A table without such a column passes: what it does not have it cannot have in a wrong unit.

    Raises
    ------
    InputError
        The message names column and unit.
    """
    for name in names:
        lookup = column_of(frame, name)
        reasons = " ".join(lookup.refused.values())
        if lookup.column is None and reasons.startswith("is in"):
            required(frame, name, where)


def required(frame: pd.DataFrame, name: str, where: object) -> npt.NDArray[np.float64]:
    """Return a catalog's physical quantity or column as float64, shape (n,); NaN is missing.

    Raises
    ------
    InputError
        No column contains it; the message says what the columns with its name contain.
    """
    lookup = column_of(frame, name)
    if lookup.column is not None:
        return frame[lookup.column].to_numpy(dtype=np.float64, na_value=np.nan)
    if lookup.refused:
        column, why = next(iter(lookup.refused.items()))
        raise InputError(
            f"column {column} {why}",
            where=where,
            rule=f"be numbers for {name}" if name in QUANTITIES else "hold numbers",
            remedy=_remedy(
                name, is_text=why.startswith("holds text"), unit=why.startswith("is in")
            ),
        )
    if name in QUANTITIES:
        names = (name, *(other for other in QUANTITIES[name].names if other != name))
        rule, found = f"have one of {', '.join(names)}", None
    else:
        rule, found = f"have a column {name}", _numeric_columns(frame)
    raise InputError(
        f"no numeric column for {name}",
        where=where,
        rule=rule,
        found=found,
        remedy="join the table that has it",
    )


def _remedy(name: str, *, is_text: bool, unit: bool) -> str:
    """Return advice to a user whose column does not contain the quantity that its name suggests."""
    if unit:
        return f"correct the unit of the column, or convert it to {QUANTITIES[name].unit}"
    if not is_text:
        return f"name the column {name} where it is one"
    # gzfeatures finds a known quantity also in a column with the name of the quantity (such as
    # redshift), so renaming the right column helps; otherwise only another column helps
    other = f"name the right column {name}" if name in QUANTITIES else "choose another column"
    return f"correct these cells, or {other}"


def _numeric_columns(frame: pd.DataFrame) -> str:
    """Return the names of a table's first numeric columns, for error messages."""
    names = [str(column) for column in frame if frame[column].dtype.kind in "iuf"]
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") or "no numeric column"


def understood(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert sky positions to degrees and angles to gzfeatures' units; record each change.

    Parameters
    ----------
    frame : DataFrame
        As `tables.read_table` returns it; `attrs["units"]` may name units.
    """
    frame = _split_pairs(frame.copy(deep=False))
    changes = list(frame.attrs.get("notes", []))
    # convert texts first, because positions in hours become numbers in degrees, whose units are
    # then checked
    for name, hours in (("ra", True), ("dec", False)):
        for column in QUANTITIES[name].names:
            if column in frame and frame[column].dtype.kind not in "iufb":
                values = sexagesimal.degrees(frame[column].astype("str"), hours=hours)
                if values is not None:
                    frame[column] = values
                    first = "hours" if hours else "degrees"
                    changes.append(
                        f"{column} is read as {first}, minutes and seconds, and held in degrees"
                    )
                    frame.attrs["units"] = {**frame.attrs.get("units", {}), column: "deg"}
    units = dict(frame.attrs.get("units", {}))
    for name, quantity in QUANTITIES.items():
        source = column_of(frame, name).column
        factor = _factor(units.get(source or "", ""), quantity.unit) or 1.0
        if source is not None and factor != 1:
            changes.append(f"{source} is given in {units[source]} and held in {quantity.unit}")
            numbers = frame[source].to_numpy(dtype=np.float64, na_value=np.nan)
            # keep sentinels as they are: -9999 times a factor looks like a measured number
            frame[source] = np.where(np.isin(numbers, SENTINELS), numbers, numbers * factor)
            units[source] = quantity.unit
    frame.attrs = {**frame.attrs, "notes": changes, "units": units}
    return frame


def notes(frame: pd.DataFrame) -> list[str]:
    """Return sentences on quantities with several columns, and on misleading column names."""
    sentences = []
    for name in QUANTITIES:
        lookup = column_of(frame, name)
        if lookup.others:
            verb = "is" if len(lookup.others) == 1 else "are"
            others = ", ".join(lookup.others)
            sentences.append(
                f"{name} is read from {lookup.column}; {others} {verb} there too and not read"
            )
        # mention numeric columns only, because the command `check` lists text columns as problems
        for column, why in lookup.refused.items():
            if frame[column].dtype.kind in "iufb":
                sentences.append(f"{column} is not read as {name}: it {why}")
    return sentences


def _split_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Split a column of sky positions into ra and dec, if the table has no declinations."""
    if any(column in frame and frame[column].notna().any() for column in QUANTITIES["dec"].names):
        return frame
    for column in (*PAIRS, *QUANTITIES["ra"].names):
        if column in frame and frame[column].dtype.kind not in "iufb":
            both = sexagesimal.pair(frame[column].astype("str"))
            if both is not None:
                rest = frame.drop(columns=column)
                notes = [
                    *frame.attrs.get("notes", []),
                    f"{column} is read as right ascension and declination",
                ]
                split = rest.assign(ra=both[0], dec=both[1])
                split.attrs = {**frame.attrs, "notes": notes}
                return split
    return frame


def _factor(given: str, ours: str) -> float | None:
    """Return the factor from one unit of angle to another; None if no factor exists.

    The factor is 1 if the file gives no unit. A unit that astropy does not know, also in lower case
    and in the singular, has no factor. Magnitudes stay unchanged, because no factor converts
    between their zero points.

    Examples
    --------
    >>> _factor("Arcminutes", "arcsec"), _factor("pixels", "arcsec"), _factor("hrs", "deg")
    (60.0, None, 15.0)
    """
    plain = given.strip().lower().rstrip(".")
    if given.strip() in MISSING_WORDS or plain in _NO_UNIT or given == ours or ours not in ANGLES:
        return 1.0
    from astropy import units

    if plain not in WRITTEN_OTHERWISE:
        plain = " ".join(_BESIDE_UNITS.sub(" ", plain).replace("arc-", "arc ").split())
    singular = WRITTEN_OTHERWISE.get(plain, plain).removesuffix("s")
    singular = WRITTEN_OTHERWISE.get(singular, singular)
    if singular in ("h", "hr", "hour", "hourangle"):
        return 15.0 if ours == "deg" else None
    # case has a meaning in units (mas, Mas), so other spellings are tried after the file's own
    for spelling in (given, plain, singular):
        try:
            return float(units.Unit(spelling).to(units.Unit(ours)))
        except units.UnitConversionError:
            return None
        except ValueError:
            continue
    return None
