#!/usr/bin/env bash
# pyarrow 25.0.1 reads a CSV column of texts such as 0x1F as integers (31), where pandas keeps texts: a catalog whose
# ids are hexadecimal words loses them, and matches nothing that another reader has read.
# Seen: ids 0x10 and 0x1F become the int64 16 and 31.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==25.0.1 pandas==3.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import pandas as pd
import pyarrow.csv

with open("catalog.csv", "w") as file:
    file.write("id,redshift\n0x10,0.1\n0x1F,0.2\n")
arrow = pyarrow.csv.read_csv("catalog.csv")["id"]
pandas = pd.read_csv("catalog.csv")["id"]
print(f"pyarrow {arrow.type} {arrow.to_pylist()}, pandas {pandas.dtype} {pandas.tolist()}")
assert pandas.tolist() == ["0x10", "0x1F"]
assert arrow.to_pylist() == [16, 31], "behaviour changed"
PY
