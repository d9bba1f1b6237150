"""Heads damaged inside the members of their zip, with checksums that are right: run as a process of
its own.

    python tests/hostile/inside.py CASES PROGRESS

Reads each case and predicts with it; prints how many were read and how many were refused in one
line. The number of the case at work stands in the file PROGRESS, for whoever finds that the process
died.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "support")]

from hostile.readers import IDS, LABELS, TABLE, N
from hostile.test_readers import TOKENS, changed

from gzfeatures.errors import GzError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head

SCHEMA = "schema.json"
KINDS = ("flip", "set", "cut", "keep", "repeat", "put")
EXTREME = (0, 1, -1, -(2**31), 2**31 - 1, 2**15, 1e30, -1e30, np.nan, np.inf, -np.inf, 1e-300)
PARAMETERS: dict[str, dict[str, Any]] = {
    "svm": {"impute": True},
    "logistic": {"pca": 3},
    "xgboost": {"rounds": 6, "pca": 3},
    "knn": {"neighbours": 3, "pca": 3},
    "lda": {},
    "mlp": {"epochs": 2, "hidden": 4},
    "prototype": {"calibration": "isotonic"},
    "ensemble": {"members": ("logistic", "xgboost", "lda"), "combine": "stack"},
    "ridge": {},
    "svr": {},
    "xgboost-regression": {"rounds": 6},
    "flags": {},
    "number": {},
}
FRACTIONS = ("ridge", "svr", "xgboost-regression")
"""Heads that are damaged, those on vote fractions among them; flags are of classes that can hold at
once, and a number is a redshift."""


def whole_heads(only: Collection[str] = tuple(PARAMETERS)) -> list[dict[str, bytes]]:
    """Members of a whole file of every kind of head, or of some."""
    rng, heads = np.random.default_rng(0), []
    fractions = Labels(IDS, ("a", "b", "c"), rng.random((N, 3)), "fractions")
    flags = Labels(
        IDS, ("a", "b"), np.stack([np.arange(N) % 2, np.arange(N) // 2 % 2], axis=1), "multi-label"
    )
    number = Labels(IDS, ("redshift",), rng.random((N, 1)), "redshift")
    for name, parameters in PARAMETERS.items():
        if name not in only:
            continue
        labels = {
            "ridge": fractions,
            "svr": fractions,
            "xgboost-regression": fractions,
            "flags": flags,
            "number": number,
        }.get(name, LABELS)
        head = fit(
            TABLE,
            labels,
            {"flags": "logistic", "number": "ridge"}.get(name, name),
            split=Split.draw(labels),
            **parameters,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = head.write(Path(folder) / "h.skops")
            Head.read(path).predict(TABLE)
            with zipfile.ZipFile(path) as archive:
                heads.append({name: archive.read(name) for name in archive.namelist()})
    return heads


def damaged_array(data: bytes, rng: np.random.Generator) -> bytes:
    """An array with one number changed, or of another shape or kind."""
    array = np.load(io.BytesIO(data))
    way = rng.integers(4)
    if way == 0 and array.size:
        array = array.copy().reshape(-1)
        with np.errstate(all="ignore"):
            value = np.array([EXTREME[rng.integers(len(EXTREME))]]).astype(array.dtype)
        array[rng.integers(array.size)] = value[0]
        array = array.reshape(np.load(io.BytesIO(data)).shape)
    elif way == 1:
        array = array.reshape(-1)[: rng.integers(array.size + 1)]
    elif way == 2:
        array = array.astype(
            [np.float64, np.float32, np.int32, np.int64, np.uint8, np.bool_][rng.integers(6)]
        )
    else:
        array = np.stack([array, array]) if rng.integers(2) else array.reshape(-1)
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def damaged(members: dict[str, bytes], rng: np.random.Generator) -> bytes:
    """The zip with one to three members damaged."""
    members = dict(members)
    for _ in range(rng.integers(1, 4)):
        arrays = [name for name in members if name.endswith(".npy")]
        name = SCHEMA if rng.random() < 0.4 else arrays[rng.integers(len(arrays))]
        way = rng.random()
        if name != SCHEMA and way < 0.6:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    members[name] = damaged_array(members[name], rng)
                    continue
                except Exception:
                    pass  # damaged before: damage its bytes
        if (
            name == SCHEMA and way < 0.5
        ):  # one word for another of the same file, so that it stays JSON more often
            words = members[SCHEMA].split(b'"')
            one, two = rng.integers(len(words), size=2)
            words[one] = words[two]
            members[SCHEMA] = b'"'.join(words)
            continue
        change = (
            KINDS[rng.integers(len(KINDS))],
            int(rng.integers(2**32)),
            int(rng.integers(65)),
            TOKENS[rng.integers(len(TOKENS))],
        )
        members[name] = changed(members[name], change)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def main(cases: int, progress: Path) -> None:
    """Meet the cases."""
    warnings.simplefilter("ignore")
    heads, read, refused = whole_heads(), 0, 0
    with tempfile.TemporaryDirectory() as folder, progress.open("w") as log:
        path = Path(folder) / "h.skops"
        for case in range(cases):
            log.seek(0)
            log.write(f"{case}\n")
            log.flush()
            rng = np.random.default_rng(case)
            path.write_bytes(damaged(heads[case % len(heads)], rng))
            try:
                Head.read(path).predict(TABLE)
                read += 1
            except GzError as error:
                assert len(str(error).splitlines()) == 1
                refused += 1
            except MemoryError:
                refused += 1  # said in one line by the command line
    print(json.dumps({"cases": cases, "read": read, "refused": refused}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
