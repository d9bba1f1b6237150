#!/usr/bin/env bash
# astropy 8.0.2 writes the masked cells of a boolean column to a FITS table as True, whatever lies under the mask, though
# FITS has a byte for an unknown logical value. Nothing is said: a galaxy whose flag (merger, spiral, clean) is unknown
# has it after one round trip. The same table as VOTable or ECSV keeps its mask; masked numbers and texts keep it in FITS.
# Seen: True, unknown, unknown are read back as True, True, True.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PY'
import io

import numpy as np
from astropy.table import MaskedColumn, Table

mask = [False, True, True]
table = Table(
    {
        "merger": MaskedColumn([True, True, False], mask=mask),
        "votes": MaskedColumn([36, 0, 0], mask=mask),
    }
)
known = {}
for form in ("fits", "votable", "ascii.ecsv"):
    file = io.StringIO() if form == "ascii.ecsv" else io.BytesIO()
    table.write(file, format=form)
    text = file.getvalue()
    back = Table.read(text if isinstance(text, str) else io.BytesIO(text), format=form)
    for name in ("merger", "votes"):
        known[form, name] = [str(value) for value in back[name]]
        print(f"{form}, {name}: {', '.join(known[form, name])}")
assert known["fits", "merger"] == ["True"] * 3, "behaviour changed"
assert known["fits", "votes"] == ["36", "--", "--"]
assert known["votable", "merger"] == known["ascii.ecsv", "merger"] == ["True", "--", "--"]
PY
