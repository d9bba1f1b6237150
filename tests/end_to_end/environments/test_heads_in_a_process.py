"""A process that runs one verb reads and writes heads without importing all of scikit-learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from tables_of import table_of

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads import _compat_skops as compat
from gzfeatures.heads.fit import Head, fit

CODES = np.random.default_rng(0).integers(0, 3, 120)
TABLE = table_of(np.random.default_rng(1).normal(size=(120, 8)) + 2 * np.eye(3, 8)[CODES])
LABELS = Labels(TABLE.ids, ("round", "in-between", "spiral"), CODES, scheme="three")

PROCESS = """
import sys
from gzfeatures.heads._compat_skops import own_process, skops_io
with own_process():
    from gzfeatures.heads.head import Head
    for path, copy in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        Head.read(path).write(copy)
        print(sorted({"torch", "pytest", "xgboost"} & set(sys.modules)))
import importlib, io
print(len(importlib.import_module(%r).SKLEARN_ESTIMATOR_TYPE_NAMES) > 50)
"""


def test_a_verb_reads_and_writes_heads_without_importing_all_of_scikit_learn(
    tmp_path: Path,
) -> None:
    heads = [fit(TABLE, LABELS, name, split=Split.draw(LABELS)) for name in ("svm", "xgboost")]
    copies = [tmp_path / f"{head.name}-copy.skops" for head in heads]
    words = [sys.executable, "-c", PROCESS % compat.LISTS]
    for head, copy in zip(heads, copies, strict=True):
        words += [str(head.write(tmp_path / f"{head.name}.skops")), str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # nothing heavy came with skops after either head, and who asks for its lists later has them
    assert done.stdout.splitlines() == ["[]", "[]", "True"], done.stderr
    for head, copy in zip(heads, copies, strict=True):
        np.testing.assert_array_equal(
            Head.read(copy).predict(TABLE).probabilities, head.predict(TABLE).probabilities
        )


def test_a_library_user_of_skops_finds_it_whole() -> None:
    code = (
        "from gzfeatures.heads._compat_skops import LISTS, skops_io\n"
        "import sys; skops_io(); print(len(sys.modules[LISTS].SKLEARN_ESTIMATOR_TYPE_NAMES) > 50)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
