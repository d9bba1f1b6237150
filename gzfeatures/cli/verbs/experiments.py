"""Define the commands about whole experiments: demo, new, run, compare, record, ui."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from gzfeatures.brief import quote
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.options import Json, MaybeImages
from gzfeatures.cli.texts.ranking import print_ranking, print_tests
from gzfeatures.cli.writing import writes
from gzfeatures.errors import NotFirstProcess
from gzfeatures.files import lock_folder
from gzfeatures.progress import Terminal

if TYPE_CHECKING:
    from gzfeatures.experiment.config import Experiment
    from gzfeatures.tracking import Tracking

Uri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri", help="MLflow tracking address; default: $MLFLOW_TRACKING_URI, or mlruns/."
    ),
]
Upgrade = Annotated[
    bool,
    typer.Option("--upgrade", help="Upgrade a database of an older MLflow, after making a copy."),
]


class WithKeys(TyperCommand):
    """List the keys of an experiment file below the help of a command."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write a command's example into its help, then explain the keys of an experiment file."""
        # import only here: this import loads pydantic, which slows the start of other commands
        from gzfeatures.experiment.config import Experiment
        from gzfeatures.experiment.settings.key_reference import key_lines

        super().format_epilog(ctx, formatter)
        with formatter.section("Keys of the experiment file"):
            formatter.write_dl(
                [
                    (key, f"{meaning} ({kind}{default and f'; {default}'})")
                    for key, kind, default, meaning in key_lines(Experiment)
                ]
            )


Again = Annotated[
    bool,
    typer.Option("--again", help="Train and extract again, even if the run folder holds results."),
]


def tracking_at(uri: str | None, upgrade: bool) -> Tracking:
    """Open the MLflow database in which runs are recorded, and print its address."""
    from gzfeatures.tracking import Tracking

    tracking = Tracking(uri, upgrade=upgrade, progress=Terminal())
    say(f"recorded in {tracking.uri}")
    for note in tracking.notes:
        say(note)
    return tracking


def _do(
    experiment: Experiment,
    folder: Path | None,
    uri: str | None,
    upgrade: bool,
    again: bool,
    pixel_gb: float | None = None,
    *,
    as_json: bool,
) -> None:
    """Run an experiment, and print its ranking of networks and heads and its folder."""
    from gzfeatures.experiment.run import run as run_experiment
    from gzfeatures.galaxies.splits.split_file import moved_text
    from gzfeatures.tracking.later.recorder import Recorder

    place = folder or Path("runs") / experiment.name
    recorder = Recorder.at(
        uri,
        experiment.name,
        upgrade=upgrade,
        progress=Terminal(),
        remedy=f"gzfeatures record {place}",
    )
    lock_folder(place, say)
    try:
        finished = run_experiment(
            experiment,
            folder=place,
            tracker=recorder,
            again=again,
            progress=Terminal(),
            pixel_gb=pixel_gb,
        )
    except NotFirstProcess:
        raise typer.Exit from None
    say(str(finished.report.provenance["grouped"]))
    if experiment.galaxies.target is not None:
        for reason, number in finished.report.provenance["left_out"].items():
            say(f"{number} galaxies are left out: {experiment.galaxies.target} {reason}")
    moved = finished.report.provenance.get("moved", [])
    if moved:
        say(moved_text(moved))
    if not as_json:
        ranking, n = finished.report.comparison, len(finished.report.ranked[0][1].predictions)
        print_ranking(ranking, n)
    say(f"{finished.report.headline}\n{finished.report.summary}")
    if finished.label_sizes is not None:
        say(finished.label_sizes.answer())
    show(finished.asdict(), as_json, hide=("pairings",))
    say(f"everything of the run is in {place}")
    say_next("open the report and the map in a browser", "gzfeatures ui")


