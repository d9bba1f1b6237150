#!/usr/bin/env bash
# astropy 8.0.2 honours every value of BLANK but 0: an integer image whose missing pixels are stored as 0, a common
# choice for counts, reads them as measured zeros, without a warning. With any other value of BLANK they are NaN.
# Seen: BLANK = -1 gives 16 NaN of 16 missing pixels, BLANK = 0 gives none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import io

import numpy as np
from astropy.io import fits

seen = {}
for blank in (-1, 0):
    image = np.full((40, 40), 1000, np.int16)
    image[5:9, 5:9] = blank
    file = io.BytesIO()
    hdu = fits.PrimaryHDU(image)
    hdu.header["BLANK"] = blank
    hdu.writeto(file)
    data = fits.getdata(io.BytesIO(file.getvalue()))
    seen[blank] = int(np.isnan(data.astype("f8")).sum())
    print(f"BLANK = {blank}: {data.dtype}, {seen[blank]} missing of 16, minimum {np.nanmin(data):.0f}")
assert seen == {-1: 16, 0: 0}, "behaviour changed"
PY
