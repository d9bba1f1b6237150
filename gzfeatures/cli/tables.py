"""Define the verbs about embeddings and heads: list, extract, fit, predict, store."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures import outputs
from gzfeatures.cli.console import app, say, show, show_markdown
from gzfeatures.cli.inputs import (
    AsNumber,
    Device,
    GroupArcsec,
    IdColumn,
    IsRedshift,
    Json,
    LabelAsIs,
    LabelsFile,
    MaybeImages,
    MissingLabel,
    Near,
    Petrosian,
    PixelScale,
    Seed,
    Sizes,
    Source,
    TableFile,
    TargetName,
    WithCurve,
    catalog_from,
    framed,
    images_of,
    labels_and_split,
    labels_from,
    numbers_from,
    require_catalog_of_crops,
    require_sizes,
    show_sizes,
    target_column,
)
from gzfeatures.cli.reading import reads_images
from gzfeatures.cli.writing import Given, writes
from gzfeatures.galaxies.splits.separation import NEAR_ARCSEC
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.evaluation.conformal import Conformal
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.features.extractor import Extractor
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.features.table import TableFile as WrittenTable
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.splits.groups import Grouping
    from gzfeatures.galaxies.splits.split import Split
    from gzfeatures.heads.head import Head
    from gzfeatures.ids import Ids
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading
    from gzfeatures.images.view import View
    from gzfeatures.networks.inference.output_calibration import OutputCalibration
    from gzfeatures.unlabelled.familiarity import Familiarity
    from gzfeatures.unlabelled.shift import TableSample

Coverage = Annotated[
    float | None,
    typer.Option(
        help=(
            "Share of galaxies of each class whose class_set holds the true class; "
            "default: 0.9, or the head's."
        )
    ),
]
MOST_LINES = 10
"""Number of images without a galaxy that are printed, one line each."""
TABLES = (".parquet", ".pq")
"""File endings of embedding tables; other inputs of `predict` are images."""
Kind = Literal["backbones", "heads", "schemes", "networks"]
MoreTables = Annotated[
    list[Path] | None,
    typer.Option("--with", help="Another table, joined to the first by id; repeat for more."),
]
ColumnsOf = Annotated[
    Path | None, typer.Option("--catalog", help="Catalog with the columns that heads also read.")
]


def _view_of(backbone: str, text: str | None) -> View | None:
    """Return the view of `--view`, based on the backbone's view; None without the option."""
    from gzfeatures.features.backbones import backbone as backbone_of
    from gzfeatures.images.view import View

    return None if text is None else View.parse(text, backbone_of(backbone).view)


@app.command("list", epilog="Example: gzfeatures list backbones --verbose")
@writes()
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all fields.")] = False,
    as_json: Json = False,
) -> None:
    """List backbones, heads, class schemes or networks with licence, source and dimension."""
    items: list[dict[str, Any]]
    brief: tuple[str, ...]
    if kind == "backbones":
        from gzfeatures.features.backbones import BACKBONES, model_card

        # only backbones that come with gzfeatures have a model card
        cards = {entry.name: card for entry in BACKBONES.values() if (card := model_card(entry))}
        items = [{**entry.asdict(), "card": cards.get(entry.name)} for entry in BACKBONES.values()]
        brief = ("name", "architecture", "dim", "layer", "licence", "source")
    elif kind == "heads":
        from gzfeatures.heads.estimators.registry import HEADS

        items = [entry.asdict() for entry in HEADS.values()]
        brief = ("name", "task", "about")
    elif kind == "schemes":
        from gzfeatures.galaxies.labels.schemes import SCHEMES

        items = [
            {
                "name": name,
                "target": entry.target,
                "classes": list(entry.classes),
                "source": entry.source,
            }
            for name, entry in SCHEMES.items()
        ]
        brief = ("name", "target", "classes")
    else:
        from gzfeatures.networks.models.architectures import NETWORKS

        # torchvision has too many classifiers to list, so only mention them
        items = [{"name": name, **dataclasses.asdict(entry)} for name, entry in NETWORKS.items()]
        brief = ("name", "size", "bands", "source")
        say("and every classifier of torchvision by its name there, such as resnet18 or googlenet")
    # without --verbose, show only the few columns that help to choose
    if not (verbose or as_json):
        items = [{key: item[key] for key in brief} for item in items]
    show({"items": items}, as_json)
    if verbose and kind == "backbones" and not as_json:
        for card in cards.values():
            show_markdown(card.read_text(encoding="utf-8"))


