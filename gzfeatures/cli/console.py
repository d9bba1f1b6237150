"""Define the typer app to which commands are added, and print their results."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from gzfeatures.brief import columns, wrapped
from gzfeatures.cli import CHAPTERS, modules_of
from gzfeatures.cli.width import GAP, ROOM, blocks, widths

if TYPE_CHECKING:
    from rich.console import Console

EDGES = 2
"""Characters left and right of a table."""
COLUMN_NAMES = frozenset(
    {"galaxy_id", "predicted_class", "class_set", "familiarity_p", "empty_because", "trained_on"}
)
"""Names of columns in files of predictions, which are printed with their underscores."""


class VerbsByChapter(TyperGroup):
    """List the commands by chapter in the help; build a command's options when it is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return [verb for verbs in CHAPTERS.values() for verb in verbs]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command that has a name, or None if there is no such command."""
        if cmd_name not in self.commands:
            for module in modules_of(cmd_name):
                importlib.import_module(f"gzfeatures.cli.verbs.{module}")
            # this group was built before these modules defined their commands, so add the commands
            # now
            self.commands.update(cast("TyperGroup", get_command(app)).commands)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command into the help with its whole first sentence."""
        for title, verbs in CHAPTERS.items():
            with formatter.section(title):
                formatter.write_dl(list(verbs.items()))


app = typer.Typer(
    name="gzfeatures",
    cls=VerbsByChapter,
    epilog=(
        "Start with: gzfeatures demo. Errors end with exit code 1 and one line; --debug "
        "anywhere shows where."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(wanted: bool) -> None:
    if wanted:
        from gzfeatures import __version__

        typer.echo(f"gzfeatures {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Galaxy morphology: images → embedding tables → classifiers, compared with networks."""


def say(text: str) -> None:
    """Print a message on stderr, in lines that fit the terminal's width."""
    typer.echo(wrapped(text), err=True)


def say_next(*steps: str) -> None:
    """Print which commands, or actions, a user may want next, as the last lines of a command."""
    for number, step in enumerate(steps):
        say(f"{'then' if number else 'next'}: {step}")


def heading(key: str) -> str:
    """Return the title of a result: its JSON key with spaces, but unchanged if it names a column.

    Examples
    --------
    >>> heading("class_sets"), heading("galaxy_id"), heading("predicted_class")
    ('class sets', 'galaxy_id', 'predicted_class')
    """
    return key if key in COLUMN_NAMES or " " in key else key.replace("_", " ")


def _has_parts(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple))


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_cell(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_cell, value))
    return "–" if value is None else str(value)


def _console(least: int = 0) -> Console:
    from rich.console import Console

    return Console(width=max(columns() or ROOM, least))


def show_markdown(text: str) -> None:
    """Print Markdown on stdout, formatted for a terminal."""
    from rich.markdown import Markdown

    _console().print(Markdown(text))


def print_table(
    rows: Sequence[Mapping[str, Any]], *, title: str | None = None, most: int = 40
) -> None:
    """Print rows as a table, whose columns are the keys of all rows.

    Long text continues on the next line, but numbers are never broken. Columns that do not fit the
    width are printed in a second table, which repeats the first column.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [[heading(key) for key in keys]]
    lines += [[_cell(row.get(key)) for key in keys] for row in rows[:most]]
    natural = [max(map(len, column)) for column in zip(*lines, strict=True)]
    # let a column be as narrow as its longest word, because text is broken between words only
    least = [
        max(len(word) for text in column for word in text.split() or [""])
        for column in zip(*lines, strict=True)
    ]
    room = (columns() or ROOM) - EDGES
    # break words longer than a line, such as web addresses, which fit no column
    least = [min(few, max(room - least[0] - 2 * GAP, least[0])) for few in least]
    # print the title here, because rich would break it to the width of its table
    if title is not None:
        typer.echo(wrapped(title))
    for chosen in blocks(natural, least, room):
        taken = widths([natural[each] for each in chosen], [least[each] for each in chosen], room)
        shown = [[line[column] for column in chosen] for line in lines]
        _print_side_by_side(shown, taken)
    if len(rows) > most:
        typer.echo(f"  … and {len(rows) - most} more (all of them with --json)")


def _print_side_by_side(lines: Sequence[Sequence[str]], taken: Sequence[int]) -> None:
    """Print the headings and cells of a table in columns of given widths."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name, width in zip(lines[0], taken, strict=True):
        table.add_column(name, overflow="fold", width=width)
    for line in lines[1:]:
        table.add_row(*map(Text, line))
    # make the console as wide as the columns, because a narrower one would shrink them again
    whole = sum(taken) + GAP * len(taken) + EDGES
    _console(whole).print(table)


def _print_rows(
    title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None
) -> None:
    every = dict.fromkeys(key for row in rows for key in row)
    # show chosen columns only if the table has them: a result may hold several tables, and the
    # choice is for one of them
    chosen = [column for column in columns or () if column in every] or list(every)
    print_table([{key: row.get(key) for key in chosen} for row in rows], title=heading(title))


def show(
    result: Mapping[str, Any],
    as_json: bool,
    *,
    hide: Sequence[str] = (),
    columns: Sequence[str] | None = None,
) -> None:
    """Print the result of a command, as one JSON object or as lines and tables for people.

    Parameters
    ----------
    result : mapping
        Result as JSON values; for people, lists of mappings are printed as tables.
    as_json : bool
        Whether to print one JSON object and nothing else.
    hide : sequence of str
        Keys to print only as JSON.
    columns : sequence of str, optional
        Columns of tables to print for people; by default all.
    """
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=True, allow_nan=False, default=str))
        return
    for key, value in result.items():
        if key in hide or value is None or value in ([], (), {}):
            continue
        if isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value):
            _print_rows(key, value, columns)
        elif isinstance(value, Mapping) and any(map(_has_parts, value.values())):
            # print a line for each name, because in one line several lists would run together
            typer.echo(f"{heading(key)}:")
            for name, part in value.items():
                typer.echo(wrapped(f"  {name}: {_cell(part)}"))
        else:
            typer.echo(wrapped(f"{heading(key)}: {_cell(value)}"))
