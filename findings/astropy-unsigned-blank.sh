#!/usr/bin/env bash
# astropy 8.0.2 ignores BLANK of unsigned images: an image of 16 or 32 bits with BZERO = 2^15 or 2^31, the FITS way to
# store unsigned integers, keeps its missing pixels as measured values, most often the largest of the type, without a
# warning. The same image with BLANK and another BZERO gives NaN, and so does uint=False.
# Seen: 16 missing pixels, 0 NaN and a maximum of 65535; with uint=False 16 NaN.
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
for bits, dtype in ((16, np.uint16), (32, np.uint32)):
    image = np.full((40, 40), 1000, dtype)
    image[5:9, 5:9] = 2**bits - 1
    file = io.BytesIO()
    hdu = fits.PrimaryHDU(image)
    hdu.header["BLANK"] = 2 ** (bits - 1) - 1  # as it is stored: BZERO is added later
    hdu.writeto(file)
    for unsigned in (True, False):
        with fits.open(io.BytesIO(file.getvalue()), uint=unsigned) as opened:
            data = opened[0].data
            missing = int(np.isnan(data).sum()) if data.dtype.kind == "f" else 0
            seen[bits, unsigned] = missing
            print(f"{bits} bits, uint={unsigned}: {data.dtype}, {missing} missing of 16, maximum {np.nanmax(data):.0f}")
assert seen == {(16, True): 0, (16, False): 16, (32, True): 0, (32, False): 16}, "behaviour changed"
PY
