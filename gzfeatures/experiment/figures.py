"""Draw a map of galaxies for an experiment, and explain its networks and heads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from gzfeatures.errors import InputError
from gzfeatures.evaluation.candidate import Candidate
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.sample import LabelledSample
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.figures.gallery import Gallery, Picture, tiles
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.labels import VALUE_TARGETS, Labels
from gzfeatures.ids import Ids
from gzfeatures.images.image_set import ImageSet
from gzfeatures.progress import SILENT, Progress
from gzfeatures.report import examples

if TYPE_CHECKING:
    from gzfeatures.networks.saliency.explained_model import ExplainedModel
    from gzfeatures.networks.saliency.verdict import Verdict

FILES = ("map.html", "map.parquet", "map.json")
"""Names of the files that `draw_map` writes, besides the pictures."""


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Name the files of a model that predicts a class: a network, or a head on its embeddings.

    Parameters
    ----------
    network : str
        Checkpoint folder; under a head, any backbone.
    weights : str, optional
        File that replaces the backbone's own weights.
    table, head : Path, optional
        Embedding table, which has the prototypes, and head on it; without a head the network names
        the class.
    """

    network: str
    weights: str | None = None
    table: Path | None = None
    head: Path | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """Store pictures that explain a model, and how well they mark the pixels that decide the class.

    Parameters
    ----------
    gallery : Gallery
        Galaxies beside the pixels that their class depends on.
    verdict : Verdict, optional
        Insertion minus deletion of each method; None if it was not measured, as for a network that
        predicts a number.
    """

    gallery: Gallery
    verdict: Verdict | None


def draw_map(
    table: Path,
    group: LabelledSample,
    predictions: Mapping[str, Predictions],
    folder: Path,
    progress: Progress = SILENT,
    *,
    title: str,
) -> tuple[Path, Gallery]:
    """Draw a map of the galaxies in an embedding table: web page, pictures, positions, quality.

    Parameters
    ----------
    table : Path
        Embedding table.
    group : LabelledSample
        Its galaxies; those that only train are left out.
    predictions : mapping of str to Predictions
        What the map can be coloured by beside classes and the catalog's columns.
    folder : Path
        Where `map.html`, `map.parquet`, `map.json` (settings and quality) and two pictures in
        `figures/` go.
    progress : Progress
        Shows the steps; nothing by default.
    title : str
        Of the page, which links to the report beside it.

    Returns
    -------
    path, Gallery
        Of `map.html`; the pictures for a report.
    """
    from gzfeatures.maps.columns import offered
    from gzfeatures.maps.figures import write_figure
    from gzfeatures.maps.umap import project

    # leave out galaxies that are only trained on: they come from other catalogs and would distort
    # the map
    mapped = EmbeddingTable.read(table).select(group.scored_split.ids)
    umap = project(mapped, group.labels, progress=progress)
    umap.write(folder / "map.parquet")
    with written_whole(folder / "map.json") as temporary:
        record = {"galaxies": len(umap), "quality": umap.quality, "settings": umap.settings}
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    # on the web page, users can colour points by these columns: votes, redshift and others
    columns = None if group.catalog is None else offered(group.catalog)
    page = umap.write_html(
        folder / "map.html",
        labels=group.labels,
        images=group.images,
        predictions=predictions,
        catalog=columns,
        title=title,
        report="report.html",
        progress=progress,
    )
    pictures = []
    classes = group.labels if group.labels.target == "classes" else None
    # the report cannot contain the interactive page: draw pictures for it
    for kind in ("points", "images"):
        path = folder / "figures" / f"map-{kind}.png"
        with Image.open(
            write_figure(path, umap, kind, labels=classes, images=group.images)
        ) as picture:
            pictures.append(Picture(f"Map as {kind}", "", picture.convert("RGB")))
    quality = (
        f"trustworthiness {umap.quality['trustworthiness']:.3f}, "
        f"{umap.quality['knn_preservation']:.0%}"
    )
    note = (
        f"UMAP of the best table: {quality} of the nearest neighbours kept. The "
        "interactive map is map.html."
    )
    return page, Gallery(
        "Map of the galaxies", note, {umap.settings["backbone"]: pictures}, side=460
    )


def _require_classes(target: str, head: Path) -> None:
    """Refuse a head that predicts a number, because only classes are explained."""
    if target in VALUE_TARGETS:
        raise InputError(
            "head predicts a number", where=head, rule="predict classes, one of which is explained"
        )


