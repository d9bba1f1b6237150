"""Define the command `predict`, which writes the predictions of a head or network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.inputs import (
    catalog_from,
    framed,
    images_of,
    labels_from,
    numbers_from,
    require_catalog_of_crops,
    table_from,
)
from gzfeatures.cli.options import (
    ColumnsOf,
    Coverage,
    IdColumn,
    Json,
    LabelAsIs,
    MissingLabel,
    MoreTables,
    Petrosian,
    PixelScale,
    Selection,
)
from gzfeatures.cli.reading import reads_images
from gzfeatures.cli.verbs.extraction import MOST_LINES, pairs, say_how_many
from gzfeatures.cli.verbs.heads import coverage_row
from gzfeatures.cli.writing import writes
from gzfeatures.errors import NETWORK, require_packages
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.evaluation.conformal_sets import Conformal
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.heads.head import Head
    from gzfeatures.ids import Ids
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading
    from gzfeatures.networks.inference.output_calibration import OutputCalibration
    from gzfeatures.unlabelled.familiarity import Familiarity
    from gzfeatures.unlabelled.shift import TableSample


TABLES = (".parquet", ".pq")
"""File endings of embedding tables; other inputs of `predict` are images."""


def _require_use_of(view: str | None, scheme: str | None, head: Path, table: Path) -> None:
    """Refuse options that would have no effect on the given head and table."""
    # --view (crop and size of images) has no effect on a table, which holds embeddings, nor on a
    # network, which has its own crop and size
    if view is not None and (head.is_dir() or table.suffix in TABLES):
        raise typer.BadParameter("it goes with images and a head", param_hint="--view")
    if scheme is not None and head.is_dir():
        raise typer.BadParameter(
            "it goes with a backbone's heads, not a checkpoint", param_hint="--scheme"
        )


def _require_use_of_crops(
    crops: tuple[str | None, str | None], view: str | None, catalog: Path | None, table: Path
) -> None:
    """Refuse options of crops if images or a catalog are missing, or if --view sets a crop too."""
    require_catalog_of_crops(crops, has_catalog=catalog is not None)
    if crops == (None, None):
        return
    # crops have no effect on a table, which already contains embeddings
    if table.suffix in TABLES:
        raise typer.BadParameter("they go with images", param_hint="--pixel-scale, --petrosian")
    if view is not None:
        raise typer.BadParameter(
            "it sets one crop for all, --petrosian one for each", param_hint="--view"
        )


@app.command(epilog="Example: gzfeatures predict heads/svm.skops table.parquet -o predictions.csv")
@writes("output")
@reads_images
def predict(
    reading: Reading,
    head: Annotated[
        Path,
        typer.Argument(
            metavar="HEAD",
            help=(
                "Head written by 'fit', a network's checkpoint folder, or googlenet-gz2, which "
                "needs no labels."
            ),
        ),
    ],
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", help="Embedding table, or images: a folder, zip, tar or HDF5 file."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv, .parquet or .fits.")
    ],
    scheme: Annotated[
        str | None,
        typer.Option(help="Head of googlenet-gz2: zhu-5class (default) or votes-37."),
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(
            help="Another crop of the images, e.g. crop=0.8; other settings of the view stay "
            "the same."
        ),
    ] = None,
    pixel_scale: PixelScale = None,
    petrosian: Petrosian = None,
    on_bad: Annotated[
        Literal["raise", "skip"], typer.Option(help="At a bad image, stop, or leave it out.")
    ] = "raise",
    others: MoreTables = None,
    catalog: ColumnsOf = None,
    coverage: Coverage = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Labels of some galaxies, of this or another catalog, to measure the coverage "
                "of class sets."
            )
        ),
    ] = None,
    unfamiliar: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Galaxies with a smaller familiarity_p get an empty class set.",
        ),
    ] = 0.01,
    priors: Annotated[
        Literal["training", "unlabelled"],
        typer.Option(
            help=(
                "Class shares that the probabilities assume: those of the training, or "
                "estimated from this table."
            )
        ),
    ] = "training",
    selection: Selection = None,
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Write class probabilities per galaxy, and the class set that holds the true class in 90 %."""
    from gzfeatures.cli.shift_notes import compared

    crops = (pixel_scale, petrosian)
    _require_use_of(view, scheme, head, table)
    _require_use_of_crops(crops, view, catalog, table)
    options = _PredictOptions(
        view,
        scheme,
        on_bad,
        reading,
        unfamiliar,
        coverage,
        tuple(others or ()),
        catalog,
        id_column,
        crops,
        selection,
    )
    answer = _by_network(head, table, options)
    if answer is None:
        answer = _by_head(head, table, options)
    # compare before writing, because the comparison may correct probabilities by class shares
    corrected, comparison = compared(
        answer.kept_out,
        answer.predictions,
        answer.sample,
        priors == "unlabelled",
        "network" if head.is_dir() else "head",
    )
    corrected.write(output)
    result = corrected.summary | comparison
    if answer.blank is not None:
        result["nothing_shown"] = answer.blank
        result["skipped"] = [{"id": name, "reason": reason} for name, reason in answer.skipped]
    for note in answer.notes:
        say(f"note: {note}")
    # class sets promise coverage only for probabilities before correction, so measure it on these
    if labels is not None and answer.predictions.is_value:
        result["measured"] = _measured_numbers(answer.predictions, labels, id_column)
    elif labels is not None:
        true_labels = labels_from(labels, missing_label, label_as_is, id_column)[0]
        result["sets"] = _held_elsewhere(answer.predictions, true_labels, labels, answer.sets)
    show(result, as_json, hide=("sets", "shift", "nothing_shown", "skipped"))
    if "sets" in result and not as_json:
        show({"class_sets": [coverage_row(head.stem, result["sets"])]}, as_json)
    say(f"predictions written to {output}")
    joined = f"CATALOG {quote(output)} --on ID=galaxy_id --all -o classified.fits"
    say_next(f"gzfeatures join {joined}")


