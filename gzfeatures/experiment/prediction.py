"""Find a head by name or file, and extract the embeddings that the head needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from gzfeatures.errors import NETWORK, InputError, require_packages, unknown
from gzfeatures.features.backbones import BACKBONES, packaged
from gzfeatures.features.extractor import Extractor
from gzfeatures.heads.head import Head
from gzfeatures.progress import SILENT, Progress

if TYPE_CHECKING:
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.features.store import Store
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.view import View

FOLDER = "heads"
"""Folder of the heads that come with a packaged backbone; files are named by class scheme."""
FRACTIONS = "votes-37"
"""Class scheme of the heads that predict all 37 vote fractions."""
PORTABLE = ".onnx"
"""File ending of exported heads."""
TABLES = (".parquet", ".pq")
"""File endings of embedding tables; other inputs of `predict` are images."""


def packaged_heads(backbone: str) -> dict[str, Path]:
    """Return the files of the heads that come with a backbone, by class scheme, default first.

    Only backbones that come with the package have such heads.

    Examples
    --------
    >>> list(packaged_heads("googlenet-gz2"))
    ['zhu-5class', 'votes-37']
    """
    files = sorted((packaged(backbone) / FOLDER).glob("*.skops"), reverse=True)
    # `zhu-5class.skops` is a default head; `zhu-5class.one-view.skops` predicts the same from
    # embeddings made in another way: leave it out
    return {file.stem: file for file in files if "." not in file.stem}


def find_head(
    name: str | Path, scheme: str | None = None, extractor: Extractor | None = None
) -> Head:
    """Read a head from a file, or the head of a packaged backbone by the backbone's name.

    Parameters
    ----------
    name : str or Path
        File written by `fit` or `export`, or the name of a backbone that has heads, such as
        googlenet-gz2.
    scheme : str, optional
        Class scheme, to choose one of the backbone's heads; by default the first head, which
        predicts classes.
    extractor : Extractor, optional
        Description of how the embeddings to predict were made, if they exist already. Some heads
        come twice: for embeddings averaged over 8 turned and mirrored copies of an image, and for
        embeddings of one copy.

    Raises
    ------
    UnknownNameError
        `name` is neither a file nor a backbone with heads, or no head predicts `scheme`.
    InputError
        Both a file and a scheme are given.
    """
    if Path(name).exists():
        if scheme is not None:
            raise InputError("scheme", rule="be left out: the file is one head", found=scheme)
        # only an exported head needs PyTorch: check for it here, so that other
        # heads work without it
        if Path(name).suffix == PORTABLE:
            require_packages("predicting by an exported file", *NETWORK)
            from gzfeatures.portable.portable_head import PortableHead

            return PortableHead.open(name)
        return Head.read(name)
    heads = packaged_heads(str(name)) if str(name) in BACKBONES else {}
    if not heads:
        named = [each for each in BACKBONES if packaged_heads(each)]
        raise unknown("head", str(name), [*named, "a file written by 'gzfeatures fit'"])
    if scheme is not None and scheme not in heads:
        raise unknown(f"scheme of {name}", scheme, list(heads))
    chosen = heads[scheme or next(iter(heads))]
    head = Head.read(chosen)
    if extractor is None or head.extractors[0].fingerprint == extractor.fingerprint:
        return head
    others = [Head.read(path) for path in sorted(chosen.parent.glob(f"{chosen.stem}.*.skops"))]
    # if no packaged head fits these embeddings, return the default head, whose `predict` then
    # raises an error that says which embeddings it needs
    return next((o for o in others if o.extractors[0].fingerprint == extractor.fingerprint), head)


def fractions_head(extractor: Extractor) -> Head:
    """Return the packaged head for Galaxy Zoo's 37 vote fractions that reads these embeddings.

    Raises
    ------
    InputError
        No packaged head was fitted on embeddings that were made in this way.
    """
    readable = []
    for name in BACKBONES:
        if FRACTIONS not in packaged_heads(name):
            continue
        head = find_head(name, FRACTIONS, extractor)
        if head.extractors[0].fingerprint == extractor.fingerprint:
            return head
        readable.append(f"{name}, {head.extractors[0].fingerprint[:12]}")
    raise InputError(
        "no head that comes with the package reads these vectors",
        where=f"{extractor.backbone}, {extractor.fingerprint[:12]}",
        rule=f"be of {' or '.join(readable)}",
        remedy="give votes of some of the galaxies with --labels VOTES.csv",
    )


def answers_of(table: EmbeddingTable) -> Predictions | None:
    """Predict Galaxy Zoo's 37 vote fractions from embeddings; None if no packaged head fits."""
    try:
        head = fractions_head(table.extractor)
    except InputError:
        return None
    return head.predict(table)


def vectors_of(
    images: ImageSet,
    head: Head,
    store: Store,
    *,
    view: View | None = None,
    on_bad: str = "raise",
    progress: Progress = SILENT,
) -> EmbeddingTable:
    """Extract the embeddings that a head needs, with the backbone it was fitted on.

    Parameters
    ----------
    images : ImageSet
        Images of the galaxies.
    head : Head
        Head that was fitted on one table of a backbone known by name.
    store : Store
        Cache of embeddings on disk, which is read and extended.
    view : View, optional
        Crop, size and colours of the images; only the crop may differ from those that the head was
        fitted on.
    on_bad : {"raise", "skip"}
        Whether an image that cannot be read is an error or is left out.
    progress : Progress
        Object that shows messages and progress bars; shows nothing by default.

    Raises
    ------
    InputError
        The head reads several tables or catalog columns, its backbone now has other weights, or
        `view` differs in more than the crop.
    """
    from gzfeatures.networks.extraction.extract import compute_table
    from gzfeatures.networks.extraction.spec import Extraction
    from gzfeatures.portable.portable_head import PortableHead

    # this function extracts the embeddings of one backbone, and reads no catalog: refuse a head
    # that needs more than these embeddings
    if len(head.extractors) != 1 or head.columns:
        raise InputError(
            "head reads more than the vectors of one backbone",
            where=f"head {head.name}",
            remedy="extract the tables and give them in place of images",
        )
    extractor = head.extractors[0]
    require_framing(extractor, view)
    # an exported head that reads pixels contains its network, and computes the embeddings itself
    if isinstance(head, PortableHead) and head.source == "pixels":
        return head.table_of(images, store, view=view, on_bad=on_bad, progress=progress)
    extraction = Extraction.repeating(
        extractor, store=store, view=view, on_bad=on_bad, progress=progress
    )
    # refuse other weights: the head would classify their embeddings wrongly, without any error
    if extraction.extractor.weights != extractor.weights:
        raise InputError(
            "backbone has other weights than the head was fitted on",
            where=f"{extractor.backbone}, head {head.name}",
            remedy="extract with those weights and give the table in place of images",
        )
    return compute_table(images, extraction)


def require_framing(extractor: Extractor, view: View | None) -> None:
    """Refuse a view unless it equals, apart from the crop, the view that a head was fitted on.

    A view is how images are given to a network: crop, size and colours.
    """
    if view is not None and dataclasses.replace(view, crop=extractor.view.crop) != extractor.view:
        raise InputError(
            "view",
            where=f"head on {extractor.backbone}",
            rule=f"differ in crop alone from {extractor.view}",
            found=str(view),
            remedy="fit a head on vectors of that view",
        )
