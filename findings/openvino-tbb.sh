#!/usr/bin/env bash
# After OpenVINO 2026.4.1 scikit-learn-intelex 2026.2.0 cannot be imported in the same process.
# Both need a library named libtbb.so.12. OpenVINO brings an older one inside its own folder and loads it first; the one
# that scikit-learn-intelex is built for (package tbb 2023.2.0) is then never looked at, and a symbol is missing.
# Seen: ImportError, "undefined symbol" of tbb; in the other order both work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openvino==2026.4.1 scikit-learn-intelex==2026.2.0 tbb==2023.2.0
"$folder/venv/bin/python" - <<'PY'
import openvino

openvino.Core()
try:
    import sklearnex.svm
except ImportError as error:
    print(type(error).__name__, str(error).rpartition(": ")[2][:60])
    assert "undefined symbol" in str(error) and "tbb" in str(error), "behaviour changed"
else:
    raise SystemExit("behaviour changed: both can be imported")
PY
"$folder/venv/bin/python" -c 'import sklearnex.svm, openvino; openvino.Core(); print("the other order works")'
