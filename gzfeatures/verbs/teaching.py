"""Serve a page for labelling galaxies, from which heads are trained; find galaxies by words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from gzfeatures.errors import InputError, need
from gzfeatures.experiment.prediction import answers_of, fractions_head
from gzfeatures.explore.word_search import read_query
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head
from gzfeatures.ids import among
from gzfeatures.images.image_set import ImageSet
from gzfeatures.maps.columns import offered
from gzfeatures.maps.map import Map
from gzfeatures.maps.umap import MapOptions, project
from gzfeatures.notebook import in_notebook
from gzfeatures.progress import Progress, handed
from gzfeatures.session.teaching_session import TeachingSession
from gzfeatures.session.teaching_view import EXTRA, TeachingView
from gzfeatures.teaching.answers_file import AnswersFile
from gzfeatures.teaching.rounds import RoundRecord
from gzfeatures.verbs.inputs import Place, catalog_of, table_of

FEWEST = 30
"""Fewest galaxies with votes from which 37 fractions are learned."""


def teach(
    table: EmbeddingTable | Place,
    images: ImageSet | Place | None = None,
    labels: str | Path = "labels.csv",
    *,
    map: Map | Place | None = None,
    catalog: Catalog | Place | None = None,
    port: int = 0,
    seed: int = 0,
    say: Callable[[str], object] = print,
    on_round: Callable[[RoundRecord], object] | None = None,
    progress: Progress | bool = False,
    widget: bool | None = None,
) -> Labels | TeachingView:
    """Show a page on which galaxies are labelled: in the notebook cell, or on 127.0.0.1.

    In a notebook the page is a widget, and other cells can run meanwhile. Elsewhere it is served on
    127.0.0.1 until Ctrl-C or an interrupt.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Galaxies, at most 50,000.
    images : ImageSet, str or Path, optional
        Thumbnails.
    labels : str or Path
        Label file that is made, or continued: every click is in it before it counts.
    map : Map, str or Path, optional
        Where the galaxies lie on the page; by default a map is computed.
    catalog : Catalog, str or Path, optional
        Columns that can colour the map; with `ra` and `dec` the page shows the sky.
    port : int
        Port on 127.0.0.1; 0 takes a free one. A widget takes none.
    seed : int
        Of the map, and of heads that are fitted.
    say : callable
        Is told the address of the page.
    on_round : callable, optional
        Is told what each round asked and reached, such as `CampaignRecord` of the tracking.
    progress : Progress or bool
        Where the steps are told; nowhere by default. True is the terminal.
    widget : bool, optional
        Whether to show the page by a widget (anywidget); by default in notebooks.

    Returns
    -------
    Labels or TeachingView
        All labels of the table's galaxies in the file, after the server has ended; or the widget,
        whose `labels` are these at any time.

    Raises
    ------
    InputError
        There are too many galaxies, the port is taken or not used, or the label file cannot be
        understood.
    MissingExtraError
        A widget is to show the page, and anywidget is not installed.

    Examples
    --------
    >>> labels = teach("table.parquet", "images/", "mine.csv")  # doctest: +SKIP
    """
    shows = in_notebook() if widget is None else widget
    # check what a widget needs and read the label file first: the map takes longer than errors may
    if shows:
        need("anywidget", extra=EXTRA)
        if port:
            raise InputError("port", rule="be left out where a widget shows the page", found=port)
    file = AnswersFile(labels)
    vectors, told = table_of(table), handed(progress)
    columns_of = None if catalog is None else offered(catalog_of(catalog))
    if map is None:
        drawn = project(vectors, None, MapOptions(seed=seed), progress=told)
    else:
        drawn = map if isinstance(map, Map) else Map.read(map)
    session = TeachingSession(vectors, drawn, file, seed, answers_of(vectors), columns_of, on_round)
    shown = images if isinstance(images, ImageSet) or images is None else ImageSet.of(images)
    if shows:
        return TeachingView(session, shown, told)
    try:
        session.serve(say, shown, port=port, progress=told)
    except KeyboardInterrupt:
        say(f"{len(file.answers)} labels are in {file.path}")
    return session.labels()


def find(
    table: EmbeddingTable | Place,
    words: str,
    k: int | None = 20,
    *,
    labels: Catalog | Place | None = None,
) -> pd.DataFrame:
    """Rank the galaxies of a table by answers of the Galaxy Zoo decision tree.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Galaxies.
    words : str
        Such as "edge-on, no bulge" or "spiral and not (bar or ring)"; see
        `word_search.read_query`.
    k : int, optional
        Most galaxies to return; None returns all.
    labels : Catalog, str or Path, optional
        Catalog with votes of at least 30 of the galaxies, from which the words are learned; by
        default a head that comes with the package predicts the votes, if it reads such vectors.

    Returns
    -------
    DataFrame
        `galaxy_id`, `score` in [0, 1], `rank` from 1, `seen` (the backbone was trained on it).
        Attribute `words`: how the words were understood.

    Raises
    ------
    UnknownNameError
        A word is unknown; the nearest known ones are named.
    InputError
        The words say nothing; no packaged head reads these vectors and no votes are given, or votes
        of too few galaxies.

    Examples
    --------
    >>> find("table.parquet", "edge-on, no bulge, odd: ring")  # doctest: +SKIP
    """
    # parse the words before the table is read, so that an unknown word stops the search early
    condition = read_query(words)
    vectors = table_of(table)
    head = fractions_head(vectors.extractor) if labels is None else _learned(vectors, labels)
    predictions = head.predict(vectors)
    scores = condition.score(np.clip(predictions.probabilities, 0, 1))
    # order equal scores by id, so that the order of rows in the table does not matter
    order = np.lexsort((predictions.ids, -scores))[:k]
    seen = np.zeros(len(scores), dtype=bool) if predictions.seen is None else predictions.seen
    frame = pd.DataFrame(
        {
            "galaxy_id": predictions.ids[order],
            "score": scores[order],
            "rank": np.arange(1, len(order) + 1),
            "seen": seen[order],
        }
    )
    frame.attrs["words"] = str(condition)
    return frame


def _learned(table: EmbeddingTable, votes: Catalog | Place) -> Head:
    """Fit a ridge regression of the 37 vote fractions to the votes of the table's galaxies."""
    catalog = catalog_of(votes)
    labels = scheme("votes-37").label(catalog)
    ids = labels.ids[among(labels.ids, table.ids)]
    if len(ids) < FEWEST:
        raise InputError(
            "votes to learn words from",
            where=catalog.source,
            rule=f"be known of at least {FEWEST} galaxies of the table",
            found=len(ids),
        )
    return fit(table, labels, "ridge", split=Split(ids, ids[:0], ids[:0]))
