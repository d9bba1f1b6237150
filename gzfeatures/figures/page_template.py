"""Read templates of HTML pages; text that is filled into them is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template


def page_template(
    package: str, *place: str, filters: Mapping[str, Callable[..., Any]] | None = None
) -> Template:
    """Load a Jinja template that escapes every value except `Markup`.

    Parameters
    ----------
    package : str
        Module whose folder holds the template.
    *place : str
        Names of folders below it, and of the file.
    filters : mapping of str to callable, optional
        Functions that the template applies to values.

    Raises
    ------
    jinja2.UndefinedError
        On rendering: the template names a value that it is not given.

    Examples
    --------
    >>> page = page_template("gzfeatures.figures", "templates", "gallery.html")
    >>> page.name is None
    True
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # NaN is not valid JSON and would make browsers reject all data of the page, so refuse it
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    environment.filters |= filters or {}
    file = resources.files(package).joinpath(*place)
    return environment.from_string(file.read_text("utf-8"))