@app.command(epilog="Example: gzfeatures demo -o demo/")
@writes(folder="output", verb="run")
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for all files of the demo.")
    ] = Path("runs/demo"),
    galaxies: Annotated[int, typer.Option(min=200, help="Number of galaxies to draw.")] = 1000,
    tracking_uri: Uri = None,
    upgrade: Upgrade = False,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Run a whole experiment on a simulated survey, without a download (5 minutes of one core)."""
    from gzfeatures.experiment.demo import experiment

    settings = experiment(output / "survey", galaxies, progress=Terminal())
    _do(settings, output, tracking_uri, upgrade, again, as_json=as_json)


@app.command(epilog="Example: gzfeatures new mine.toml --images images/ --labels labels.csv")
@writes("experiment")
def new(
    experiment: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="Experiment file to write (TOML).")
    ],
    images: MaybeImages = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels CSV; no catalog is needed beside it."),
    ] = None,
    catalog: Annotated[
        Path | None,
        typer.Option(help="Catalog with votes, to label by a scheme; or more columns of labels."),
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="Class scheme of the catalog; default: zhu-5class.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a commented experiment file that runs, for galaxies with images and labels."""
    from gzfeatures.verbs.experiments import new as write_experiment

    # overwrite without asking: `writes` has already tested whether the file may be replaced
    written = write_experiment(experiment, images, labels, catalog, scheme=scheme, overwrite=True)
    if as_json:
        show({"experiment": written}, as_json)
    say(f"experiment written to {written}")
    if images is None or (labels is None and catalog is None):
        say("edit the lines that are marked EDIT")
    say_next(f"gzfeatures run {quote(experiment)}")


@app.command(
    cls=WithKeys,
    epilog="Example: gzfeatures run experiments/gz2_zhu5.toml --set galaxies.images=images/",
)
@writes("output", resumes="experiment", verb="run", known=False)
def run(
    experiment: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT", help="Experiment file (TOML), or the folder of an earlier run."
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a setting: key=value, with dots in nested keys; repeat for more."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder; default: runs/<name>.")
    ] = None,
    tracking_uri: Uri = None,
    upgrade: Upgrade = False,
    again: Again = False,
    pixel_gb: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Most GB of decoded pixels kept on disk during the run, so that each image is "
            "read once; 0 keeps none; default: 8.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an experiment: train, extract, fit, score and compare all candidates on one split."""
    from gzfeatures.experiment.config import load

    folder = experiment if output is None and experiment.is_dir() else output
    chosen = load(experiment, settings or ())
    _do(chosen, folder, tracking_uri, upgrade, again, pixel_gb, as_json=as_json)


@app.command(epilog="Example: gzfeatures compare runs/gz2-zhu5 runs/gz2-zhu5-larger")
@writes()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…", help="Run folders, or experiment files (TOML) of finished runs."
        ),
    ],
    metric: Annotated[
        str | None,
        typer.Option(
            help="Metric for the ranking and the tests, e.g. macro_f1; default: accuracy."
        ),
    ] = None,
    form: Annotated[
        Literal["latex", "csv", "markdown"] | None,
        typer.Option("--format", help="Print the ranking as a table for a paper."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the candidates of finished runs that share a split, with intervals and paired tests."""
    from gzfeatures.experiment.run import compare_runs, compared_encoders

    if form is not None and as_json:
        raise typer.BadParameter("leave out --json or --format: they print different things")
    comparison = compare_runs(runs, metric, say)
    if form is not None:
        from gzfeatures.paper.ranking_table import ranking_table

        typer.echo(ranking_table(comparison, form), nl=False)
        return
    pairs = compared_encoders(runs)
    if as_json:
        fields = comparison.asdict()
        result = {name: fields[name] for name in ("ranking", "tests", "winner")}
        show({**result, "encoders": [pair.asdict() for pair in pairs]}, as_json)
        return
    print_ranking(comparison)
    print_tests(comparison)
    show({"encoders": [pair.brief() for pair in pairs]}, as_json)
    finished = next((run for run in runs if run.is_dir()), Path("RUN"))
    say_next(f"gzfeatures figure {quote(finished)} --kind ranking -o ranking.pdf")


@app.command(epilog="Example: gzfeatures record runs/gz2-zhu5 --tracking-uri http://server:5000")
@writes(resumes="folder", verb="run")
def record(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER", help="Folder of a run, or of a training.")
    ],
    tracking_uri: Uri = None,
    upgrade: Upgrade = False,
    as_json: Json = False,
) -> None:
    """Record in MLflow a run or training that was not recorded when it ended; nothing twice."""
    from gzfeatures.verbs.experiments import record as record_run

    lock_folder(folder, say)
    show(record_run(folder, tracking_uri, upgrade=upgrade, progress=Terminal()), as_json)
    say_next("gzfeatures ui" + ("" if tracking_uri is None else f" --tracking-uri {tracking_uri}"))


@app.command(epilog="Example: gzfeatures ui --port 5000")
@writes()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    tracking_uri: Uri = None,
    upgrade: Upgrade = False,
) -> None:
    """Show the recorded runs in the MLflow UI on 127.0.0.1."""
    tracking = tracking_at(tracking_uri, upgrade)
    # print this now, because the MLflow server then takes the place of this process
    say_next(f"open http://127.0.0.1:{port} in a browser; Ctrl-C ends the page")
    tracking.ui(port, say)
