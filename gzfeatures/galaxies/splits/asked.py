"""Read why galaxies were labelled, and split so that only randomly drawn galaxies are tested on.

If a person labelled galaxies for a head, the label file has a column `asked`: `random` if the
galaxy was drawn at random, `queue` if the head asked for its label, `user` if the person chose it.
Only galaxies drawn at random are a random sample of the table. They are the test galaxies, on which
accuracies are measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gzfeatures.errors import InputError
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split, group_codes
from gzfeatures.ids import Ids, among, as_ids
from gzfeatures.tablefiles.cells import texts_of
from gzfeatures.tablefiles.tables import id_column_of, read_table

ASKED = "asked"
RANDOM, QUEUE, USER = "random", "queue", "user"
REASONS = (RANDOM, QUEUE, USER)
"""Words of the column `asked`: why a galaxy was labelled."""
FEWEST = 20
"""Fewest galaxies drawn at random on which anything is measured."""
SIZES = (0.875, 0.125, 0.0)
"""Shares of train and validation among the galaxies that were not drawn; none of them is tested."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """Store which galaxies were drawn at random to be labelled, and which for other reasons.

    Parameters
    ----------
    random : Ids
        Drawn at random, with a label or without one.
    chosen : Ids
        All other galaxies: requested by a head, chosen by a person, or without a reason in the
        file.
    """

    random: Ids
    chosen: Ids


def read_asked(path: str | Path, *, id_column: str | None = None) -> Asked | None:
    """Read the column `asked` (why a galaxy was labelled) of a label file; None if it is absent.

    Parameters
    ----------
    path : str or Path
        Label file, as for `label_file.read_labels`.
    id_column : str, optional
        Column of the ids; by default the first with a usual name of ids.

    Raises
    ------
    MissingFileError, InputError
        The file does not exist; or a word in the column is not random, queue or user.
    """
    frame = read_table(path, id_column=id_column, texts=(ASKED,))
    named = id_column_of(list(frame.columns), id_column)
    if ASKED not in frame or named is None:
        return None
    ids = as_ids(frame[named], where=path)
    reasons = texts_of(frame[ASKED]).str.strip()
    strange = ~reasons.isin(("", *REASONS)).to_numpy()
    if strange.any():
        row = int(strange.argmax())
        raise InputError(
            "column asked",
            where=f"{path}, galaxy {ids[row]}",
            rule=f"say why a galaxy was labelled: {', '.join(REASONS)}",
            found=str(reasons.iloc[row]),
            remedy="give a column of another meaning another name",
        )
    random = (reasons == RANDOM).to_numpy()
    return Asked(ids[random], ids[~random])


def split_by_asked(
    labels: Labels,
    asked: Asked,
    groups: Mapping[str, str],
    *,
    earlier: Split | None = None,
    seed: int = 0,
) -> Split:
    """Split labelled galaxies: test on those drawn at random, train and validate on the others.

    If one galaxy of a group was drawn at random, the other galaxies of the group are in no part:
    they must not be trained on, and are no random sample.

    Parameters
    ----------
    labels : Labels
        Galaxies to split.
    asked : Asked
        Why each galaxy was labelled.
    groups : mapping of str to str
        Id → group, of galaxies that belong together.
    earlier : Split, optional
        Split of an earlier call. Its training and validation galaxies keep their parts, unless they
        have been drawn at random since.
    seed : int
        Seed of the draw of validation galaxies.

    Returns
    -------
    Split
        Split of the labelled galaxies, without those in a group with a galaxy drawn at random.

    Raises
    ------
    InputError
        No galaxy is left to train on.
    """
    random = labels.ids[among(labels.ids, asked.random)]
    group = group_codes(labels.ids, groups)
    tested = group[among(labels.ids, random)]
    others = labels.ids[~np.isin(group, tested)]
    kept = None
    if earlier is not None:
        train, validation = (
            part[among(part, others)] for part in (earlier.train, earlier.validation)
        )
        kept = Split(train, validation, others[:0]) if len(train) else None
    if not len(others):
        raise InputError(
            "labels of a campaign", rule="hold galaxies that were not drawn at random", found=0
        )
    drawn = Split.draw(labels.select(others), SIZES, groups=groups, kept=kept, seed=seed)
    of = {name: groups[name] for name in labels.ids if name in groups}
    return Split(drawn.train, drawn.validation, random, of)


def require_agreement(column: Split, asked: Asked) -> None:
    """Refuse a label file unless its test galaxies are exactly those that were drawn at random.

    Raises
    ------
    InputError
        A galaxy drawn at random is not in test, or a test galaxy was not drawn at random; the
        message names the first such galaxy.
    """
    trains = np.concatenate([column.train, column.validation])
    wrong = [
        *trains[among(trains, asked.random)],
        *column.test[among(column.test, asked.chosen)],
    ]
    if wrong:
        raise InputError(
            "columns asked and split of the labels contradict each other",
            where=f"galaxy {wrong[0]}",
            rule="test exactly the galaxies that were asked at random",
            remedy="remove the column split",
        )