def _one_table(arguments: Given) -> list[Path]:
    """Return the path of a single table; names of several tables depend on their extractors."""
    several = any(len(arguments[name] or ()) > 1 for name in ("backbone", "layer", "view"))
    return [] if several else [arguments["output"]]


@app.command(epilog="Example: gzfeatures extract images/ -o table.parquet")
@writes("output", beside=_one_table, known=False)
@reads_images
def extract(
    reading: Reading,
    source: Source,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Embedding table to write (Parquet); a folder for several tables.",
        ),
    ],
    images: MaybeImages = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Name from 'list backbones', or a checkpoint folder; repeat for more. Default: "
                "googlenet-gz2."
            )
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file, or 'none' for random weights.")
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Layer of the network, or several joined by +; repeat for more tables."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(
            help="Pixels that the network sees, e.g. size=128,crop=0.566,grey=true; repeat for "
            "more."
        ),
    ] = None,
    pixel_scale: PixelScale = None,
    petrosian: Petrosian = None,
    dihedral: Annotated[
        bool,
        typer.Option(
            "--dihedral", help="Average the embeddings over mirror images and quarter turns."
        ),
    ] = False,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8"],
        typer.Option(help="Numerical precision of the network."),
    ] = "auto",
    runtime: Annotated[
        Literal["auto", "torch", "openvino"],
        typer.Option(help="Library that runs the network on a CPU."),
    ] = "auto",
    device: Device = "auto",
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="Compute on this machine, or on a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster; default: start one on this machine."),
    ] = None,
    on_bad: Annotated[
        Literal["raise", "skip"],
        typer.Option(help="At a bad image, stop, or skip and list the image."),
    ] = "raise",
    id_column: IdColumn = None,
    as_json: Json = False,
) -> None:
    """Compute the embedding of every image with a backbone, and write the embedding table.

    Several backbones, layers or views give a table for every combination; each image is still
    decoded once.
    """
    from gzfeatures.features.backbones import DEFAULT
    from gzfeatures.features.store import Store
    from gzfeatures.networks.extraction.extract import write_all
    from gzfeatures.networks.extraction.spec import Extraction

    cached = Store.default()
    extractions = [
        Extraction(
            name,
            weights=weights,
            layer=node,
            view=_view_of(name, text),
            dihedral=dihedral,
            precision=precision,
            runtime=runtime,
            device=device,
            engine=engine,
            address=address,
            on_bad=on_bad,
            store=cached,
            progress=Terminal(),
        )
        for name, node, text in itertools.product(
            backbone or (DEFAULT,), layer or (None,), view or (None,)
        )
    ]
    paths = [output]
    if len(extractions) > 1:
        paths = [output / _file_name(each.extractor) for each in extractions]
    # names of several tables contain the extractor's fingerprint, so check them only now
    outputs.allow(paths, output if len(paths) > 1 else None)
    crops = (pixel_scale, petrosian)
    image_set = images_of(source, images, on_bad, id_column, reading, crops)
    tables = write_all(extractions, image_set, paths)
    rows = [_table_row(table, with_extractor=as_json) for table in tables]
    _say_how_many(rows[0]["nothing_shown"])
    say(f"written to {output}")
    brief = [key for key in rows[0] if key not in ("nothing_shown", "framing")]
    result = rows[0] if len(rows) == 1 else {"tables": rows}
    show(result, as_json, hide=("nothing_shown", "framing"), columns=brief)


