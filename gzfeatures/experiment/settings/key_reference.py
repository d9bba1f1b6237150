"""List all keys of an experiment file with types, defaults and meanings, from the code."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
"""Words for Python types in the list of keys."""


def key_lines(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield dotted key, type, default and meaning of each setting of an experiment file.

    Parameters
    ----------
    model : type of pydantic model
        Class that defines a section of the file, or the whole file.
    above : str
        Dotted key of the section, with a dot at the end.

    Examples
    --------
    >>> from gzfeatures.experiment.settings.approaches import HeadChoice
    >>> list(key_lines(HeadChoice, "heads."))[1][:3]
    ('heads.tune', 'true or false', 'false')
    """
    for name, field in model.model_fields.items():
        parts = tuple(_parts(field.annotation))
        sections = [
            part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        meaning = " ".join((field.description or "").split())
        yield f"{above}{name}", _type(field.annotation), _default(field), meaning
        for section in sections:
            yield from key_lines(section, f"{above}{name}.")


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield all types inside a type annotation of Python, such as `int` and `str`."""
    inner = () if get_origin(annotation) is Literal else get_args(annotation)
    if not inner:
        yield annotation
    for part in inner:
        yield from _parts(part)


def _type(annotation: Any) -> str:
    """Translate a type annotation of Python into words for users, such as "list of text"."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{each}"' for each in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(part) for part in inner if part is not type(None))
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return "sections" if _is_section(inner[0]) else f"list of {_type(inner[0])}"
        return f"list of {len(inner)} numbers"
    if origin is dict:
        return "section of any keys"
    if _is_section(annotation):
        return "section"
    return WORDS.get(annotation, _type(inner[0]) if inner else "text")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _default(field: FieldInfo) -> str:
    """Return a setting's default as TOML text; "required" or "" if it has none."""
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value is PydanticUndefined or value in ((), "") or _is_section(type(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str(list(value))
        if isinstance(value, tuple)
        else str(value)
    )


def key_table(model: type[BaseModel]) -> str:
    """Return a Markdown table of all keys of an experiment file.

    Parameters
    ----------
    model : type of pydantic model
        Class that defines the whole file.
    """
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, kind, default, meaning in key_lines(model):
        shown = default if default in ("", "required") else f"`{default}`"
        lines.append(f"| `{key}` | {kind} | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"
