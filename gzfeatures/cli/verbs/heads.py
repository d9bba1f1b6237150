"""Define the command `fit`, which fits heads on embedding tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gzfeatures.brief import number_text, percent, quote
from gzfeatures.cli.campaigns import fit_campaign, is_campaign, require_no_sizes
from gzfeatures.cli.console import app, print_table, say, say_next, show
from gzfeatures.cli.inputs import (
    among_selected,
    catalog_from,
    labels_from,
    numbers_from,
    require_sizes_with_curve,
    show_sizes,
    sizes_and_curves,
    target_column,
)
from gzfeatures.cli.options import (
    AsNumber,
    ColumnsOf,
    Coverage,
    GroupArcsec,
    IdColumn,
    IsRedshift,
    Json,
    LabelAsIs,
    LabelsFile,
    MissingLabel,
    MoreTables,
    Near,
    Seed,
    Selection,
    Sizes,
    TableFile,
    TargetName,
    WithCurve,
)
from gzfeatures.cli.splitting import labels_and_split
from gzfeatures.cli.texts.ranking import few_galaxies, print_ranking
from gzfeatures.cli.writing import Given, writes
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.evaluation.comparison import Comparison
    from gzfeatures.experiment.config import HeadChoice
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.galaxies.catalogs.catalog import Catalog
    from gzfeatures.galaxies.labels.labels import Labels
    from gzfeatures.galaxies.splits.related_galaxies import Grouping
    from gzfeatures.galaxies.splits.split import Split


def _heads(arguments: Given) -> list[Path]:
    from gzfeatures.experiment.fitted_heads.files import named
    from gzfeatures.experiment.settings.approaches import HeadChoice

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
    selection: Selection = None,
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
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Also print the parameters of each head.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the heads.")] = Path(
        "heads"
    ),
    id_column: IdColumn = None,
    missing_label: MissingLabel = None,
    label_as_is: LabelAsIs = False,
    as_json: Json = False,
) -> None:
    """Fit heads on the training galaxies, score them on the test galaxies, and save them."""
    from gzfeatures.experiment.candidates import fit_heads
    from gzfeatures.experiment.fitted_heads.options import FitOptions
    from gzfeatures.experiment.label_sizes import measure_heads
    from gzfeatures.features.table import EmbeddingTable

    require_sizes_with_curve(sizes, with_curve)
    columns_of = None if catalog is None else catalog_from(catalog, id_column)
    number = target_column(target, redshift, as_number)
    labels_and_column = (
        labels_from(labels, missing_label, label_as_is, id_column)
        if number is None
        else numbers_from(labels, number, columns_of, id_column)
    )
    _require_heads(head, labels_and_column[0], None if sizes else output)
    # read only labelled galaxies, because a table may hold many more than the label file
    named = among_selected(labels_and_column[0].ids, selection)
    tables = [EmbeddingTable.open(path).having(named) for path in (table, *(others or ()))]
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
    # warn about columns, such as vote fractions, that reveal the class: scores would mean nothing
    warnings = _telling(columns_of, columns, fit_labels, split, seed)
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
    inputs = (tables, fit_labels, split, _choices(head, tune, settings), options)
    heads_shown = partial(_show_heads, labels=fit_labels, split=split, parameters=parameters)
    if number is None and is_campaign(fit_labels, labels, id_column):
        require_no_sizes(sizes)
        return fit_campaign(*inputs, columns_of, heads_shown, as_json)
    if sizes is not None:
        wanted, curves = sizes_and_curves(sizes, with_curve, fit_labels)
        return show_sizes(measure_heads(*inputs, wanted, columns_of), curves, output, as_json)
    shown = heads_shown if number is None else partial(_show_numbers, labels=fit_labels)
    shown(fit_heads(*inputs, catalog=columns_of), warnings, as_json)


def _require_heads(heads: list[str], labels: Labels, folder: Path | None) -> None:
    """Refuse heads that cannot learn these labels, or would overwrite heads for other classes."""
    from gzfeatures.experiment.fitted_heads.replacing import require_same_target
    from gzfeatures.heads.fit import suited

    # check the heads before a split is drawn: a refused command must not leave a new split file
    # beside the label file
    for name in heads:
        suited(name, labels)
        if folder is not None:
            require_same_target(folder / f"{name}.skops", labels)


def _choices(heads: list[str], tune: bool, settings: list[str] | None) -> list[HeadChoice]:
    """Return the heads to fit, each with the same settings."""
    from gzfeatures.experiment.config import HeadChoice, with_settings

    parameters = with_settings({}, settings or ())
    return [HeadChoice(name=name, tune=tune, parameters=parameters) for name in heads]


def _grouping(table: EmbeddingTable, near_duplicates: bool) -> Grouping:
    """Return the groups of a table's galaxies that a split must not separate."""
    if not near_duplicates:
        return table.grouping
    from gzfeatures.explore.duplicates import near_duplicate_groups
    from gzfeatures.features.trained_on import picture_groups
    from gzfeatures.galaxies.splits.related_galaxies import NEAR_DUPLICATES, merge

    # find near duplicates by embeddings and, if the table has them, also by picture hashes
    alike = {} if table.pictures is None else picture_groups(table.ids, table.pictures)
    return table.grouping.joined(NEAR_DUPLICATES, merge(near_duplicate_groups(table), alike))


