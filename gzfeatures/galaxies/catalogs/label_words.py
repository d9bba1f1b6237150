"""Read label columns; refuse words such as `NA` that may mean a class or a missing label."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures.errors import InputError
from gzfeatures.ids import Ids

DOUBTFUL = frozenset(
    (
        "na",
        "n/a",
        "#n/a",
        "#na",
        "<na>",
        "nan",
        "none",
        "null",
        "nil",
        "nat",
        "masked",
        "-",
        "--",
        "---",
        "\\n",
    )
)
"""Lower-case words that may mean a missing value or a class."""
_WHOLE = re.compile(r"-?[0-9]+(\.0)?")


@dataclasses.dataclass(frozen=True)
class LabelWords:
    """Define which words of a label column are classes and which mean "unlabelled".

    Parameters
    ----------
    missing : tuple of str
        Words that mean "unlabelled", written as in the file.
    as_is : bool
        Whether every other word is a class, `None` and `NA` too.
    """

    missing: tuple[str, ...] = ()
    as_is: bool = False

    def read(self, column: pd.Series, ids: Ids, where: object) -> npt.NDArray[np.object_]:
        """Return the labels of a column as text, shape (n,); an empty text means unlabelled.

        Class numbers become the texts 0, 1, 2, also if pandas read them as 0.0, 1.0, 2.0.

        Parameters
        ----------
        column : Series
            Column of the label file.
        ids : Ids
            Galaxy of each row, shape (n,).
        where : object
            File to name in the error.

        Raises
        ------
        InputError
            A word may be a class or a missing label, and the user did not say which.
        """
        texts = self._texts(column)
        doubtful = self._doubtful(texts)
        if not doubtful.any():
            return texts
        words = sorted({str(text) for text in texts[doubtful]})
        raise InputError(
            "a label may be a class or nobody's answer",
            where=f"{where}, galaxy {ids[np.argmax(doubtful)]} (row {int(np.argmax(doubtful))})",
            found=f"{', '.join(words)} in {int(doubtful.sum())} of {len(texts)} rows",
            remedy=f"say --missing-label {words[0]} where it means unlabelled, "
            "--label-as-is where it is a class",
        )

    def doubtful(self, column: pd.Series) -> npt.NDArray[np.bool_]:
        """Return which cells may mean a class or a missing label (such as `NA`), shape (n,).

        Examples
        --------
        >>> ASK.doubtful(pd.Series(["spiral", "NA"])).tolist()
        [False, True]
        """
        return self._doubtful(self._texts(column))

    def _texts(self, column: pd.Series) -> npt.NDArray[np.object_]:
        """Return labels as text; empty text for missing cells and words that mean unlabelled."""
        texts = _texts(column)
        texts[np.isin(texts.astype(str), self.missing)] = ""
        return _whole(texts)

    def _doubtful(self, texts: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
        """Return which labels may mean a class or a missing label (such as `NA`), shape (n,)."""
        return np.asarray([not self.as_is and _doubtful(text) for text in texts], dtype=bool)


ASK = LabelWords()
"""Refuse words that may mean a class or a missing answer."""

AS_IS = LabelWords(as_is=True)
"""Take every word as a class, as in files that gzfeatures wrote."""


def _texts(column: pd.Series) -> npt.NDArray[np.object_]:
    """Return the cells of a label column as text; empty text for missing cells."""
    missing = column.isna().to_numpy(bool)
    texts = column.astype("str").to_numpy(object, copy=True)
    texts[missing] = ""
    return np.asarray(texts, dtype=object)


def _whole(texts: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Turn class numbers such as "1.0", which pandas read as floats, into texts such as "1"."""
    # if a label is missing in a column, pandas reads the classes 0, 1, 2 as 0.0, 1.0, 2.0: remove
    # the ".0"
    if any(text.endswith(".0") for text in texts) and all(
        _WHOLE.fullmatch(text) for text in texts if text
    ):
        return np.asarray([text.removesuffix(".0") for text in texts], dtype=object)
    return texts


def _doubtful(text: str) -> bool:
    """Return whether a label, or one of several separated by "|", may mean a missing label."""
    return any(part.strip().lower() in DOUBTFUL for part in text.split("|"))
