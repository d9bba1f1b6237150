"""Print what a check of a catalog and its images found, with a verdict and the next command."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gzfeatures.brief import quote, wrapped
from gzfeatures.cli.console import say_next

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.checks import Examination
    from gzfeatures.galaxies.catalogs.column_report import Used
    from gzfeatures.images.image_check import ImageCheck

VOTES = re.compile(r"(?P<answer>.+) \((?P<source>.+ of .+)\)")
"""Pattern of a vote column's name: the answer, then in brackets the measure and the project."""
FIRST, MOST_COLUMNS = 5, 60
"""Largest number of galaxies and of columns to print by name."""


def print_columns(report: Examination) -> None:
    """Print a line for each catalog column that other commands use."""
    above = ""
    for used in report.used[:MOST_COLUMNS]:
        # vote columns have long names: print the beginning that they share (such as the Galaxy Zoo
        # project) once, above the lines of these columns
        votes = VOTES.fullmatch(used.name)
        if votes is None:
            typer.echo(wrapped(str(used)))
            continue
        if votes["source"] != above:
            above = votes["source"]
            typer.echo(f"{above}:")
        typer.echo(wrapped(f"  {_short(used, votes['answer'])}"))
    if len(report.used) > MOST_COLUMNS:
        typer.echo(
            f"… and {len(report.used) - MOST_COLUMNS} more columns of votes (all of them with "
            "--json)"
        )


def _short(used: Used, name: str) -> str:
    """Describe a column of votes in a line, with its range and first values to three decimals."""
    first = tuple(round(value, 3) if isinstance(value, float) else value for value in used.values)
    ends = [round(end, 3) if isinstance(end, float) else end for end in (used.least, used.largest)]
    return str(dataclasses.replace(used, name=name, values=first, least=ends[0], largest=ends[1]))


def print_findings(report: Examination, images: ImageCheck | None) -> None:
    """Print how many galaxies of a catalog break each rule, and which images are missing."""
    typer.echo(f"rows: {report.rows:,}\nkind: {report.kind}")
    for note in report.notes:
        typer.echo(wrapped(f"note: {note}"))
    rules: dict[str, list[str]] = {}
    for problem in report.problems:
        value = f" ({problem.value})" if problem.value else ""
        rules.setdefault(problem.rule, []).append(f"{problem.id}{value}")
    for rule, galaxies in rules.items():
        broken_by = f"{_counted(len(galaxies), 'row')} not, {_few(galaxies)}"
        typer.echo(wrapped(f"problem: must {rule}: {broken_by}"))
    if images is None:
        return
    asked = images.readable + len(images.missing)
    typer.echo(f"images: {images.readable:,} of {asked:,} galaxies have one")
    if images.missing:
        typer.echo(wrapped(f"  {len(images.missing):,} missing, {_few(images.missing)}"))
    if images.broken:
        broken = [f"{name} ({reason})" for name, reason in images.broken]
        typer.echo(wrapped(f"  {len(broken):,} broken, {_few(broken)}"))
    if images.shallow:
        shallow = [f"{name} ({levels})" for name, levels in images.shallow]
        typer.echo(wrapped(f"  {len(shallow):,} with few grey levels, {_few(shallow)}"))


def print_verdict(
    report: Examination,
    catalog: Path,
    images: Path | None,
    checked: ImageCheck | None,
    id_column: str | None,
) -> None:
    """Print whether other commands accept the catalog, and which command may come next."""
    if report.refused:
        typer.echo(
            wrapped("verdict: label, sample and join refuse this catalog until the above is mended")
        )
        say_next("mend the catalog, and check it again")
        return
    typer.echo("verdict: other verbs take this catalog")
    names = {used.name for used in report.used}
    voted = any(name.split(" (")[0] == "smooth" for name in names)
    catalog_text, output = quote(catalog), quote(f"{catalog.stem}.labels.csv")
    catalog_text += "" if id_column is None else f" --id {quote(id_column)}"
    skip = " --on-bad skip" if checked and (checked.missing or checked.broken) else ""
    if voted:
        command = f"gzfeatures label {catalog_text} --scheme zhu-5class -o {output}"
    elif images is not None:
        place = quote(images)
        command = f"gzfeatures extract {catalog_text} --images {place}{skip} -o table.parquet"
    elif {"ra", "dec"} <= names:
        command = f"gzfeatures cutouts {catalog_text} -o images/"
    else:
        command = f"gzfeatures extract {catalog_text} --images FOLDER -o table.parquet"
    following = [command]
    if voted and images is not None:
        place = quote(images)
        following.append(f"gzfeatures extract {output} --images {place}{skip} -o table.parquet")
    say_next(*following)


def _few(names: Sequence[str]) -> str:
    """Return the first five of some names as text, and say if there are more."""
    listed = ", ".join(names[:FIRST])
    return f"the first five: {listed}" if len(names) > FIRST else listed


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s do' if number != 1 else ' does'}"
