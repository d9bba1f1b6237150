"""Search an embedding table for similar or unusual galaxies, duplicates and wrong labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gzfeatures.errors import InputError
from gzfeatures.features.table import EmbeddingTable

if TYPE_CHECKING:
    import pandas as pd

    from gzfeatures.experiment.figures import Explanation
    from gzfeatures.explore.cells.cell_index import CellIndex
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading
    from gzfeatures.verbs.inputs import Place

Examples: TypeAlias = str | Path | Sequence[str | Path]
"""Type of examples for a search: ids of galaxies, image files, or files of ids."""


def similar(
    table: EmbeddingTable | Place,
    ids: str | Sequence[str] = (),
    k: int = 10,
    *,
    like: Examples = (),
    unlike: Examples = (),
    metric: str = "euclidean",
    index: Place | None = None,
    reading: Reading | None = None,
) -> pd.DataFrame:
    """Find the galaxies whose embeddings are nearest to the embeddings of given galaxies.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings to search; a file is read block by block, and never as a whole into memory.
    ids : str or sequence of str
        Galaxies of the table; the neighbours of each are searched separately.
    k : int
        Number of neighbours of each galaxy; with `like`, of all examples together.
    like, unlike : sequence of str or Path
        Examples and counterexamples of one search: ids in the table, image files (whose embeddings
        are computed as those of the table were), or selections, which are files of ids.
    metric : {"euclidean", "cosine"}
        Distance by which embeddings are compared.
    index : str or Path, optional
        Index of the table, written by `gzfeatures table index`; only for `ids`.
    reading : Reading, optional
        Options for reading image files.

    Returns
    -------
    DataFrame
        With `ids`: columns `galaxy_id` (the neighbour), `query` (the given galaxy), `rank` (1 is
        nearest) and `distance`. With `like`: `galaxy_id`, `rank`, `distance` (to the mean of the
        examples) and `score` (distance to the mean of the counterexamples minus `distance`).

    Raises
    ------
    InputError
        An id is not in the table, the table has fewer than `k` other galaxies, both or neither of
        `ids` and `like` are given, or embeddings of images cannot be computed.

    Examples
    --------
    >>> similar("table.parquet", "100053", k=3)  # doctest: +SKIP
    >>> similar("table.parquet", like=["100053", "mine.jpg"], unlike=["100078"])  # doctest: +SKIP
    """
    # import in each function, not at the top of the file: some functions need heads and networks,
    # whose import takes longer than the search of a small table
    from gzfeatures.explore import neighbours

    asked = [ids] if isinstance(ids, str) else list(ids)
    searched = table if isinstance(table, EmbeddingTable) else EmbeddingTable.open(table)
    positive, negative = ([e] if isinstance(e, (str, Path)) else [*e] for e in (like, unlike))
    if bool(asked) == bool(positive) or (asked and negative):
        raise InputError(
            "galaxies to be similar to",
            rule="be given as ids, each with its own neighbours, or as examples to be like",
            found=f"{len(asked)} ids, {len(positive)} like, {len(negative)} unlike",
        )
    if asked:
        return neighbours.similar(searched, asked, k, metric=metric, index=index)
    if index is not None:
        raise InputError(
            "index", where=index, rule="be given with ids, each with its own neighbours"
        )
    from gzfeatures.verbs.searched_examples import similar_to_examples

    return similar_to_examples(searched, positive, negative, k, metric=metric, reading=reading)


def odd(
    table: EmbeddingTable | Place,
    *,
    k: int = 15,
    metric: str = "euclidean",
    components: int | None = 50,
    index: Place | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank galaxies by how much they differ from the others, the most unusual first.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings of more than `k` galaxies.
    k : int
        Number of nearest neighbours with which each galaxy is compared.
    metric : {"euclidean", "cosine"}
        Distance by which embeddings are compared.
    components : int, optional
        Number of principal components in which distances are computed; with None, distances are
        computed between whole embeddings.
    index : str or Path, optional
        Index of the table's file, written by `gzfeatures table index`: the rows of near cells are
        compared in place of all rows or a graph of them.
    seed : int
        Seed of the isolation forest.

    Returns
    -------
    DataFrame
        `galaxy_id`, `rank` from 1, `score` in (0, 1], and the three measures whose mean rank it is:
        `distance`, `outlier_factor` and `isolation`.

    Raises
    ------
    InputError
        The table has no more than `k` galaxies, or all embeddings are equal; or the index is
        damaged, of another table, or given with a table in memory.

    Examples
    --------
    >>> odd("table.parquet").head(20)  # doctest: +SKIP
    """
    from gzfeatures.explore import anomalies

    read, cells = _with_index(table, index)
    return anomalies.anomalies(
        read, k=k, metric=metric, components=components, cells=cells, seed=seed
    )