def _table_row(table: WrittenTable, with_extractor: bool) -> dict[str, Any]:
    """Return what is printed about one written table: size, cost and galaxies left out."""
    row: dict[str, Any] = {
        "rows": len(table),
        "dim": table.extractor.dim,
        **dataclasses.asdict(table.made),
        "skipped": [{"id": name, "reason": reason} for name, reason in table.skipped],
        "nothing_shown": _pairs(table.nothing_shown),
        "table": table.path,
    }
    row |= {"framing": table.framing} if table.framing else {}
    # the extractor has dozens of fields, which are useful for scripts only
    return {**row, "extractor": table.extractor.asdict()} if with_extractor else row


def _pairs(listed: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return (id, reason) pairs as rows for JSON."""
    return [{"id": name, "reason": reason} for name, reason in listed]


def _say_how_many(empty: Sized) -> None:
    """Print how many images show no galaxy, if they are too many to list."""
    if len(empty) > MOST_LINES:
        say(f"warning: {len(empty)} images in all show no galaxy (--json lists them)")


def _file_name(extractor: Extractor) -> str:
    """Return a unique and readable file name for one of several tables."""
    network = f"{Path(extractor.backbone).name}-{extractor.layer}"
    name = f"{network}-{extractor.view.size}px-{extractor.fingerprint[:8]}.parquet"
    return name.replace("/", "_")


def _heads(arguments: Given) -> list[Path]:
    from gzfeatures.experiment.candidates import named
    from gzfeatures.experiment.config import HeadChoice

    if arguments["sizes"] is not None:
        from gzfeatures.experiment.label_sizes import FILES

        return [arguments["output"] / name for name in FILES]
    return named(
        arguments["output"], [HeadChoice(name=name) for name in dict.fromkeys(arguments["head"])]
    )


@app.command(
    epilog=(
        "Example: gzfeatures fit table.parquet --labels labels.csv --head svm --head xgboost; "
        "of a number: gzfeatures fit table.parquet --labels sample.fits --target redshift "
        "--head ridge --head svr"
    )
)
@writes(folder="output", beside=_heads)
def fit(
    table: TableFile,
    labels: LabelsFile,
    head: Annotated[
        list[str],
        typer.Option("--head", "-H", help="Name from 'list heads'; repeat for more."),
    ],
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", help="Choose parameters by cross-validation on the training galaxies."
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set a parameter of all heads: C=3, class_weight.cigar=5; repeat for more.",
        ),
    ] = None,
    others: MoreTables = None,
    catalog: ColumnsOf = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column", help="Catalog column that heads also read, e.g. redshift; repeat for more."
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            help="Number of parameter combinations tried at the same time; -1 = one per core."
        ),
    ] = 1,
    seed: Seed = 0,
    allow_seen: Annotated[
        bool,
        typer.Option(
            "--allow-seen",
            help="Also score galaxies that the backbone was trained on; marks the scores as "
            "unfair.",
        ),
    ] = False,
    coverage: Coverage = None,
    sets_by: Annotated[
        Literal["threshold", "raps"],
        typer.Option(
            "--sets",
            help="Method of the class sets: threshold, or raps, which also uses the rank of "
            "each class.",
        ),
    ] = "threshold",
    sizes: Sizes = None,
    with_curve: WithCurve = None,
    group_arcsec: GroupArcsec = NEAR_ARCSEC,
    near_duplicates: Near = False,
    target: TargetName = None,
    redshift: IsRedshift = None,
    as_number: AsNumber = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the heads.")] = Path(
        "heads"
    ),
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Fit heads on the training galaxies, score them on the test galaxies, and save them."""
    from gzfeatures.experiment.candidates import FitOptions, fit_heads
    from gzfeatures.experiment.config import HeadChoice, with_settings
    from gzfeatures.experiment.label_sizes import measure_heads, sizes_of
    from gzfeatures.features.table import EmbeddingTable

    require_sizes(sizes, with_curve)
    columns_of = None if catalog is None else catalog_from(catalog, id_column)
    number = target_column(target, redshift, as_number)
    if number is None:
        labels_and_column = labels_from(labels, missing_label, label_as_is, id_column)
    else:
        labels_and_column = numbers_from(labels, number, columns_of, id_column)
    paths = (table, *(others or ()))
    # a table may have many more galaxies than the labels, so read only labelled ones
    tables = [EmbeddingTable.open(path).having(labels_and_column[0].ids) for path in paths]
    fit_labels, split = labels_and_split(
        labels,
        labels_and_column,
        seed,
        tables[0].ids,
        () if allow_seen else [each.seen_ids for each in tables],
        grouping=_grouping(tables[0], near_duplicates),
        catalog=columns_of,
        arcsec=group_arcsec,
        id_column=id_column,
    )
    # a column such as a vote fraction reveals the class, and the score would mean nothing
    warnings = _telling(columns_of, columns, fit_labels, split, seed)
    # use the same settings for every head
    parameters = with_settings({}, settings or ())
    choices = [HeadChoice(name=name, tune=tune, parameters=parameters) for name in head]
    options = FitOptions(
        folder=output,
        seed=seed,
        columns=tuple(columns or ()),
        jobs=jobs,
        allow_seen=allow_seen,
        coverage=0.9 if coverage is None else coverage,
        sets_by=sets_by,
        progress=Terminal(),
    )
    if sizes is not None:
        wanted = sizes_of(sizes)
        curve = measure_heads(tables, fit_labels, split, choices, options, wanted, columns_of)
        return show_sizes(curve, with_curve, fit_labels, output, as_json)
    fitted = fit_heads(tables, fit_labels, split, choices, options, catalog=columns_of)
    if number is None:
        _show_heads(fitted, warnings, as_json)
    else:
        _show_numbers(fitted, warnings, as_json)


def _grouping(table: EmbeddingTable, near_duplicates: bool) -> Grouping:
    """Return the groups of a table's galaxies that a split must not separate."""
    if not near_duplicates:
        return table.grouping
    from gzfeatures.explore.neighbours import twin_groups
    from gzfeatures.features.trained_on import picture_groups
    from gzfeatures.galaxies.splits.groups import NEAR_DUPLICATES, merge

    # find duplicates by embeddings and, if the table has them, by picture hashes
    alike = {} if table.pictures is None else picture_groups(table.ids, table.pictures)
    return table.grouping.joined(NEAR_DUPLICATES, merge(twin_groups(table), alike))


def _telling(
    catalog: Catalog | None,
    columns: list[str] | None,
    labels: Labels,
    split: Split,
    seed: int,
) -> list[str]:
    """Print a warning for each catalog column that reveals the class."""
    if catalog is None or not columns:
        return []
    from gzfeatures.heads.label_leaks import telling_columns

    warnings = telling_columns(catalog, columns, labels, split.train, seed)
    for line in warnings:
        say(f"warning: {line}; the scores say nothing about images")
    return warnings


def _show_heads(fitted: list[tuple[Candidate, Path]], warnings: list[str], as_json: bool) -> None:
    """Print scores, costs and class sets of heads."""
    from gzfeatures.evaluation.candidate import assumptions

    # heads of the same fit share most notes, so print each note once
    notes = (note for candidate, _ in fitted for note in candidate.calibration.get("notes", ()))
    for note in (*dict.fromkeys(notes), *assumptions(each for each, _ in fitted)):
        say(f"note: {note}")
    rows: list[dict[str, Any]] = [
        {
            "head": candidate.head,
            **candidate.scores.metrics,
            **{f"{step}_seconds": seconds for step, seconds in candidate.seconds.items()},
            "dagger": candidate.contaminated,
            "params": candidate.parameters,
            "sets": candidate.calibration.get("sets"),
            "path": path,
        }
        for candidate, path in fitted
    ]
    brief = [key for key in rows[0] if key != "sets"]
    show({"heads": rows, "warnings": warnings}, as_json, hide=("warnings",), columns=brief)
    if not as_json:
        sets = [_coverage(row["head"], row["sets"]) for row in rows if row["sets"]]
        show({"class_sets": sets}, as_json)


def _show_numbers(fitted: list[tuple[Candidate, Path]], warnings: list[str], as_json: bool) -> None:
    """Print the scores of heads on one number, with those of the median and the mean."""
    from gzfeatures.experiment.candidates import picture_beside

    notes = (note for candidate, _ in fitted for note in candidate.calibration.get("notes", ()))
    for note in dict.fromkeys(notes):
        say(f"note: {note}")
    rows: list[dict[str, Any]] = [
        {
            "head": candidate.head,
            **candidate.scores.metrics,
            "intervals": candidate.scores.intervals,
            "baselines": candidate.scores.baselines,
            "n": candidate.scores.n,
            "target": candidate.scores.classes[0],
            "kind": candidate.scores.kind,
            **{f"{step}_seconds": seconds for step, seconds in candidate.seconds.items()},
            "dagger": candidate.contaminated,
            "params": candidate.parameters,
            "prediction_intervals": candidate.calibration.get("intervals"),
            "picture": picture_beside(path),
            "path": path,
        }
        for candidate, path in fitted
    ]
    if as_json:
        show({"heads": rows, "warnings": warnings}, as_json)
        return
    scores = fitted[0][0].scores
    table = [_number_row(row["head"], row, row["intervals"]) for row in rows]
    table += [
        _number_row(f"{name} of the training galaxies", metrics, {})
        for name, metrics in scores.baselines.items()
    ]
    show({f"{scores.classes[0]}_of_{scores.n}_test_galaxies": table}, as_json)
    promised = [
        {
            "head": row["head"],
            "promised": f"{report['promised']:.0%}",
            "held": _percent(report),
            "median width": report["width"],
        }
        for row in rows
        if (report := row["prediction_intervals"])
    ]
    show({"prediction_intervals": promised, "files": [str(row["path"]) for row in rows]}, as_json)


def _number_row(
    name: str | None, metrics: dict[str, Any], intervals: dict[str, tuple[float, float]]
) -> dict[str, str]:
    """Return a row of scores of predicted numbers, with intervals where they are known."""
    from gzfeatures.evaluation.statistics.residuals import VALUE_METRICS

    row = {"head": str(name)}
    for metric in VALUE_METRICS:
        row[metric] = f"{metrics[metric]:.4g}"
        if metric in intervals:
            low, high = intervals[metric]
            row[metric] += f" ({low:.3g} to {high:.3g})"
    return row


def _percent(row: dict[str, Any]) -> str:
    """Return a measured share and its interval in percent."""
    low, high = row["interval"]
    return f"{row['reached']:.1%} ({low:.0%}–{high:.0%})"


def _coverage(head: str | None, sets: dict[str, Any]) -> dict[str, Any]:
    """Return the measured coverage of class sets, overall and for the class with the lowest."""
    # a class without test galaxies has no measured coverage
    measured = [row for row in sets["per_class"] if row["n"]]
    worst = min(measured, key=lambda row: row["reached"])

    return {
        "head": head,
        "promised": f"{sets['promised']:.0%}",
        "held": _percent(sets),
        "rarest held": f"{worst['class']} {_percent(worst)}",
        "classes a set": f"{sets['size']:.2f}",
        "one class": f"{sets['single']:.0%}",
    }


def _require_use_of(view: str | None, scheme: str | None, head: Path, table: Path) -> None:
    """Refuse options that would have no effect on the given head and table."""
    # a table already has its vectors, and a network its own view
    if view is not None and (head.is_dir() or table.suffix in TABLES):
        raise typer.BadParameter("it goes with images and a head", param_hint="--view")
    if scheme is not None and head.is_dir():
        raise typer.BadParameter(
            "it goes with a backbone's heads, not a checkpoint", param_hint="--scheme"
        )


def _require_use_of_crops(
    crops: tuple[str | None, str | None], view: str | None, catalog: Path | None, table: Path
) -> None:
    """Refuse crop options without images or without a catalog, or together with another view."""
    require_catalog_of_crops(crops, has_catalog=catalog is not None)
    if crops == (None, None):
        return
    # a table already contains vectors, so no image is cut
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
            min=0, max=1, help="Galaxies with a smaller familiarity_p get an empty class set."
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
    )
    answer = _by_network(head, table, options)
    if answer is None:
        answer = _by_head(head, table, options)
    # compare the whole table with the head's kept-out galaxies before writing anything
    corrected, comparison = compared(
        answer.kept,
        answer.predictions,
        answer.sample,
        priors == "unlabelled",
        "network" if head.is_dir() else "head",
    )
    corrected.write(output)
    say(f"predictions written to {output}")
    result = corrected.summary | comparison
    if answer.blank is not None:
        result["nothing_shown"] = answer.blank
        result["skipped"] = [{"id": name, "reason": reason} for name, reason in answer.skipped]
    if answer.familiarity is not None and answer.familiarity.why_none_flagged:
        say(f"note: {answer.familiarity.why_none_flagged}")
    # class sets promise coverage for uncorrected probabilities, so measure them with these
    if labels is not None and answer.predictions.is_value:
        result["measured"] = _measured_numbers(answer.predictions, labels, id_column)
    elif labels is not None:
        true_labels = labels_from(labels, missing_label, label_as_is, id_column)[0]
        result["sets"] = _held_elsewhere(answer.predictions, true_labels, labels, answer.sets)
    show(result, as_json, hide=("sets", "shift", "nothing_shown", "skipped"))
    if "sets" in result and not as_json:
        show({"class_sets": [_coverage(head.stem, result["sets"])]}, as_json)


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

    def images(self, source: Path, on_bad: Literal["raise", "skip"]) -> ImageSet:
        """Open the images to predict, cropped by the catalog's scales and radii if given."""
        images = images_of(source, None, on_bad, reading=self.reading)
        if self.catalog is None or self.crops == (None, None):
            return images
        return framed(images, catalog_from(self.catalog, self.id_column), self.crops)


