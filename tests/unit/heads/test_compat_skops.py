"""skops without its list of trusted types: a process of one verb alone, and the same heads."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skops
import skops.io
from test_persist import LABELS, SPLIT, TABLE

from gzfeatures.heads import _compat_skops as compat
from gzfeatures.heads.fit import Head, fit

PROCESS = """
import sys
from gzfeatures.heads._compat_skops import own_process, skops_io
with own_process():
    from gzfeatures.heads.head import Head
    head = Head.read(sys.argv[1])
    head.write(sys.argv[2])
    print(sorted({"torch", "pytest", "xgboost"} & set(sys.modules)))
import importlib, io
print(len(importlib.import_module(%r).SKLEARN_ESTIMATOR_TYPE_NAMES) > 50)
"""


def test_canary_skops_keeps_its_lists_in_a_private_module() -> None:
    lists = importlib.import_module(compat.LISTS)
    assert lists.SKLEARN_ESTIMATOR_TYPE_NAMES, f"skops {skops.__version__}"


@pytest.mark.parametrize("name", ["svm", "xgboost"])
def test_a_verb_reads_and_writes_heads_without_importing_all_of_scikit_learn(
    tmp_path: Path, name: str
) -> None:
    head = fit(TABLE, LABELS["classes"], name, split=SPLIT)
    path, copy = head.write(tmp_path / "head.skops"), tmp_path / "copy.skops"
    words = [sys.executable, "-c", PROCESS % compat.LISTS, str(path), str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    # nothing heavy came with skops, and who asks for its lists later has them
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr
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


def test_another_skops_that_needs_more_of_the_module_is_imported_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = skops.io
    monkeypatch.setattr(skops, "io", whole)  # the import sets it; afterwards it is as before
    kept = {name: module for name, module in sys.modules.items() if name.startswith("skops.io")}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    # a stand-in without the names that skops asks for, as a later version could ask for others
    monkeypatch.setattr(compat, "_Empty", type("Other", (type(sys),), {}))
    with compat.own_process():
        module = compat.skops_io()
    assert module is not whole and module.dumps(1)
    for name in [name for name in sys.modules if name.startswith("skops.io")]:
        monkeypatch.delitem(sys.modules, name)
    sys.modules.update(kept)