def duplicates(
    table: EmbeddingTable | Place,
    *,
    chance: float = 1.0,
    metric: str = "euclidean",
    index: Place | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Find pairs of ids in a table that likely belong to the same galaxy.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings to search for pairs.
    chance : float
        Expected number of pairs that are in the result only by chance, > 0.
    metric : {"euclidean", "cosine"}
        Distance by which embeddings are compared.
    index : str or Path, optional
        Index of the table's file, written by `gzfeatures table index`: the rows of near cells are
        compared in place of all rows or a graph of them.
    seed : int
        Seed of the index by which large tables are searched.

    Returns
    -------
    DataFrame
        One row for each pair, closest pair first: `galaxy_id` and `twin` (ids of the pair),
        `distance`, `ratio`, `same_image`, `group`.

    Raises
    ------
    InputError
        `chance` is not above 0, or the table has too few galaxies to search for neighbours; or the
        index is damaged, of another table, or given with a table in memory.

    Examples
    --------
    >>> duplicates("table.parquet")  # doctest: +SKIP
    """
    from gzfeatures.explore import duplicates as search

    read, cells = _with_index(table, index)
    return search.duplicates(read, chance=chance, metric=metric, cells=cells, seed=seed)


def _with_index(
    table: EmbeddingTable | Place, index: Place | None
) -> tuple[EmbeddingTable, CellIndex | None]:
    """Return an embedding table (read if it is a path) and its index for neighbour searches."""
    if isinstance(table, EmbeddingTable):
        if index is not None:
            raise InputError(
                "index",
                where=index,
                rule="be used with a table on disk",
                found="a table in memory",
            )
        return table, None
    from gzfeatures.explore.cells.cell_index import read_with_index

    return read_with_index(EmbeddingTable.open(table), index)


def doubt(
    table: EmbeddingTable | Place,
    labels: Labels | Place,
    head: str = "svm",
    *,
    seed: int = 0,
    id_column: str | None = None,
) -> pd.DataFrame:
    """Find labels that are probably wrong, by predictions of heads not fitted on these galaxies.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings of the galaxies.
    labels : Labels, str or Path
        One class for each galaxy.
    head : str
        Kind of head to fit: a name in `HEADS`.
    seed : int
        Seed of the cross-validation folds and of the heads.
    id_column : str, optional
        Column of the ids in the labels file.

    Returns
    -------
    DataFrame
        Doubtful labels, the most doubtful first: `galaxy_id`, `label`, `suggested`, `p_label`,
        `p_suggested`, `margin` and `doubtful` (see `label_errors`).

    Raises
    ------
    InputError
        No galaxy has both a label and an embedding, or `heads.fit` refuses the galaxies.

    Examples
    --------
    >>> doubt("table.parquet", "labels.csv")  # doctest: +SKIP
    """
    from gzfeatures.explore import label_errors
    from gzfeatures.heads.out_of_sample import out_of_sample
    from gzfeatures.verbs.inputs import labels_of, table_of

    vectors, known = table_of(table), labels_of(labels, id_column)
    # predict each galaxy by a head that was not fitted on it (cross-validation): a head that was
    # fitted on a wrong label would predict that wrong label
    predictions = out_of_sample(vectors, known, head, groups=vectors.groups, seed=seed)
    frame = label_errors.label_errors(known, predictions)
    return frame[frame["doubtful"]]


def label_next(
    table: EmbeddingTable | Place,
    labels: Labels | Place,
    head: str = "svm",
    count: int = 50,
    *,
    seed: int = 0,
    id_column: str | None = None,
) -> pd.DataFrame:
    """Choose unlabelled galaxies to label next: uncertain ones that differ from each other.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings of labelled and unlabelled galaxies.
    labels : Labels, str or Path
        One class for each labelled galaxy.
    head : str
        Kind of head, a name in `HEADS`; it is fitted on all labelled galaxies.
    count : int
        Number of galaxies to choose; if fewer are unlabelled, all of these are returned.
    seed : int
        Seed of the head.
    id_column : str, optional
        Column of the ids in the labels file.

    Returns
    -------
    DataFrame
        `galaxy_id`, `rank` from 1, `predicted`, `probability`, `margin` in [0, 1].

    Raises
    ------
    InputError
        Every galaxy has a label, or none has; or `heads.fit` refuses the labelled galaxies.

    Examples
    --------
    >>> label_next("table.parquet", "labels.csv", count=20)  # doctest: +SKIP
    """
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.heads.fit import fit
    from gzfeatures.ids import among
    from gzfeatures.teaching.queries import query_next
    from gzfeatures.verbs.inputs import labels_of, table_of

    vectors, known = table_of(table), labels_of(labels, id_column)
    has_label, nobody = among(vectors.ids, known.ids), known.ids[:0]
    split = Split(vectors.ids[has_label], nobody, nobody)
    fitted = fit(vectors, known, head, split=split, seed=seed)
    unlabelled = vectors.select(vectors.ids[~has_label])
    return query_next(fitted.predict(unlabelled), unlabelled, count)


def explain(
    network: Place,
    images: ImageSet | Place,
    ids: Iterable[str] | None = None,
    *,
    head: Place | None = None,
    weights: Place | None = None,
    table: Place | None = None,
    labels: Labels | Place | None = None,
    per_class: int = 3,
    method: Sequence[str] = (),
    class_: str | None = None,
    layers: bool = False,
    dreams: bool = False,
    measure: bool = True,
    seed: int = 0,
) -> Explanation:
    """Show which pixels decide the class predicted by a network, or by a head on its embeddings.

    Parameters
    ----------
    network : str or Path
        Checkpoint folder of the network; with `head`, any backbone.
    images : ImageSet, str or Path
        Images of the galaxies.
    ids : iterable of str, optional
        Galaxies whose predictions are explained; by default prototypes (the most typical galaxies
        of each class), which need a table and labels.
    head : str or Path, optional
        File of the head whose predictions are explained.
    weights : str or Path, optional
        Weights file for a backbone that brings no weights.
    table : str or Path, optional
        Embedding table from which the prototypes of each class are chosen.
    labels : Labels, str or Path, optional
        Classes from which prototypes are chosen.
    per_class : int
        Number of prototypes of each class.
    method : sequence of str
        Methods: grad-cam, integrated-gradients or occlusion; by default all.
    class_ : str, optional
        Class whose score is explained; by default each galaxy's most probable class.
    layers, dreams : bool
        Show also to what each layer responds, and an image that maximises the score of each class.
    measure : bool
        Measure whether each method finds deciding pixels better than brightness does: the class
        score while its pixels are inserted, minus the score while they are deleted.
    seed : int
        Seed of all random draws.

    Returns
    -------
    Explanation
        `gallery.write("why.html")` writes the page; `verdict` compares the methods in words.

    Raises
    ------
    InputError
        No galaxy is named and no prototypes can be chosen; or a galaxy has no image.
    UnknownNameError
        No method has this name.

    Examples
    --------
    >>> explain("tuned/", "images/", ["100053"]).gallery.write("why.html")  # doctest: +SKIP
    """
    from gzfeatures.experiment import figures
    from gzfeatures.experiment.figures import Classifier
    from gzfeatures.ids import as_ids
    from gzfeatures.verbs.inputs import images_of, labels_of

    classifier = Classifier(
        str(network),
        None if weights is None else str(weights),
        None if table is None else Path(table),
        None if head is None else Path(head),
    )
    return figures.explain(
        classifier,
        images_of(images),
        None if ids is None else as_ids(list(ids)),
        labels=None if labels is None else labels_of(labels),
        per_class=per_class,
        target=class_,
        methods=tuple(method),
        layers=layers,
        dreams=dreams,
        seed=seed,
        measure=measure,
    )