@dataclasses.dataclass(frozen=True)
class _PredictOptions:
    """Hold the options of `predict` that decide how probabilities are computed."""

    view: str | None
    scheme: str | None
    on_bad: Literal["raise", "skip"]
    reading: Reading
    unfamiliar: float
    coverage: float | None
    others: tuple[Path, ...]
    catalog: Path | None
    id_column: str | None
    crops: tuple[str | None, str | None]
    selection: Path | None = None

    def images(self, source: Path, on_bad: Literal["raise", "skip"]) -> ImageSet:
        """Open the images to predict; crop them by pixel scale and Petrosian radius if given."""
        images = images_of(source, None, on_bad, reading=self.reading, selection=self.selection)
        if self.catalog is None or self.crops == (None, None):
            return images
        return framed(images, catalog_from(self.catalog, self.id_column), self.crops)


@dataclasses.dataclass(frozen=True)
class _Answer:
    """Hold the result of `predict`: predictions, thresholds for class sets, and images left out.

    `familiarity` measures how similar galaxies are to the training galaxies. `kept_out` has facts
    on galaxies kept out of training. `blank` lists images that show no galaxy; it is None if no
    images were read.
    """

    predictions: Predictions
    sets: Conformal | None
    familiarity: Familiarity | None
    kept_out: Head | OutputCalibration
    sample: TableSample | None = None
    blank: list[dict[str, str]] | None = None
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def notes(self) -> list[str]:
        """Return what familiarity and class sets cannot do for these predictions, and why."""
        found = [None if self.familiarity is None else self.familiarity.why_none_flagged]
        found += [] if self.sets is None else self.sets.missed
        return [note for note in (*found, self.why_no_sets) if note]

    @property
    def why_no_sets(self) -> str | None:
        """Return the reason why class predictions have no class sets; None if they have."""
        from gzfeatures.heads.head import Head

        if self.predictions.kind != "classes" or self.sets is not None:
            return None
        if isinstance(self.kept_out, Head):
            return "the head gives no class sets: no validation galaxies were left to calibrate it"
        from gzfeatures.networks.inference.output_calibration import LEAST_FOR_SETS

        return (
            f"the network gives no class sets: they take {LEAST_FOR_SETS} validation galaxies that "
            f"did not choose the epoch, and there were {self.kept_out.calibrated_on}"
        )


def _by_network(path: Path, source: Path, options: _PredictOptions) -> _Answer | None:
    """Predict images with the network in a folder; return None if `path` is not a folder."""
    if not path.is_dir():
        return None
    require_packages("predicting by a network", *NETWORK)
    from gzfeatures.cli.shift_notes import sample_for
    from gzfeatures.networks.inference.output_calibration import calibration_of
    from gzfeatures.networks.inference.probabilities import classify

    images = options.images(source, "raise")
    calibration = calibration_of(path)
    if options.coverage is not None:
        calibration = calibration.promising(options.coverage)
    calibration = calibration.emptying(options.unfamiliar)
    sample = sample_for(calibration)
    empty: list[tuple[str, str]] = []

    def noted(name: str, reason: str) -> None:
        empty.append((name, reason))
        if len(empty) <= MOST_LINES:
            say(f"warning: {name} shows no galaxy: {reason}")

    predictions = classify(
        images,
        path,
        progress=Terminal(),
        unfamiliar=options.unfamiliar,
        coverage=options.coverage,
        noted=noted,
        sample=sample,
    )
    say_how_many(empty)
    familiarity = calibration.familiarity
    return _Answer(predictions, calibration.sets, familiarity, calibration, sample, pairs(empty))


