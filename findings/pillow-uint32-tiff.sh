#!/usr/bin/env bash
# Pillow 13.0.0 opens a TIFF of unsigned 32-bit integers (segmentation maps, summed counts) as mode I, signed: a value of
# 2**31 or more comes out negative, without a word. tifffile and the file's own SampleFormat say unsigned.
# Seen: 3000000000 reads as -1294967296.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 tifffile numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import tifffile
from PIL import Image

counts = np.array([[1, 3_000_000_000]], dtype="u4")
tifffile.imwrite("counts.tif", counts)
image = Image.open("counts.tif")
read = np.asarray(image)
print(f"written {counts.tolist()}, tifffile {tifffile.imread('counts.tif').tolist()}, Pillow {image.mode} {read.tolist()}")
assert (tifffile.imread("counts.tif") == counts).all()
assert read.dtype == np.int32 and read[0, 1] == 3_000_000_000 - 2**32, "behaviour changed"
PY
