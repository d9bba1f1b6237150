"""Turn plain tables into Arrow tables with the types that their file stored."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Return a plain table (see `tables`) as an Arrow table; integers that were read as text again.

    Missing cells are null, also those of float columns.

    Examples
    --------
    >>> frame = pd.DataFrame({"objid": ["18446744073709551615", None]}, dtype="str")
    >>> frame.attrs = {"integers": {"objid": "uint64"}}
    >>> to_arrow(frame)["objid"].to_pylist()
    [18446744073709551615, None]
    """
    bare = frame.copy(deep=False)
    bare.attrs = {}  # notes on the input file are no part of the table
    table = pa.Table.from_pandas(bare, preserve_index=False).replace_schema_metadata(None)
    for name, kind in frame.attrs.get("integers", {}).items():
        # a suffix or an id that somebody changed meanwhile leaves no integer behind
        place = table.schema.get_field_index(name)
        # text of pandas 3 becomes large strings, text of pandas 2 strings
        text = place >= 0 and table.schema.field(place).type in (pa.string(), pa.large_string())
        if text:
            exact = table[name].cast(getattr(pa, kind)())
            table = table.set_column(place, name, exact)
    return table