def _telling(
    catalog: Catalog | None,
    columns: list[str] | None,
    labels: Labels,
    split: Split,
    seed: int,
) -> list[str]:
    """Print a warning for each catalog column that reveals the class of the galaxies."""
    if catalog is None or not columns:
        return []
    from gzfeatures.heads.label_leaks import telling_columns

    warnings = telling_columns(catalog, columns, labels, split.train, seed)
    for line in warnings:
        say(f"warning: {line}; the scores say nothing about images")
    return warnings


def _show_heads(
    fitted: list[tuple[Candidate, Path]],
    warnings: list[str],
    as_json: bool,
    more: Mapping[str, Any] = {},
    *,
    labels: Labels,
    split: Split,
    parameters: bool,
) -> None:
    """Print the heads' scores and fit times, and how often class sets contain the true class."""
    from gzfeatures.evaluation.candidate import assumptions

    # heads fitted to the same labels have most notes in common, so print each note once
    notes = (note for candidate, _ in fitted for note in candidate.calibration.get("notes", ()))
    for note in (*dict.fromkeys(notes), *assumptions(each for each, _ in fitted)):
        say(f"note: {note}")
    # `more` is not empty if the labels come from the page of `teach`: then `fit_campaign` has
    # already checked that enough galaxies are labelled, so print no warning here
    for line in () if more else few_galaxies(fitted[0][0].scores.n, len(split.validation)):
        say(f"warning: {line}")
    rows: list[dict[str, Any]] = [
        {
            "head": candidate.head,
            **candidate.scores.metrics,
            **{f"{step}_seconds": seconds for step, seconds in candidate.seconds.items()},
            "n": candidate.scores.n,
            "intervals": candidate.scores.intervals,
            "dagger": candidate.contaminated,
            "params": candidate.parameters,
            "sets": candidate.calibration.get("sets"),
            "path": path,
        }
        for candidate, path in fitted
    ]
    if as_json:
        show({"heads": rows, "warnings": warnings, **more}, as_json)
        return
    from gzfeatures.evaluation.comparison import compare

    comparison = compare([candidate for candidate, _ in fitted], labels)
    print_ranking(comparison, rows[0]["n"], names=[str(row.head) for row in comparison.ranking])
    if parameters:
        print_table([{"head": row["head"], "parameters": row["params"]} for row in rows])
    sets = [coverage_row(row["head"], row["sets"]) for row in rows if row["sets"]]
    show({"class_sets": sets}, as_json)
    _say_written(rows, comparison)


def _say_written(rows: list[dict[str, Any]], comparison: Comparison) -> None:
    """Print where the heads are written, and the command to predict with the best of them."""
    say(f"heads written to {', '.join(str(row['path']) for row in rows)}")
    best = next(row["path"] for row in rows if row["head"] == comparison.ranking[0].head)
    say_next(f"gzfeatures predict {quote(best)} TABLE -o predictions.csv")


def _show_numbers(
    fitted: list[tuple[Candidate, Path]], warnings: list[str], as_json: bool, labels: Labels
) -> None:
    """Print how well heads predict a number, beside the training galaxies' median and mean."""
    from gzfeatures.evaluation.comparison import compare
    from gzfeatures.experiment.fitted_heads.files import picture_beside

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
        return show({"heads": rows, "warnings": warnings}, as_json)
    comparison = compare([candidate for candidate, _ in fitted], labels)
    scores = fitted[0][0].scores
    say(f"{scores.classes[0]}, scored on numbers that no head has seen:")
    print_ranking(comparison, scores.n, names=[str(row.head) for row in comparison.ranking])
    for name, metrics in scores.baselines.items():
        reached = number_text(metrics[comparison.metric], comparison.metric)
        typer.echo(f"the {name} of the training galaxies alone would have {reached}")
    promised = [
        {
            "head": row["head"],
            "promised": percent(report["promised"]),
            "held": _percent(report),
            "median width": f"{report['width']:.3g}",
        }
        for row in rows
        if (report := row["prediction_intervals"])
    ]
    show({"prediction_intervals": promised}, as_json)
    pictures = [str(row["picture"]) for row in rows if row["picture"] is not None]
    if pictures:
        say(f"predicted against true numbers drawn in {', '.join(pictures)}")
    _say_written(rows, comparison)


def _percent(row: dict[str, Any]) -> str:
    """Return, in percent, how many galaxies' class set or interval contains the true value."""
    low, high = row["interval"]
    return f"{row['reached']:.1%} ({low:.0%}–{high:.0%})".replace("100.0%", "100%")


def coverage_row(head: str | None, sets: dict[str, Any]) -> dict[str, Any]:
    """Return how often class sets hold the true class, in all and in the worst class, as a row."""
    # leave out classes without test galaxies, which have no measured coverage
    measured = [row for row in sets["per_class"] if row["n"]]
    worst = min(measured, key=lambda row: row["reached"])

    return {
        "head": head,
        f"hold {percent(sets['promised'])}": _percent(sets),
        "in the class held least": f"{worst['class']} {_percent(worst)}",
        "classes": f"{sets['size']:.2f}",
        "one class": f"{sets['single']:.0%}",
    }
