"""Define the options for reading images, such as stretch and bands, for several commands."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from gzfeatures.ids import Ids
    from gzfeatures.images.image_check import ImageCheck
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.reading import Reading

Verb = Callable[..., None]

OPTIONS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "range": (
        tuple[float, float],
        "--range",
        {
            "metavar": "LOW HIGH",
            "help": "Pixel values that become black and white in all images.",
        },
    ),
    "stretch": (
        str,
        "--stretch",
        {"help": "Rule that maps values to grey levels: lupton, engel or quantile (per image)."},
    ),
    "bands": (
        str,
        "--bands",
        {"help": "Names of the bands, e.g. g,r,z: in the file's order, or as file names end."},
    ),
    "science": (
        str,
        "--science",
        {
            "help": (
                "FITS plane with the image: EXTNAME, EXTNAME,EXTVER or its number; or the "
                "HDF5 array of images."
            )
        },
    ),
    "prefer": (
        Literal["picture", "bands"],
        "--prefer",
        {"help": "File to read if a galaxy has both a JPEG or PNG and FITS bands."},
    ),
    "ids_from": (str, "--ids-from", {"help": "HDF5 array with the ids of the images."}),
}
"""Type, flag and help of the option for each field of `Reading`."""


def reads_images(verb: Verb) -> Verb:
    """Add the options for reading images to a command, which receives them as one `reading`.

    In the help text, these options come before `--json`.

    Parameters
    ----------
    verb : callable
        Function of the command, with a parameter `reading: Reading`.

    Returns
    -------
    callable
        Function with a parameter for each option instead of `reading`; Typer makes command line
        options of its parameters.
    """
    # let the name `Reading` stand for any object, because it is imported for type checking only
    hints = typing.get_type_hints(verb, localns={"Reading": object}, include_extras=True)
    parameters_of_verb = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(verb).parameters.items()
        if name != "reading"
    ]
    options = [
        inspect.Parameter(
            f"image_{field}",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, typer.Option(flag, **words)],
        )
        for field, (kind, flag, words) in OPTIONS.items()
    ]
    # put the new options before --json, which comes last in every help text
    position = next(
        (n for n, parameter in enumerate(parameters_of_verb) if parameter.name == "as_json"),
        len(parameters_of_verb),
    )
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*parameters_of_verb[:position], *options, *parameters_of_verb[position:]]
    ]

    @functools.wraps(verb)
    def with_options(**values: Any) -> None:
        chosen = {field: values.pop(f"image_{field}") for field in OPTIONS}
        verb(**values, reading=reading_of(chosen))

    # give the wrapper the command's parameters, because typer reads the wrapper's signature
    described: Any = with_options
    described.__signature__ = inspect.Signature(parameters)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def reading_of(chosen: dict[str, Any]) -> Reading:
    """Return the options for reading images as one value; split bands at commas or +."""
    from gzfeatures.images.reading import Reading

    bands = chosen.get("bands")
    return Reading(
        **{**chosen, "bands": None if bands is None else tuple(re.split(r"[,+]", bands))}
    )


def shown_from(images: Path | None, reading: Reading, ids: Ids | None = None) -> ImageSet | None:
    """Open the images that a command displays; None if the user named no images.

    Ids without an image are left out.
    """
    if images is None:
        return None
    from gzfeatures.images.image_set import ImageSet

    return ImageSet.of(images, ids, on_missing="skip", reading=reading)


def warned(check: ImageCheck) -> str | None:
    """Return a warning about images with few grey levels; None if no image has so few."""
    if not check.shallow:
        return None
    name, levels = check.shallow[0]
    return (
        f"warning: {len(check.shallow)} of {check.readable} images have fewer than 32 "
        f"grey levels, such as {name} with "
        f"{levels}; if their values are no grey levels, give --range LOW HIGH or --stretch NAME"
    )
