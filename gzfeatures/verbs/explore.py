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
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading
    from gzfeatures.verbs.inputs import Place

Examples: TypeAlias = str | Path | Sequence[str | Path]
"""Ids, image files, or files of ids."""


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
        Galaxies to search; a file is read once, and none of it is kept.
    ids : str or sequence of str
        Galaxies asked about one by one; they are in the table.
    k : int
        Neighbours of each; with `like`, of all examples together.
    like, unlike : sequence of str or Path
        Examples and counterexamples, asked about together: ids in the table, image files (their
        vectors are computed as those of the table were), or selections, which are files of ids.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    index : str or Path, optional
        Index of the table, written by `gzfeatures table index`; for `ids` alone.
    reading : Reading, optional
        How image files are read.

    Returns
    -------
    DataFrame
        Columns `galaxy_id` (the neighbour), `query`, `rank` (1 is nearest), `distance`; with `like`
        `galaxy_id`, `rank`, `distance` (to the mean of the examples) and `score` (distance to the
        mean of the counterexamples minus `distance`).

    Raises
    ------
    InputError
        An id is not in the table, there are fewer galaxies than neighbours, both or neither of
        `ids` and `like` are given, or vectors of images cannot be computed.

    Examples
    --------
    >>> similar("table.parquet", "100053", k=3)  # doctest: +SKIP
    >>> similar("table.parquet", like=["100053", "mine.jpg"], unlike=["100078"])  # doctest: +SKIP
    """
    # import here and in each function below: a search of a table needs no heads or networks, whose
    # modules take longer to import than a small table takes to search
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
    seed: int = 0,
) -> pd.DataFrame:
    """Rank galaxies by how much they differ from the others, the most unusual first.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Galaxies, more than `k`.
    k : int
        Neighbours each is compared with.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    components : int, optional
        Principal components in which distances are taken; None takes the whole embedding.
    seed : int
        Of the isolation forest.

    Returns
    -------
    DataFrame
        `galaxy_id`, `rank` from 1, `score` in (0, 1] and its three measures.

    Raises
    ------
    InputError
        There are no more galaxies than neighbours, or all embeddings are equal.

    Examples
    --------
    >>> odd("table.parquet").head(20)  # doctest: +SKIP
    """
    from gzfeatures.explore import anomalies
    from gzfeatures.verbs.inputs import table_of

    return anomalies.anomalies(
        table_of(table), k=k, metric=metric, components=components, seed=seed
    )


def duplicates(
    table: EmbeddingTable | Place,
    *,
    chance: float = 1.0,
    metric: str = "euclidean",
    seed: int = 0,
) -> pd.DataFrame:
    """Find pairs of ids in a table that likely belong to the same galaxy.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Galaxies.
    chance : float
        Pairs of the whole table that may pass by chance, > 0.
    metric : {"euclidean", "cosine"}
        How embeddings are compared.
    seed : int
        Of the index that large tables are searched with.

    Returns
    -------
    DataFrame
        A row per pair, closest first: `galaxy_id`, `twin`, `distance`, `ratio`, `same_image`,
        `group`.

    Raises
    ------
    InputError
        `chance` is outside its range, or there are no more galaxies than neighbours.

    Examples
    --------
    >>> duplicates("table.parquet")  # doctest: +SKIP
    """
    from gzfeatures.explore import neighbours
    from gzfeatures.verbs.inputs import table_of

    return neighbours.duplicates(table_of(table), chance=chance, metric=metric, seed=seed)


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
        Vectors.
    labels : Labels, str or Path
        One class per galaxy.
    head : str
        Name in `HEADS`.
    seed : int
        Of folds and heads.
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
        No galaxy has both a label and a vector, or what `fit` refuses.

    Examples
    --------
    >>> doubt("table.parquet", "labels.csv")  # doctest: +SKIP
    """
    from gzfeatures.explore import label_errors
    from gzfeatures.heads.out_of_sample import out_of_sample
    from gzfeatures.verbs.inputs import labels_of, table_of

    vectors, known = table_of(table), labels_of(labels, id_column)
    # predict each galaxy by a head that was not fitted on it (cross-validation), because a head
    # repeats wrong labels that it was fitted on
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
        Vectors of labelled and unlabelled galaxies.
    labels : Labels, str or Path
        One class for some of them.
    head : str
        Name in `HEADS`; it is fitted on all labelled galaxies.
    count : int
        Galaxies wanted; fewer are returned when fewer are open.
    seed : int
        Of the head.
    id_column : str, optional
        Column of the ids in the labels file.

    Returns
    -------
    DataFrame
        `galaxy_id`, `rank` from 1, `predicted`, `probability`, `margin` in [0, 1].

    Raises
    ------
    InputError
        Every galaxy has a label, or none has; or what `fit` refuses.

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
        Checkpoint folder; with a head, any backbone.
    images : ImageSet, str or Path
        Of the galaxies.
    ids : iterable of str, optional
        Galaxies to explain; by default the prototypes, which need a table and labels.
    head : str or Path, optional
        File of the head to explain.
    weights : str or Path, optional
        Weights file, for a backbone without weights of its own.
    table : str or Path, optional
        Embedding table from which the prototypes of each class are chosen.
    labels : Labels, str or Path, optional
        Classes of the prototypes.
    per_class : int
        Prototypes of each class.
    method : sequence of str
        grad-cam, integrated-gradients or occlusion; by default all.
    class_ : str, optional
        Class to explain; by default each galaxy's most probable one.
    layers, dreams : bool
        Show also what each layer responds to, and an image that maximises each class.
    measure : bool
        Compare each method with the bright part of the image: insertion − deletion.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Explanation
        `gallery.write("why.html")` draws it; `verdict` compares the methods.

    Raises
    ------
    InputError
        No galaxy is named and there are no prototypes; a galaxy has no image.
    UnknownNameError
        There is no such method.

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
