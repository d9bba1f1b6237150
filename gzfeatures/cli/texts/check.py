"""Print what a check of a catalog and its images found, with a verdict and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.checks import Examination
    from gzfeatures.images.image_check import ImageCheck

FIRST, MOST_COLUMNS = 5, 60
"""Numbers of galaxies and of columns that are named one by one."""


def print_columns(report: Examination) -> None:
    """Print a line for each column that verbs use."""
    typer.echo("\n".join(map(str, report.used[:MOST_COLUMNS])))
    if len(report.used) > MOST_COLUMNS:
        typer.echo(
            f"… and {len(report.used) - MOST_COLUMNS} more columns of votes (all of them with "
            "--json)"
        )


def print_findings(report: Examination, images: ImageCheck | None) -> None:
    """Print how many galaxies break which rule, and how many images are missing or broken."""
    typer.echo(f"rows: {report.rows:,}\nkind: {report.kind}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    rules: dict[str, list[str]] = {}
    for problem in report.problems:
        value = f" ({problem.value})" if problem.value else ""
        rules.setdefault(problem.rule, []).append(f"{problem.id}{value}")
    for rule, galaxies in rules.items():
        typer.echo(f"problem: must {rule}: {_counted(len(galaxies), 'row')} not, {_few(galaxies)}")
    if images is None:
        return
    asked = images.readable + len(images.missing)
    typer.echo(f"images: {images.readable:,} of {asked:,} galaxies have one")
    if images.missing:
        typer.echo(f"  {len(images.missing):,} missing, {_few(images.missing)}")
    if images.broken:
        broken = [f"{name} ({reason})" for name, reason in images.broken]
        typer.echo(f"  {len(broken):,} broken, {_few(broken)}")
    if images.shallow:
        shallow = [f"{name} ({levels})" for name, levels in images.shallow]
        typer.echo(f"  {len(shallow):,} with few grey levels, {_few(shallow)}")


def print_verdict(
    report: Examination,
    catalog: Path,
    images: Path | None,
    checked: ImageCheck | None,
    id_column: str | None,
) -> None:
    """Print whether other verbs take the catalog, and the command that comes next."""
    if report.refused:
        typer.echo("verdict: label, sample and join refuse this catalog until the above is mended")
        return
    typer.echo("verdict: other verbs take this catalog")
    names = {used.name for used in report.used}
    voted = any(name.split(" (")[0] == "smooth" for name in names)
    catalog_text, output = shlex.quote(str(catalog)), shlex.quote(f"{catalog.stem}.labels.csv")
    catalog_text += "" if id_column is None else f" --id {shlex.quote(id_column)}"
    skip = " --on-bad skip" if checked and (checked.missing or checked.broken) else ""
    if voted:
        command = f"gzfeatures label {catalog_text} --scheme zhu-5class -o {output}"
    elif images is not None:
        place = shlex.quote(str(images))
        command = f"gzfeatures extract {catalog_text} --images {place}{skip} -o table.parquet"
    elif {"ra", "dec"} <= names:
        command = f"gzfeatures cutouts {catalog_text} -o images/"
    else:
        command = f"gzfeatures extract {catalog_text} --images FOLDER -o table.parquet"
    typer.echo(f"next: {command}")
    if voted and images is not None:
        place = shlex.quote(str(images))
        typer.echo(f"then: gzfeatures extract {output} --images {place}{skip} -o table.parquet")


def _few(names: Sequence[str]) -> str:
    """Return the first names, and whether there are more."""
    listed = ", ".join(names[:FIRST])
    return f"the first five: {listed}" if len(names) > FIRST else listed


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s do' if number != 1 else ' does'}"