def _by_head(path: Path, table: Path, options: _PredictOptions) -> _Answer:
    """Predict galaxies by a head from a file, given images, several tables or one table."""
    from gzfeatures.cli.shift_notes import sample_for
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.experiment.prediction import find_head
    from gzfeatures.features.table import EmbeddingTable

    is_table = table.suffix in TABLES
    of = EmbeddingTable.open(table).extractor if is_table else None
    head = find_head(path, options.scheme, of)
    if options.coverage is not None:
        head = head.promising(options.coverage)
    head = head.emptying(options.unfamiliar)
    sample = sample_for(head)
    if not is_table:
        return _of_images(head, table, options, sample)
    if options.others or options.catalog or options.selection:
        tables = [table_from(each, options.selection) for each in (table, *options.others)]
        columns = None
        if options.catalog is not None:
            columns = catalog_from(options.catalog, options.id_column)
        predictions = head.predict(tables, columns, unfamiliar=options.unfamiliar, sample=sample)
    else:
        # predict a table in parts, because it may be larger than memory
        opened = EmbeddingTable.open(table)
        parts = []
        with Terminal().counted("predicting", len(opened), unit="galaxies", transient=True) as up:
            for batch in opened.batches():
                parts.append(head.predict(batch, unfamiliar=options.unfamiliar, sample=sample))
                up(len(batch))
        # a table without rows has no parts: predict the empty table, to get the names of classes
        if not parts:
            empty = EmbeddingTable.read(table)
            parts = [head.predict(empty, unfamiliar=options.unfamiliar, sample=sample)]
        predictions = Predictions.joined(parts)
    return _Answer(predictions, head.sets, head.familiarity, head, sample)


def _of_images(
    head: Head, source: Path, options: _PredictOptions, sample: TableSample | None
) -> _Answer:
    """Predict images by a head, after extracting the embeddings that it reads."""
    from gzfeatures.experiment.prediction import vectors_of
    from gzfeatures.features.store import Store
    from gzfeatures.images.view import View

    images = options.images(source, options.on_bad)
    framing = None
    if options.view is not None:
        framing = View.parse(options.view, head.extractors[0].view)
    vectors = vectors_of(
        images,
        head,
        Store.default(),
        view=framing,
        on_bad=options.on_bad,
        progress=Terminal(),
    )
    for name, reason in vectors.skipped:
        say(f"left out: {name}: {reason}")
    blank = pairs(vectors.nothing_shown)
    say_how_many(blank)
    predictions = head.predict(
        vectors, unfamiliar=options.unfamiliar, any_crop=framing is not None, sample=sample
    )
    return _Answer(
        predictions, head.sets, head.familiarity, head, sample, blank, tuple(vectors.skipped)
    )


def _measured_numbers(
    predictions: Predictions, path: Path, id_column: str | None
) -> dict[str, Any]:
    """Compare predicted with true numbers, for labelled galaxies that were not trained on."""
    from gzfeatures.evaluation.metrics import evaluate
    from gzfeatures.galaxies.labels.target_column import TargetColumn

    column = TargetColumn(predictions.classes[0], predictions.kind == "redshift", as_number=True)
    labels = numbers_from(path, column, None, id_column)[0]
    fresh = predictions.select(_fresh(predictions, labels.ids, path))
    scores = evaluate(fresh, labels)
    held = None
    if fresh.bounds is not None:
        true = labels.select(fresh.ids).values[:, 0]
        held = float(((fresh.bounds[:, 0] <= true) & (true <= fresh.bounds[:, 1])).mean())
    return {"n": scores.n, **scores.metrics, "intervals": scores.intervals, "held": held}


def _fresh(predictions: Predictions, labelled: Ids, path: Path) -> Ids:
    """Return the labelled galaxies that were not trained on; raise InputError if there are none."""
    from gzfeatures.errors import InputError
    from gzfeatures.ids import among

    # leave out training galaxies, whose scores would look too good
    fresh = among(predictions.ids, labelled) & (
        True if predictions.seen is None else ~predictions.seen
    )
    if not fresh.any():
        raise InputError(
            "no labelled galaxy that was not trained on",
            where=path,
            rule="share ids with the table",
        )
    ids: Ids = predictions.ids[fresh]
    return ids


def _held_elsewhere(
    predictions: Predictions, labels: Labels, path: Path, sets: Conformal | None
) -> dict[str, Any]:
    """Measure the coverage of class sets on labelled galaxies that were not trained on."""
    from gzfeatures.errors import InputError

    if sets is None:
        raise InputError(
            "no class sets to measure",
            rule="be predictions of a head or network that gives class sets",
        )
    true_labels = labels.ordered(predictions.classes)
    fresh = predictions.select(_fresh(predictions, true_labels.ids, path))
    return sets.coverage_report(fresh, true_labels)
