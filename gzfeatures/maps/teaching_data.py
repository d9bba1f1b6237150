"""Collect the data, such as embeddings, with which the page of a map fits a head to labels."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.galaxies.catalogs.label_words import DOUBTFUL
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.ids import Ids
from gzfeatures.teaching.next_questions import Draws, typicality
from gzfeatures.teaching.page_vectors import answers_of_page, page_vectors, table_digest

MOST = 50_000
"""Most galaxies of a page that can be taught: their vectors take 13 MB of it."""


@dataclasses.dataclass(frozen=True)
class TeachingServer:
    """Store a page's secret token for its server, and names of heads that the server can fit.

    Parameters
    ----------
    token : str
        Secret text in the header of each request.
    heads : tuple of str
        Names of heads that the server can fit.
    framed : bool
        Whether the page is in a frame: it then sends requests to the page around it, without token.
    """

    token: str
    heads: tuple[str, ...] = ()
    framed: bool = False


def teaching_data(
    ids: Ids,
    vectors: npt.NDArray[np.float32],
    labels: Labels | None = None,
    *,
    seed: int = 0,
    server: TeachingServer | None = None,
    answers: Predictions | None = None,
    who: str = "",
) -> dict[str, Any] | None:
    """Return the data with which a map's page fits a head to labels; None for too many galaxies.

    Parameters
    ----------
    ids : Ids
        Galaxies of the page, shape (n,).
    vectors : ndarray of float32
        Embeddings of the galaxies, shape (n, d).
    labels : Labels, optional
        The page offers the classes of these labels, but does not fit the labels themselves.
    seed : int
        Seed of the random order of the galaxies.
    server : TeachingServer, optional
        Server that stores the labels given on the page; by default the browser stores them.
    answers : Predictions, optional
        Predicted answers of the decision tree, to which the page also fits its head.
    who : str
        Name of the person.
    """
    if len(ids) > MOST:
        return None
    compressed = page_vectors(vectors, answers_of_page(ids, answers))
    draws = Draws.of(ids, seed)
    offered = () if labels is None or labels.target != "classes" else labels.classes
    return {
        "digest": table_digest(ids, compressed),
        "width": compressed.shape[1],
        "vectors": _text(compressed.view(np.uint16), "<u2"),
        "turns": _text(draws.turns, "<u4"),
        "ranks": _text(draws.ranks, "<u4"),
        "typical": _text(typicality(compressed.astype(np.float64), draws.ranks), "<u4"),
        "words": sorted(DOUBTFUL),
        "classes": list(offered),
        "server": None if server is None else dataclasses.asdict(server),
        "who": who,
    }


def _text(array: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array).astype(kind).tobytes()).decode()
