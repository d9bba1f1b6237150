"""Train networks, predict labels of galaxies, and compute maps of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gzfeatures.errors import NETWORK, InputError, require_packages
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.prediction import TABLES, find_head, vectors_of
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.label_file import read_labels
from gzfeatures.galaxies.splits.related_galaxies import SAME_FILE, Grouping
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.head import Head
from gzfeatures.ids import among
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.progress import Progress, handed
from gzfeatures.unlabelled.familiarity import LEVEL
from gzfeatures.unlabelled.priors import Priors
from gzfeatures.unlabelled.shift import Shares
from gzfeatures.verbs.inputs import Place, catalog_of, images_of, table_of

if TYPE_CHECKING:
    from gzfeatures.experiment.finetune_verb import FineTuned
    from gzfeatures.maps.map import Map


def predict(
    head: Head | Place,
    table: EmbeddingTable | ImageSet | Place | Sequence[EmbeddingTable | Place],
    *,
    scheme: str | None = None,
    view: View | str | None = None,
    catalog: Catalog | Place | None = None,
    on_bad: Literal["raise", "skip"] = "raise",
    coverage: float | None = None,
    unfamiliar: float = LEVEL,
    priors: Literal["training", "unlabelled"] = "training",
    store: Store | Place | None = None,
    progress: Progress | bool = False,
) -> Predictions:
    """Predict the labels of galaxies with a head or a network, from embedding tables or images.

    Parameters
    ----------
    head : Head, str or Path
        Head, its file, a network's checkpoint folder, or "googlenet-gz2", a network with heads that
        come with the package.
    table : EmbeddingTable, ImageSet, str or Path
        Embeddings or images of the galaxies, or their file or folder; several tables if the head
        was fitted on several.
    scheme : str, optional
        Which head of googlenet-gz2: zhu-5class (default) or votes-37.
    view : View or str, optional
        Another crop of the images than in the training, such as "crop=0.8".
    catalog : Catalog, str or Path, optional
        Catalog with the columns that the head reads beside embeddings.
    on_bad : {"raise", "skip"}
        Stop at an image that cannot be read, or leave it out.
    coverage : float, optional
        How often conformal class sets or intervals contain the true value, in (0, 1); default the
        coverage for which they were calibrated.
    unfamiliar : float
        Galaxies with a `familiarity_p` below this number in [0, 1] get an empty class set.
    priors : {"training", "unlabelled"}
        Class shares that the probabilities assume: those of the training galaxies, or shares
        estimated from the galaxies to predict.
    store : Store, str or Path, optional
        Folder in which embeddings of the images are stored; default the user's own.
    progress : Progress or bool
        Shows a progress bar; by default nothing is shown. True: in the terminal.

    Returns
    -------
    Predictions
        Predictions of all galaxies; `write("predictions.csv")` writes them.

    Raises
    ------
    GzError
        The head reads embeddings of another backbone, or several tables; an image cannot be read;
        or class shares cannot be estimated.

    Examples
    --------
    >>> predict("googlenet-gz2", "my-images/").write("classes.csv")  # doctest: +SKIP
    >>> predict("heads/svm.skops", "table.parquet").summary  # doctest: +SKIP
    """
    if isinstance(head, str | Path) and Path(head).is_dir():
        predictions, shares = _by_network(head, table, coverage, unfamiliar, progress)
    else:
        tables, chosen = _vectors(head, table, scheme, view, on_bad, store, progress)
        model = chosen if coverage is None else chosen.promising(coverage)
        columns = None if catalog is None else catalog_of(catalog)
        predictions = model.predict(
            tables, columns, unfamiliar=unfamiliar, any_crop=view is not None
        )
        shares = model.shares
    if priors == "training":
        return predictions
    if shares is None:
        raise InputError(
            "class shares cannot be corrected",
            rule="be those of a model on classes, with galaxies kept out of training",
            remedy="train it again on a split that has a validation part",
        )
    # estimate the class shares of these galaxies by expectation maximisation (Saerens+2002), and
    # correct the probabilities
    return Priors.of(predictions, shares.mean).corrected(predictions)


def _by_network(
    checkpoint: Place, images: Any, coverage: float | None, unfamiliar: float, progress: Any
) -> tuple[Predictions, Shares | None]:
    """Return a network's predictions for images, and class shares in its calibration galaxies.

    The shares are the mean probabilities that the network predicts for calibration galaxies, on
    which it was not trained.
    """
    require_packages("predicting by a network", *NETWORK)
    from gzfeatures.networks.inference.output_calibration import calibration_of
    from gzfeatures.networks.inference.probabilities import classify

    predictions = classify(
        images_of(images), checkpoint, progress=progress, unfamiliar=unfamiliar, coverage=coverage
    )
    return predictions, calibration_of(checkpoint).shares


def _vectors(
    head: Head | Place,
    table: Any,
    scheme: str | None,
    view: View | str | None,
    on_bad: str,
    store: Store | Place | None,
    progress: Progress | bool,
) -> tuple[list[EmbeddingTable], Head]:
    """Return embeddings and the head that reads them; compute embeddings if images are given."""
    several = isinstance(table, list | tuple)
    if several or isinstance(table, EmbeddingTable) or Path(str(table)).suffix in TABLES:
        if view is not None:
            raise InputError("view", rule="be left out of a table: its vectors have one")
        tables = [table_of(each) for each in (table if several else [table])]
        return tables, _head(head, scheme, tables[0])
    chosen = _head(head, scheme, None)
    framing = View.parse(view, chosen.extractors[0].view) if isinstance(view, str) else view
    place = Store.default() if store is None else Store.at(store)
    vectors = vectors_of(
        images_of(table), chosen, place, view=framing, on_bad=on_bad, progress=handed(progress)
    )
    return [vectors], chosen


def _head(head: Head | Place, scheme: str | None, table: EmbeddingTable | None) -> Head:
    """Return a head object unchanged; if a path or name is given, read the head from its file."""
    if isinstance(head, Head):
        return head
    return find_head(head, scheme, None if table is None else table.extractor)


def finetune(
    images: ImageSet | Place,
    labels: Labels | Place,
    network: Place,
    output: Place,
    *,
    split: Split | None = None,
    members: int = 1,
    seed: int = 0,
    say: Callable[[str], object] | None = None,
    progress: Progress | bool = False,
    **options: Any,
) -> FineTuned:
    """Train a network from random or given weights, score it, and save it as a new backbone.

    Parameters
    ----------
    images : ImageSet, str or Path
        Images of the galaxies, or their folder or archive; labelled galaxies without an image are
        left out.
    labels : Labels, str or Path
        Labels that the network learns, or their file; a split in the file is used.
    network : str or Path
        Name of a network or a checkpoint folder.
    output : str or Path
        Checkpoint folder to write.
    split : Split, optional
        Train, validation and test galaxies. By default the split in the labels file; if it has
        none, a split is drawn (shares 0.7, 0.1, 0.2) that keeps copies of an image on one side.
    members : int
        Number of networks to train, each with its own seed; as an ensemble they predict their mean
        probability.
    seed : int
        Seed of the training, and of the split if one is drawn.
    say : callable, optional
        Function that prints a line for the user.
    progress : Progress or bool
        Shows the training plan and bars; by default nothing is shown. True: in the terminal.
    **options
        Fields of `TrainingOptions`, such as `weights`, `recipe`, `epochs`, `view`, `dihedral`, and
        numbers of the training recipe, such as `batch_size`.

    Returns
    -------
    FineTuned
        Scores, costs and the checkpoint's folder.

    Raises
    ------
    GzError
        As `train`.

    Examples
    --------
    >>> finetune("images/", "labels.csv", "googlenet-gz2", "tuned/")  # doctest: +SKIP
    """
    from gzfeatures.experiment.finetune_verb import FineTuning
    from gzfeatures.networks.setup.options import TrainingOptions
    from gzfeatures.networks.training.initialisation import seen_by
    from gzfeatures.networks.training.preparation import TrainingGalaxies

    of_file: Split | None = None
    if not isinstance(labels, Labels):
        labels, of_file = read_labels(labels)
    pictures = images_of(images)
    known = labels.select(labels.ids[among(labels.ids, pictures.ids)])
    chosen = split or of_file
    if chosen is None:
        near = pictures.select(known.ids)
        groups = Grouping().joined(SAME_FILE, near.duplicate_groups()).groups
        # galaxies on which the starting weights were trained must become training galaxies, because
        # scores on them would be too good
        tied = seen_by(str(network), near, options.get("weights"))
        chosen = Split.draw(known, groups=groups, only_train=tied, seed=seed)
    view = options.pop("view", None)
    options["view"] = View.parse(view) if isinstance(view, str) else view
    fields = {**options, "folder": Path(output), "seed": seed, "progress": progress}
    teller = say or (lambda line: handed(progress).say(line))
    tuning = FineTuning(str(network), TrainingOptions.of(fields), teller, members)
    return tuning.of(TrainingGalaxies(pictures, known, chosen.among(known.ids)))


def map_(
    table: EmbeddingTable | Place,
    labels: Labels | Place | None = None,
    *,
    neighbours: int = 15,
    min_dist: float = 0.1,
    dimensions: int = 2,
    metric: str = "euclidean",
    supervised: bool = False,
    stability: int = 0,
    into: Map | Place | None = None,
    seed: int = 0,
    progress: Progress | bool = False,
) -> Map:
    """Compute a map (UMAP) of an embedding table, or place its galaxies on an earlier map.

    Parameters
    ----------
    table : EmbeddingTable, str or Path
        Embeddings of the galaxies.
    labels : Labels, str or Path, optional
        Classes of some galaxies, for `supervised`, and to score how well the map separates them.
    neighbours : int
        Number of neighbours in UMAP (n_neighbors).
    min_dist : float
        Smallest distance between galaxies on the map, in [0, 1].
    dimensions : {2, 3}
        Number of dimensions of the map.
    metric : {"euclidean", "cosine"}
        Distance between embeddings.
    supervised : bool
        Use the labels to place galaxies of one class close together.
    stability : int
        Number of further maps with other seeds, by which the stability of the map is measured.
    into : Map, str or Path, optional
        Earlier map into which the galaxies are placed; its options then replace those given here.
    seed : int
        Seed of UMAP.
    progress : Progress or bool
        Shows the steps; by default nothing is shown. True: in the terminal.

    Returns
    -------
    Map
        Positions on the map; `write_html("map.html", labels=…, images=…)` writes a page with it.

    Raises
    ------
    InputError
        The table has too few galaxies, an option is outside its range, or no galaxy has a label;
        or the embeddings of the earlier map were made in another way (other extractor).

    Examples
    --------
    >>> map_("table.parquet", "labels.csv").write_html("map.html")  # doctest: +SKIP
    """
    from gzfeatures.maps.map import Map
    from gzfeatures.maps.umap import project
    from gzfeatures.verbs.inputs import labels_of

    vectors = table_of(table)
    if into is not None:
        return (into if isinstance(into, Map) else Map.read(into)).place(vectors)
    return project(
        vectors,
        None if labels is None else labels_of(labels),
        progress=progress,
        seed=seed,
        n_neighbors=neighbours,
        min_dist=min_dist,
        dimensions=dimensions,
        metric=metric,
        supervised=supervised,
        stability_seeds=range(seed + 1, seed + 1 + stability),
    )
