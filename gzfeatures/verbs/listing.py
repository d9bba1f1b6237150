"""List all known backbones, heads, class schemes and networks; list embeddings in the store."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pandas as pd

from gzfeatures.errors import InputError, unknown
from gzfeatures.features.store import Store
from gzfeatures.verbs.inputs import Place

Kind = Literal["backbones", "heads", "schemes", "networks"]
KINDS: tuple[Kind, ...] = ("backbones", "heads", "schemes", "networks")


def entries(kind: str) -> list[dict[str, Any]]:
    """Return one dictionary of JSON values for each known backbone, head, class scheme or network.

    Parameters
    ----------
    kind : {"backbones", "heads", "schemes", "networks"}
        What to list.

    Raises
    ------
    UnknownNameError
        `kind` has another value.
    """
    if kind == "backbones":
        from gzfeatures.features.backbones import BACKBONES, model_card

        return [{**entry.asdict(), "card": model_card(entry)} for entry in BACKBONES.values()]
    if kind == "heads":
        from gzfeatures.heads.estimators.registry import HEADS

        return [entry.asdict() for entry in HEADS.values()]
    if kind == "schemes":
        from gzfeatures.galaxies.labels.schemes import SCHEMES

        return [
            {
                "name": name,
                "target": entry.target,
                "classes": list(entry.classes),
                "source": entry.source,
            }
            for name, entry in SCHEMES.items()
        ]
    if kind == "networks":
        from gzfeatures.networks.models.architectures import NETWORKS

        return [{"name": name, **dataclasses.asdict(entry)} for name, entry in NETWORKS.items()]
    raise unknown("kind of names", kind, KINDS)


def list_(kind: str) -> pd.DataFrame:
    """List known backbones, heads, class schemes or networks, with licence, source and more.

    Parameters
    ----------
    kind : {"backbones", "heads", "schemes", "networks"}
        What to list.

    Returns
    -------
    DataFrame
        One row for each backbone, head, scheme or network; the index is its `name`.

    Raises
    ------
    UnknownNameError
        `kind` has another value.

    Examples
    --------
    >>> "svm" in list_("heads").index
    True
    """
    return pd.DataFrame(entries(kind)).set_index("name")


def store(
    action: Literal["show", "prune", "import"] = "show",
    source: Place | None = None,
    *,
    backbone: str | None = None,
    unused_days: float | None = None,
    max_gb: float | None = None,
    root: Store | Place | None = None,
) -> pd.DataFrame:
    """Show which embeddings the store has, remove some, or import embeddings of another store.

    Parameters
    ----------
    action : {"show", "prune", "import"}
        What to do.
    source : str or Path, optional
        With import: folder of the other store; embeddings are read from it, never code.
    backbone : str, optional
        With prune: remove the embeddings of this backbone.
    unused_days : float, optional
        With prune: remove embeddings that were not used for this many days; 0 removes all.
    max_gb : float, optional
        With prune: remove the least recently used embeddings until the store has this size (GB).
    root : Store, str or Path, optional
        The store, or its folder; default the user's own.

    Returns
    -------
    DataFrame
        One row for each combination of backbone, layer and preprocessing (extractor):
        `fingerprint`, `backbone`, `layer`, `rows`, `bytes`. After prune, what was removed; after
        import, `fingerprint`, `backbone`, `rows`, `present`, `refused`.

    Raises
    ------
    InputError
        An option belongs to another action, or a file of the store is damaged.

    Examples
    --------
    >>> store(root="empty-store").empty
    True
    """
    if (source is None) == (action == "import"):
        raise InputError("source", rule="be given with import, and only with it", found=source)
    if action != "prune" and (backbone, unused_days, max_gb) != (None, None, None):
        raise InputError("backbone, unused_days and max_gb", rule="be given with prune only")
    vectors = Store.default() if root is None else Store.at(root)
    if source is not None:
        from gzfeatures.features.store_import import import_vectors

        return pd.DataFrame([dataclasses.asdict(each) for each in import_vectors(vectors, source)])
    if action == "prune":
        size = None if max_gb is None else int(max_gb * 1e9)
        stored = vectors.prune(backbone=backbone, unused_days=unused_days, max_bytes=size)
    else:
        stored = vectors.show()
    columns = ["fingerprint", "backbone", "layer", "rows", "bytes"]
    rows = [
        (each.fingerprint, each.extractor.backbone, each.extractor.layer, each.rows, each.bytes)
        for each in stored
    ]
    return pd.DataFrame(rows, columns=columns)
