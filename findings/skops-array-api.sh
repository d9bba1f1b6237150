#!/usr/bin/env bash
# skops 0.11.0 cannot be imported with scikit-learn 1.6.1 where array-api-compat is installed, which anndata 0.12.19 brings.
# skops.io asks scikit-learn for all its estimators; 1.6 then imports a test helper that wants SCIPY_ARRAY_API set beforehand.
# Seen: without array-api-compat the import works, with it a RuntimeError about SCIPY_ARRAY_API. Saved models cannot be read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q skops==0.11.0 scikit-learn==1.6.1 "numpy==2.2.6" "scipy==1.15.3"
cd "$folder"
"$folder/venv/bin/python" -c "import skops.io" && echo "without array-api-compat: imported"
"$folder/venv/bin/pip" install -q array-api-compat==1.12.0
"$folder/venv/bin/python" - <<'PY'
try:
    import skops.io
except Exception as error:
    print("with array-api-compat:", type(error).__name__, str(error)[:120])
    assert "SCIPY_ARRAY_API" in str(error), "behaviour changed"
else:
    raise SystemExit("behaviour changed: imported")
PY
