"""Tables in Markdown files that the tests keep up to date."""

from __future__ import annotations

from pathlib import Path


def put_row(path: Path, head: str, row: tuple[object, ...], keys: int) -> None:
    """Put one row into the table that ends a file, in the place of the row with the same first
    `keys` cells.

    Parameters
    ----------
    path : Path
        Holds the line `head` and a line of dashes; the table is the last thing in it.
    head : str
        The line of column names.
    row : tuple
        The cells.
    keys : int
        How many cells name a row; rows are sorted by them.
    """
    text, _, table = path.read_text(encoding="utf-8").partition(head)
    dashes, *lines = table.strip().splitlines()
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    rows = {cell[:keys]: cell for cell in [*cells, tuple(map(str, row))]}
    written = (f"| {' | '.join(rows[key])} |" for key in sorted(rows))
    path.write_text("\n".join((text + head, dashes, *written)) + "\n", encoding="utf-8")