def explain(
    classifier: Classifier,
    images: ImageSet,
    ids: Ids | None = None,
    *,
    labels: Labels | None = None,
    per_class: int = 3,
    target: str | None = None,
    methods: Sequence[str] = (),
    layers: bool = False,
    dreams: bool = False,
    seed: int = 0,
    measure: bool = False,
) -> Explanation:
    """Find the parts of images that lead a model (network, or head on embeddings) to a class.

    Parameters
    ----------
    classifier : Classifier
        Who says so.
    images : ImageSet
        Of the galaxies.
    ids : Ids, optional
        Galaxies to explain; default the prototypes.
    labels : Labels, optional
        With a table, the prototypes of each class are shown: the galaxies nearest to its middle.
    per_class : int
        Prototypes of each class.
    target : str, optional
        Class to explain; default each galaxy's most likely one.
    methods : sequence of str
        Of `networks.saliency.attribution.METHODS`; default all.
    layers, dreams : bool
        Show also what each layer makes of the first galaxy, and the image that each class would
        like best.
    seed : int
        Of directions in which a head's slope is measured, of the order of equal pixels, and of
        dreams.
    measure : bool
        Measure insertion minus deletion of each method and of the baselines; the note of the
        gallery then starts with what came out.

    Raises
    ------
    InputError
        No galaxy is named, and there is no table with labels to take prototypes from; a galaxy has
        no image.
    UnknownNameError
        No such method.
    """
    from gzfeatures.explore.prototypes import prototypes
    from gzfeatures.networks.saliency import galleries
    from gzfeatures.networks.saliency.attribution import METHODS

    sections: dict[str, Sequence[Picture]] = {}
    # first the prototypes: galaxies whose embeddings are nearest to the mean of their class
    if classifier.table is not None and labels is not None:
        central = prototypes(EmbeddingTable.read(classifier.table), labels, per_class)
        captions = zip(central["galaxy_id"], central["class"], strict=True)
        sections["Prototypes, nearest to the middle of their class"] = tiles(images, captions)
        ids = np.asarray(central["galaxy_id"], dtype=object) if ids is None else ids
    if ids is None or not len(ids):
        raise InputError(
            "an explanation", rule="have galaxies", remedy="name some, or give a table and labels"
        )
    model = _explained_model(classifier, seed)
    methods = methods or tuple(METHODS)
    attributions = galleries.attributions(model, images, ids, target=target, methods=methods)
    measured = measure and model.has_probabilities
    verdict = attributions.verdict(seed=seed) if measured else None
    sections |= {
        f"{name}: {', '.join(methods)}": pictures
        for name, pictures in attributions.pictures().items()
    }
    # show the layers for one galaxy: that is enough to see what a network responds to
    if layers:
        sections |= galleries.layers(model, images, ids[0])
    if dreams:
        sections |= galleries.maximal_images(model, seed=seed)
    # title: `head on network`, or the name of a network alone
    name = " on ".join(
        [*([classifier.head.stem] if classifier.head else []), Path(classifier.network).name]
    )
    note = (
        "Galaxies as the network sees them; warm pixels speak for the class, cold ones against it."
    )
    if verdict is not None:
        note = f"{verdict.sentence()}. {note}"
    return Explanation(Gallery(f"Why {name} says so", note, sections), verdict)


def _explained_model(classifier: Classifier, seed: int) -> ExplainedModel:
    """Load the model to explain: a network alone, or a head joined to its network."""
    from gzfeatures.networks.saliency.explained_model import ExplainedModel

    if classifier.head is None:
        return ExplainedModel.of_network(classifier.network)
    from gzfeatures.heads.head import Head

    head = Head.read(classifier.head)
    _require_classes(head.target, classifier.head)
    # a head has no gradient to the pixels: its slope is measured along random directions (`seed`)
    return ExplainedModel.of_head(
        classifier.network,
        head.probabilities,
        head.classes,
        head.extractors[0],
        weights=classifier.weights,
        seed=seed,
    )


def explain_candidate(
    candidate: Candidate,
    classifier: Classifier,
    group: LabelledSample,
    per_class: int,
    *,
    seed: int = 0,
) -> Gallery:
    """Explain the most confident correct predictions of a model, class by class.

    Prototypes are added for a head, feature maps for a network. A head is explained by Grad-CAM
    alone, because explanations in a report have to be cheap.

    Of a head Grad-CAM alone is shown, for a gallery of a report has to be cheap.

    Parameters
    ----------
    candidate : Candidate
        Of classes.
    classifier : Classifier
        Its network, table and head.
    group : LabelledSample
        Its galaxies.
    per_class : int
        Galaxies explained for each class.
    seed : int
        Of the directions in which a head's slope is measured.
    """
    ids = examples.successes(candidate.predictions, group.labels, per_class)
    test = group.labels.select(group.split.test)
    methods = ("grad-cam",) if classifier.head else ("grad-cam", "integrated-gradients")
    explanation = explain(
        classifier,
        group.images,
        ids if len(ids) else candidate.predictions.ids[:per_class],
        labels=test,
        methods=methods,
        layers=classifier.head is None,
        seed=seed,
    )
    return explanation.gallery
