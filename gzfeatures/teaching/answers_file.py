"""Write a person's answers about galaxies to a label file (CSV) after every answer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gzfeatures import fingerprint, outputs
from gzfeatures.errors import InputError, parsing
from gzfeatures.files import locked_file, require_csv, require_file
from gzfeatures.galaxies.labels.label_columns import SEPARATOR
from gzfeatures.galaxies.splits.asked import ASKED, RANDOM, REASONS
from gzfeatures.ids import as_ids, require_unique
from gzfeatures.tablefiles.csv.header import header_of
from gzfeatures.tablefiles.tables import read_table, unguarded, write_csv
from gzfeatures.teaching.campaign import Answer, Reason

REASON: dict[str, Reason] = {"random": "random", "queue": "queue", "user": "user", "": "user"}
"""Word in the column `asked` → why a person labelled the galaxy; no word means: own choice."""
COLUMNS = ("galaxy_id", "label", "who", "when", "round", ASKED)


class AnswersFile:
    """Read a person's answers (galaxy id → class) from a label file, and write changed answers.

    Further columns of the file, and galaxies that are not in the embedding table, stay in the file
    unchanged: cells of further columns are kept as the text that the file has.

    Parameters
    ----------
    path : str or Path
        Label file, .csv or .csv.gz; it is made if it does not exist.

    Raises
    ------
    InputError
        The path has another ending; the file lacks an id or a label, an id repeats, or a reason in
        `asked` is unknown; or the file has parts that would be lost when it is written again, such
        as comments.
    """

    def __init__(self, path: str | Path) -> None:
        # the file is written again as CSV after every answer: a table of another format would be
        # replaced by a text that is no such table
        self.path = require_csv(path, "label file to write answers to")
        self._more: list[str] = []
        self._rows: dict[str, dict[Hashable, Any]] = {}
        self._digest: str | None = None
        # galaxies of the random test sample whose answer was removed
        self._removed: frozenset[str] = frozenset()
        self._refresh()

    def _refresh(self) -> None:
        """Read the label file again if another program has changed it."""
        digest = fingerprint.of_file(self.path) if self.path.exists() else None
        # if somebody has deleted the file, the answers in memory stay, and the next write stores
        # them again; if the file is as it was last read, nothing needs to be read
        if digest is None or digest == self._digest:
            return
        frame = _read(self.path)
        self._more = [name for name in frame.columns if name not in COLUMNS]
        self._rows = {str(row["galaxy_id"]): row for row in frame.to_dict("records")}
        self._digest = digest

    @property
    def answers(self) -> dict[str, Answer]:
        """Return galaxy id → answer, in the order of the label file."""
        return {
            name: Answer(row["label"], REASON[row[ASKED]], row["round"], row["who"], row["when"])
            for name, row in self._rows.items()
        }

    def keep(self, changes: Mapping[str, Answer | None]) -> None:
        """Write changed answers to the label file; None removes a galaxy's answer.

        When this method returns, the whole file is on the disk. If the file cannot be written,
        neither the file nor the answers in memory change. Answers that another program has written
        to the file in the meantime are not lost. A galaxy that was labelled for the random test
        sample stays in it, whatever the reason of a later answer, and also if its answer was
        removed with this object in between.

        Raises
        ------
        OutputError
            The file cannot be written.
        InputError
            Another program has changed the file, and it is no label file any more.
        """
        with locked_file(self.path):
            # another program may have changed the file since it was last read: read it again, so
            # that its changes are not overwritten
            self._refresh()
            rows = dict(self._rows)
            drawn = {name for name, row in rows.items() if row[ASKED] == RANDOM} | self._removed
            for name, answer in changes.items():
                if answer is None:
                    rows.pop(name, None)
                    continue
                row = rows.get(name, {"galaxy_id": name})
                # a galaxy of the random test sample stays one: heads must not learn from it if
                # its answer was taken back, or if another page, which was loaded before it was
                # asked about, labels it again
                asked = RANDOM if name in drawn else answer.asked
                rows[name] = {
                    **row,
                    **{"label": answer.label, "who": answer.who, "when": answer.when},
                    **{"round": answer.round, ASKED: asked},
                }
            # as objects, because pandas would turn a column of integers with gaps into floats
            names = [*COLUMNS, *self._more]
            frame = pd.DataFrame(list(rows.values()), columns=names, dtype=object)
            # allow overwriting: the file was just read, and all its content is written again
            with outputs.guarded("teach", overwrite=True):
                write_csv(frame, self.path)
            self._rows, self._digest = rows, fingerprint.of_file(self.path)
            self._removed = frozenset(drawn - rows.keys())


def _read(path: Path) -> pd.DataFrame:
    """Read a label file; add columns that it lacks: `who`, `when`, `asked` empty, `round` zero.

    All columns are read as text, so that further columns are written again with every digit.
    """
    with parsing("label file cannot be read", path):
        header = header_of(require_file(path, "label file"))
    names = {unguarded(name) for name in header.names}
    frame = read_table(path, texts=names - {"galaxy_id"})
    if notes := dict.fromkeys((*header.notes, *frame.attrs["notes"])):
        raise InputError(
            "label file to write answers to",
            where=path,
            rule="hold nothing that is lost when it is written again",
            found="; ".join(notes),
            remedy="delete it from the file, or name another file",
        )
    if not {"galaxy_id", "label"} <= set(frame.columns):
        raise InputError(
            "labels to be taught on",
            where=path,
            rule="have columns galaxy_id and label",
            found=", ".join(frame.columns[:12]),
        )
    ids = as_ids(frame["galaxy_id"], where=path)
    require_unique(ids, where=path)
    frame = frame.assign(galaxy_id=ids)
    for name in ("label", "who", "when", ASKED):
        column = frame[name] if name in frame else pd.Series("", index=frame.index)
        frame[name] = column.astype("str").where(column.notna(), "").str.strip().astype(object)
    _require_answers(frame, path)
    rounds = pd.to_numeric(frame["round"], errors="coerce") if "round" in frame else 0
    frame["round"] = pd.Series(rounds, index=frame.index).fillna(0).astype("int64")
    return frame


def _require_answers(frame: pd.DataFrame, path: Path) -> None:
    """Refuse labels that are several classes, and unknown reasons why a galaxy was labelled."""
    several = frame["label"].str.contains(SEPARATOR, regex=False)
    if several.any():
        raise InputError(
            "labels to be taught on",
            where=f"{path}, galaxy {frame['galaxy_id'][several].iloc[0]}",
            rule=f"be one class per galaxy, without '{SEPARATOR}' between classes",
            found=frame["label"][several].iloc[0],
            remedy="name another file",
        )
    strange = ~frame[ASKED].isin(("", *REASONS))
    if strange.any():
        raise InputError(
            "column asked",
            where=path,
            rule=f"say why a galaxy was labelled: {', '.join(REASONS)}",
            found=frame[ASKED][strange].iloc[0],
        )