@dataclasses.dataclass(frozen=True)
class _Answer:
    """Hold predictions of a table or of images, with what is needed to judge them.

    `kept` holds what is known of galaxies kept out of training; `blank` is None where no image was
    read.
    """

    predictions: Predictions
    sets: Conformal | None
    familiarity: Familiarity | None
    kept: Head | OutputCalibration
    sample: TableSample | None = None
    blank: list[dict[str, str]] | None = None
    skipped: tuple[tuple[str, str], ...] = ()


def _by_network(path: Path, source: Path, options: _PredictOptions) -> _Answer | None:
    """Predict by a fine-tuned network in a folder; None if the path is no folder."""
    if not path.is_dir():
        return None
    from gzfeatures.cli.shift_notes import sample_for
    from gzfeatures.networks.inference.output_calibration import calibration_of
    from gzfeatures.networks.inference.probabilities import classify

    images = options.images(source, "raise")
    calibration = calibration_of(path)
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
    _say_how_many(empty)
    if options.coverage is not None:
        calibration = calibration.promising(options.coverage)
    familiarity = calibration.familiarity
    return _Answer(predictions, calibration.sets, familiarity, calibration, sample, _pairs(empty))


def _by_head(path: Path, table: Path, options: _PredictOptions) -> _Answer:
    """Predict by a saved head, from images, from several tables, or from one table in parts."""
    from gzfeatures.cli.shift_notes import sample_for
    from gzfeatures.evaluation.predictions import Predictions
    from gzfeatures.experiment.prediction import find_head
    from gzfeatures.features.table import EmbeddingTable

    is_table = table.suffix in TABLES
    of = EmbeddingTable.open(table).extractor if is_table else None
    head = find_head(path, options.scheme, of)
    if options.coverage is not None:
        head = head.promising(options.coverage)
    sample = sample_for(head)
    if not is_table:
        return _of_images(head, table, options, sample)
    if options.others or options.catalog:
        tables = [EmbeddingTable.read(each) for each in (table, *options.others)]
        columns = None
        if options.catalog is not None:
            columns = catalog_from(options.catalog, options.id_column)
        predictions = head.predict(tables, columns, unfamiliar=options.unfamiliar, sample=sample)
    else:
        # predict in parts, because one table may be larger than memory
        parts = [
            head.predict(batch, unfamiliar=options.unfamiliar, sample=sample)
            for batch in EmbeddingTable.open(table).batches()
        ]
        # a table without rows has no parts, so predict the empty table to get its classes
        predictions = Predictions.joined(parts or [head.predict(EmbeddingTable.read(table))])
    return _Answer(predictions, head.sets, head.familiarity, head, sample)


