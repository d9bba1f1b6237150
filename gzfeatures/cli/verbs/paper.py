"""Define the commands that make parts of a paper from a finished run: figure, cite, methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from gzfeatures.brief import quote, wrapped
from gzfeatures.cli.console import app, say, say_next, show
from gzfeatures.cli.options import Json
from gzfeatures.cli.writing import Given, writes

FinishedFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Run folder, or experiment file (TOML) of a finished run."),
]


def _numbers(given: Given) -> Iterator[Path]:
    """Yield the path of the CSV file of a figure's numbers, which is written beside the figure."""
    from gzfeatures.paper.figure import numbers_beside

    yield numbers_beside(given["output"])


@app.command(
    epilog="Example: gzfeatures figure runs/gz2-zhu5 --kind ranking --journal aa -o fig.pdf"
)
@writes("output", beside=_numbers)
def figure(
    run: FinishedFolder,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Figure to write: .pdf, .svg, .eps or .png; its numbers go beside it, as .csv.",
        ),
    ],
    kind: Annotated[
        Literal["ranking", "confusion", "map", "reliability", "learning-curve", "gallery"],
        typer.Option(help="Content of the figure."),
    ] = "ranking",
    journal: Annotated[
        Literal["aastex", "mnras", "aa"], typer.Option(help="Journal whose widths are taken.")
    ] = "aastex",
    width: Annotated[
        Literal["column", "page"], typer.Option(help="Printed width of the figure.")
    ] = "column",
    candidate: Annotated[
        int, typer.Option(min=1, help="Rank of the candidate to show, where a figure shows one.")
    ] = 1,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most candidates of a ranking (default 12), or galaxies of a row (default: as "
            "many as fit).",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Images for the gallery; default: those that the run was made with."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a figure of a finished run for a journal, with its numbers and caption."""
    from gzfeatures.paper.figure import require_ending
    from gzfeatures.verbs.papers import figure as figure_of

    require_ending(output)
    drawn = figure_of(
        run,
        kind,
        journal=journal,
        width=width,
        candidate=candidate,
        count=count,
        images=images,
    )
    paths = drawn.write(output)
    show({"figure": paths[0], "numbers": paths[1], "caption": drawn.caption}, as_json)
    say_next(f"\\includegraphics{{{output.stem}}} as wide as it is, without scaling")


@app.command(epilog="Example: gzfeatures cite runs/gz2-zhu5 -o run.bib")
@writes("output")
def cite(
    run: FinishedFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="BibTeX file to write; default: stdout.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print BibTeX entries of the software, data, scheme and networks of a finished run."""
    from gzfeatures.verbs.papers import cite as citations_of

    found = citations_of(run)
    for note in found.unknown:
        say(f"note: {note}")
    if output is None and not as_json:
        typer.echo(found.bibtex(), nl=False)
        say_next("-o FILE.bib keeps it", f"gzfeatures methods {quote(run)} --format latex")
        return
    keys = [reference.key for reference in found.references]
    show(
        {"output": _written(found.bibtex(), output), "keys": keys, "unknown": list(found.unknown)},
        as_json,
    )
    say_next(f"gzfeatures methods {quote(run)} --format latex")


@app.command(epilog="Example: gzfeatures methods runs/gz2-zhu5 --format latex")
@writes("output")
def methods(
    run: FinishedFolder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: stdout.")
    ] = None,
    form: Annotated[
        Literal["text", "latex"],
        typer.Option("--format", help="Plain text, or LaTeX that cites the keys of 'cite'."),
    ] = "text",
    as_json: Json = False,
) -> None:
    """Print a methods paragraph on a finished run, with the run's own numbers."""
    from gzfeatures.verbs.papers import methods as methods_of

    text = methods_of(run, form)
    if output is None and not as_json:
        typer.echo(wrapped(text), nl=False)
    else:
        show({"output": _written(text, output), "text": text}, as_json)
    say_next(f"gzfeatures cite {quote(run)} -o run.bib")


def _written(text: str, output: Path | None) -> Path | None:
    """Write a text to a file, if the user named one, and return the file's path."""
    from gzfeatures.files import written_whole

    if output is not None:
        with written_whole(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return output
