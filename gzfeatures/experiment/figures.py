"""Draw an experiment's map of embeddings, and the image parts that decide its predictions."""

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
        Checkpoint folder of the network; with a head, the name of any backbone.
    weights : str, optional
        File that replaces the backbone's own weights.
    table, head : Path, optional
        Embedding table, from which typical galaxies (prototypes) are chosen, and a head fitted on
        it. Without a head, the network itself predicts the class.
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
        Pictures of galaxies, each next to a map of the pixels that its predicted class depends on.
    verdict : Verdict, optional
        Quality of each method's maps, by a score called insertion minus deletion: mean class
        probability while marked pixels are inserted into an empty image, minus that while they are
        deleted from the galaxy's image. None if not measured, as for a network that predicts a
        number.
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
    """Draw a map (UMAP) of an embedding table's galaxies: a web page, and pictures for a report.

    Parameters
    ----------
    table : Path
        Embedding table.
    group : LabelledSample
        Labels and images of its galaxies; galaxies that are only trained on are left out.
    predictions : mapping of str to Predictions
        Predictions by which the map can be coloured, besides classes and catalog columns.
    folder : Path
        Folder for `map.html`, `map.parquet`, `map.json` (settings and quality) and two pictures in
        `figures/`.
    progress : Progress
        Object that shows the steps; shows nothing by default.
    title : str
        Title of the web page, which links to the report in the same folder.

    Returns
    -------
    path, Gallery
        Path of `map.html`, and the two pictures for a report.
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
    # the report cannot contain the interactive map (`map.html`): draw two pictures of the map for
    # it
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
    """Refuse a head that predicts numbers: the figure shows which pixels led to a class."""
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
        Files of the model to explain.
    images : ImageSet
        Images of the galaxies.
    ids : Ids, optional
        Galaxies to explain; by default the prototypes.
    labels : Labels, optional
        Labels from which, with the model's table, prototypes are found: for each class the galaxies
        nearest to the mean embedding.
    per_class : int
        Number of prototypes of each class.
    target : str, optional
        Class to explain; by default each galaxy's most probable class.
    methods : sequence of str
        Names from `networks.saliency.attribution.METHODS`; by default all.
    layers, dreams : bool
        Whether to show also the first galaxy's feature map in each layer, and for each class the
        image with the highest score, found by optimising pixels.
    seed : int
        Seed of the directions in which a head's slope is measured, of the order of equally
        important pixels, and of the optimised images.
    measure : bool
        Whether to measure the quality of each method's maps (see `Explanation`) and of simple
        baselines; the text above the gallery then starts with the result.

    Raises
    ------
    InputError
        Neither ids nor a table with labels are given, or a galaxy has no image.
    UnknownNameError
        A method is unknown.
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
    # name the model in the title: `head on network`, or the network alone
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
    # a head cannot be differentiated: measure how its probabilities change along random directions
    # of the embedding, drawn from `seed`
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

    Also show typical galaxies (prototypes) for a head, and feature maps for a network. A head is
    explained by Grad-CAM only, because explanations in a report must not take long.

    Parameters
    ----------
    candidate : Candidate
        Test predictions of the model, which must be classes.
    classifier : Classifier
        Files of the model.
    group : LabelledSample
        Images, labels and split of the galaxies.
    per_class : int
        Number of galaxies to explain for each class.
    seed : int
        Seed of the directions in which a head's slope is measured.
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
