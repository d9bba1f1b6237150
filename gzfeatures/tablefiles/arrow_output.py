"""Convert pandas tables into Arrow tables with the integer types that their files stored."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa


def without_attributes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a pandas table that shares the columns of the given one, but without its `attrs`.

    pandas copies all attributes at each access to a column, which takes longer than the access.

    Examples
    --------
    >>> frame = pd.DataFrame({"ra": [10.0]})
    >>> frame.attrs = {"units": {"ra": "deg"}}
    >>> without_attributes(frame).attrs, frame.attrs
    ({}, {'units': {'ra': 'deg'}})
    """
    bare = frame.copy(deep=False)
    bare.attrs = {}
    return bare


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Convert a pandas table to Arrow; integer columns that pandas stores as text become integers.

    Missing cells are null, also those of float columns.

    Examples
    --------
    >>> frame = pd.DataFrame({"objid": ["18446744073709551615", None]}, dtype="str")
    >>> frame.attrs = {"integers": {"objid": "uint64"}}
    >>> to_arrow(frame)["objid"].to_pylist()
    [18446744073709551615, None]
    """
    # drop `attrs` (what is known of the file that was read): Arrow would convert them to JSON
    bare = without_attributes(frame)
    table = pa.Table.from_pandas(bare, preserve_index=False).replace_schema_metadata(None)
    for name, kind in frame.attrs.get("integers", {}).items():
        # convert only columns that are still text: if a column has another type, the user changed
        # it after reading the file
        place = table.schema.get_field_index(name)
        # Arrow stores text from pandas 3 as `large_string`, text from pandas 2 as `string`
        text = place >= 0 and table.schema.field(place).type in (pa.string(), pa.large_string())
        if text:
            exact = table[name].cast(getattr(pa, kind)())
            table = table.set_column(place, name, exact)
    return table
