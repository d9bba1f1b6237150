"""Nothing silently wrong at the doors: every writer × format × kind of column is exact, or refused,
or cannot be."""

from __future__ import annotations

import decimal
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from doors.writers import FORMATS, KINDS, ROWS, WRITERS, CannotWrite, Column

from gzfeatures.errors import InputError
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.tablefiles.tables import read_table

README = Path(__file__).with_name("README.md")
EXACT, REFUSED, CANNOT = "exact", "refused", "–"

LOST = {
    ("pandas", form, "int64 id with null"): "pandas makes floats of integers with a gap"
    for form in ("CSV", "CSV.gz", "Parquet", "Feather")
} | {
    (
        "NumPy, h5py",
        form,
        'string "None"',
    ): "numpy.savetxt does not quote: a comma in a text begins a cell"
    for form in ("CSV", "CSV.gz")
}
"""Cells whose file itself lost the value, and why: ids are refused where they are used, rows by
their line."""


def same(read: Any, written: Any, kind: str) -> bool:
    """Whether a cell is what was written; text of digits is the integer."""
    if written is None or (isinstance(written, float) and math.isnan(written)):
        return bool(pd.isna(read))
    if pd.isna(read):
        return False
    if kind == "text":
        return isinstance(read, str) and read == written
    if kind in ("int64", "int32", "uint64"):
        return str(read) == str(written) or (
            isinstance(read, float) and abs(read) < 2**53 and read == written
        )
    if kind == "float32":
        return bool(np.float32(read) == written)
    if kind == "scaled":
        return math.isclose(read, written, rel_tol=1e-15)
    number = float(written) if isinstance(written, decimal.Decimal) else written
    return isinstance(read, float | int | np.number) and float(read) == number


def outcome(path: Path, columns: list[Column]) -> str:
    """`exact`; or `refused` in one line that names the line, or column and row of an id without its
    digits."""
    try:
        frame = read_table(path)
    except InputError as error:
        assert re.search(r"line \d+: row has another number of cells", str(error)), error
        return REFUSED
    assert len(frame) == len(ROWS.values) and frame["galaxy_id"].tolist() == ROWS.values
    result = EXACT
    for column in columns:
        if all(
            same(*pair, column.type)
            for pair in zip(frame[column.name].tolist(), column.values, strict=True)
        ):
            continue
        with pytest.raises(
            InputError, match=rf"column {column.name}, row \d+: .*\d; name another id column"
        ):
            Catalog.read(path, id_column=column.name)
        result = REFUSED
    return result


def cell(folder: Path, writer: str, form: str, kind: str) -> tuple[str, str]:
    """What comes of one cell of the matrix, and why it could not be written."""
    path = folder / f"table{FORMATS[form]}"
    try:
        WRITERS[writer]([ROWS, *KINDS[kind]], path, form)
    except CannotWrite as error:
        return CANNOT, str(error)
    return outcome(path, KINDS[kind]), ""


@pytest.fixture(scope="module")
def matrix() -> dict[tuple[str, str, str], str]:
    """Cells that the tests of this module have filled."""
    return {}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_kind_of_column_is_exact_or_refused(
    tmp_path: Path, matrix: dict[tuple[str, str, str], str], writer: str, form: str
) -> None:
    for kind in KINDS:
        folder = tmp_path / kind.replace('"', "")
        folder.mkdir()
        result, _ = cell(folder, writer, form, kind)
        matrix[writer, form, kind] = result
        assert (result == REFUSED) == ((writer, form, kind) in LOST), (
            f"{writer}, {form}, {kind}: {result}"
        )


def test_the_matrix_is_printed(matrix: dict[tuple[str, str, str], str]) -> None:
    if len(matrix) < len(WRITERS) * len(FORMATS) * len(KINDS):
        pytest.skip("the matrix was not run as a whole")
    lines = [f"| writer | format | {' | '.join(KINDS)} |", "|---|---|" + "---|" * len(KINDS)]
    unwritten = []
    for writer in WRITERS:
        for form in FORMATS:
            cells = [matrix[writer, form, kind] for kind in KINDS]
            if set(cells) == {CANNOT}:
                unwritten.append(f"{writer} × {form}")
            else:
                lines.append(f"| {writer} | {form} | {' | '.join(cells)} |")
    count = {result: list(matrix.values()).count(result) for result in (EXACT, REFUSED, CANNOT)}
    text = README.read_text(encoding="utf-8").partition("<!-- matrix -->")[0]
    text += "<!-- matrix -->\n" + "\n".join(lines) + "\n\n"
    text += (
        f"{count[EXACT]} cells are exact, {count[REFUSED]} refused, 0 silent; {count[CANNOT]} "
        "cannot be written. "
    )
    text += f"Not written at all: {', '.join(unwritten)}.\n"
    if text != README.read_text(encoding="utf-8"):
        README.write_text(text, encoding="utf-8")
    assert sum(count.values()) == len(matrix)
