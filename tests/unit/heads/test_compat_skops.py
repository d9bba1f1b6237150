"""skops without its list of trusted types: the list is where it was, and another skops is imported
whole; in a process of its own: `test_heads_in_a_process.py`."""

from __future__ import annotations

import importlib
import sys

import pytest
import skops
import skops.io

from gzfeatures.heads import _compat_skops as compat


def test_canary_skops_keeps_its_lists_in_a_private_module() -> None:
    lists = importlib.import_module(compat.LISTS)
    assert lists.SKLEARN_ESTIMATOR_TYPE_NAMES, f"skops {skops.__version__}"


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
