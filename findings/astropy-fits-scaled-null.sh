#!/usr/bin/env bash
# astropy 8.0.2 Table.read compares TNULL of a FITS column with the scaled value, not with the stored integer.
# Where a column has TSCAL too, no cell is masked, and a missing value reads as TNULL times TSCAL.
# Seen: 0.1 and -32.768, nothing masked, where the standard (section 7.3.2) says that the second is undefined.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q astropy==8.0.2
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from astropy.io import fits
from astropy.table import Table

column = fits.Column(name="redshift", format="I", null=-32768, array=np.array([100, -32768], dtype="i2"))
unit = fits.BinTableHDU.from_columns([column])
unit.header["TSCAL1"] = 0.001
unit.writeto("table.fits")
read = Table.read("table.fits")["redshift"]
print(list(read), "masked:", np.ma.getmaskarray(np.ma.asarray(read)).tolist())
assert np.allclose(np.asarray(read), [0.1, -32.768]), "behaviour changed"
assert not np.ma.getmaskarray(np.ma.asarray(read)).any(), "behaviour changed"
PY
