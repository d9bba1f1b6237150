"""Read templates of HTML pages, which escape every text that is filled in."""

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
        Python package whose folder contains the template.
    *place : str
        Names of subfolders, and name of the file.
    filters : mapping of str to callable, optional
        Functions that the template applies to values, by name.

    Raises
    ------
    jinja2.UndefinedError
        When the template is rendered, a value that it names is missing.

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
    # raise an error for NaN in JSON: NaN is not valid there, and browsers would reject all data of
    # the page
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}
    environment.filters |= filters or {}
    file = resources.files(package).joinpath(*place)
    return environment.from_string(file.read_text("utf-8"))