def _of_images(
    head: Head, source: Path, options: _PredictOptions, sample: TableSample | None
) -> _Answer:
    """Predict images, whose vectors are extracted by the head's own extractor."""
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
    blank = _pairs(vectors.nothing_shown)
    _say_how_many(blank)
    predictions = head.predict(
        vectors, unfamiliar=options.unfamiliar, any_crop=framing is not None, sample=sample
    )
    return _Answer(
        predictions, head.sets, head.familiarity, head, sample, blank, tuple(vectors.skipped)
    )


def _measured_numbers(
    predictions: Predictions, path: Path, id_column: str | None
) -> dict[str, Any]:
    """Score predicted numbers of labelled galaxies that were not trained on."""
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

    # leave out training galaxies, because their scores would look too good
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


@app.command(epilog="Example: gzfeatures store prune --unused-days 90")
@writes()
def store(
    action: Annotated[
        Literal["show", "prune", "import"],
        typer.Argument(help="Show entries, remove some, or import the entries of another store."),
    ],
    source: Annotated[
        Path | None, typer.Argument(help="With import: folder of the other store.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="With prune: remove entries of this backbone.")
    ] = None,
    unused_days: Annotated[
        float | None,
        typer.Option(min=0, help="With prune: remove entries unused for this many days; 0 = all."),
    ] = None,
    max_gb: Annotated[
        float | None,
        typer.Option(
            min=0, help="With prune: remove the least recently used entries above this size."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which embeddings are cached, remove some, or import those of another store.

    An import reads embeddings only, never code.
    """
    from gzfeatures import user_folders
    from gzfeatures.features.store import Store
    from gzfeatures.features.store_import import import_vectors
    from gzfeatures.networks.compilation import code_folder

    # refuse an option without effect, because it would hide a mistake
    if (source is None) == (action == "import"):
        raise typer.BadParameter("it goes with import, which needs it", param_hint="SOURCE")
    if action != "prune" and (backbone, unused_days, max_gb) != (None, None, None):
        raise typer.BadParameter(
            "it goes with prune", param_hint="--backbone, --unused-days or --max-gb"
        )
    cached, code = Store.default(), user_folders.compiled()
    result: dict[str, Any] = {}
    if source is not None:
        imported = import_vectors(cached, source)
        for line in (line for each in imported for line in each.refused):
            say(f"left out: {line}")
        result["imported"] = [dataclasses.asdict(each) for each in imported]
    if action == "prune":
        size = None if max_gb is None else int(max_gb * 1e9)
        removed = cached.prune(backbone=backbone, unused_days=unused_days, max_bytes=size)
        result["removed"] = [dataclasses.asdict(entry) for entry in removed]
        # remove the compiled network of an extractor together with its embeddings
        number, freed = code_folder.prune(
            code, [entry.fingerprint for entry in removed], unused_days
        )
        result["removed_code"] = {"files": number, "bytes": freed}
    result["entries"] = [dataclasses.asdict(entry) for entry in cached.show()]
    number, space = code_folder.disk_use(code)
    result["compiled"] = {"folder": code, "files": number, "bytes": space}
    show({"store": cached.root, **result}, as_json)
