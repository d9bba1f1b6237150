"""Serve a page on which a person labels galaxies to train a head; find galaxies by words."""

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
"""Smallest number of galaxies with votes from which the 37 vote fractions are learned."""


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
    """Show a page on which a person labels galaxies: in a notebook cell, or on 127.0.0.1.

    In a notebook the page is a widget, and other cells can run meanwhile. Elsewhere a server on
    127.0.0.1 shows the page until Ctrl-C or an interrupt.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings of at most 50,000 galaxies.
    images : ImageSet, str or Path, optional
        Images of the galaxies, shown as thumbnails.
    labels : str or Path
        Label file to create or to continue: every label is written to it at once.
    map : Map, str or Path, optional
        Positions of the galaxies on the page; by default a map is computed.
    catalog : Catalog, str or Path, optional
        Catalog with columns that can colour the map; with `ra` and `dec` the page also shows
        positions on the sky.
    port : int
        Port on 127.0.0.1; 0 chooses a free port. A widget uses no port.
    seed : int
        Seed of the map, and of heads that are fitted to the labels.
    say : callable
        Function that prints a line; called with the address of the page.
    on_round : callable, optional
        Called after each round of labelling with its galaxies and accuracy, for example a
        `CampaignRecord`, which records the rounds in MLflow.
    progress : Progress or bool
        Shows the steps; by default nothing is shown. True: in the terminal.
    widget : bool, optional
        Whether to show the page by a widget (anywidget); by default in notebooks.

    Returns
    -------
    Labels or TeachingView
        After the server has ended, all labels of the table's galaxies in the label file; or the
        widget, whose attribute `labels` has these labels at any time.

    Raises
    ------
    InputError
        The table has too many galaxies, the port is in use, a port is given with a widget, or the
        label file cannot be read.
    MissingExtraError
        A widget shall show the page, and anywidget is not installed.

    Examples
    --------
    >>> labels = teach("table.parquet", "images/", "mine.csv")  # doctest: +SKIP
    """
    shows = in_notebook() if widget is None else widget
    # check what a widget needs, and read the label file, before the map is computed: an error must
    # not appear only minutes later
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
    """Rank the galaxies of a table by how well they fit a condition on Galaxy Zoo's answers.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings of the galaxies.
    words : str
        Condition on the answers, such as "edge-on, no bulge" or "spiral and not (bar or ring)"; see
        `word_search.read_query`.
    k : int, optional
        Largest number of galaxies to return; with None, all are returned.
    labels : Catalog, str or Path, optional
        Catalog with votes on at least 30 of the galaxies, from which a head learns to predict vote
        fractions. By default a head that comes with the package predicts them, if it can read
        embeddings of this backbone.

    Returns
    -------
    DataFrame
        `galaxy_id`, `score` in [0, 1] (how well the galaxy fits the condition), `rank` from 1,
        `seen` (True if the backbone was trained on the galaxy). `attrs["words"]` says how the
        condition was understood.

    Raises
    ------
    UnknownNameError
        A word is unknown; the message names the nearest known words.
    InputError
        `words` is empty; the given catalog has votes on too few galaxies; or no catalog is given,
        and no head of the package reads these embeddings.

    Examples
    --------
    >>> find("table.parquet", "edge-on, no bulge, odd: ring")  # doctest: +SKIP
    """
    # parse the condition before the large table is read, so that an unknown word in it is refused
    # at once
    condition = read_query(words)
    vectors = table_of(table)
    head = fractions_head(vectors.extractor) if labels is None else _learned(vectors, labels)
    predictions = head.predict(vectors)
    scores = condition.score(np.clip(predictions.probabilities, 0, 1))
    # sort galaxies of equal score by id, so that the result does not depend on the table's order
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
    """Fit a head (ridge regression) that predicts Galaxy Zoo 2's 37 vote fractions."""
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
