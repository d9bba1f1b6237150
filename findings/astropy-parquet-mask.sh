#!/usr/bin/env bash
# astropy 8.0.2 writes a masked column to Parquet as two columns: the values under the mask, and 'NAME.mask'.
# Only astropy puts them together again: to pyarrow, pandas, polars and DuckDB the hidden values are real ones.
# Seen: {'redshift': [9.9, 0.08], 'redshift.mask': [True, False]}, null count 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q astropy==8.0.2 pyarrow==25.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import pyarrow.parquet
from astropy.table import MaskedColumn, Table

Table({"redshift": MaskedColumn([9.9, 0.08], mask=[True, False])}).write("table.parquet")
read = pyarrow.parquet.read_table("table.parquet")
print(read.to_pydict(), "null count", read["redshift"].null_count)
assert read.to_pydict() == {"redshift": [9.9, 0.08], "redshift.mask": [True, False]}, "behaviour changed"
assert read["redshift"].null_count == 0, "behaviour changed"
PY
