"""Declare which files a command writes, and refuse before any work to overwrite other files."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_type_hints

import typer

from gzfeatures import outputs
from gzfeatures.progress import Terminal

Given: TypeAlias = Mapping[str, Any]
"""Arguments of a call, by the names of the verb's parameters."""
Derived: TypeAlias = Callable[[Given], Iterable[Path]]
Verb = TypeVar("Verb", bound=Callable[..., None])

Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files that this verb did not write, or that were changed later.",
    ),
]


def _another_backbone(text: str) -> bool:
    from gzfeatures.features.backbones import BACKBONES, torchvision_backbone

    return text.replace("_", "-") not in BACKBONES and torchvision_backbone(text) is None


def _another_scheme(text: str) -> bool:
    from gzfeatures.galaxies.labels.schemes import SCHEMES

    return text not in SCHEMES


NAMED: dict[str, Callable[[str], bool]] = {
    "backbone": _another_backbone,
    "network": _another_backbone,
    "scheme": _another_scheme,
    "weights": lambda text: text != "none",
    # examples of a search: ids of galaxies, image files, or files of ids
    "like": os.path.isfile,
    "unlike": os.path.isfile,
}
"""Parameters whose value may be a file path, each with a function that says if it is one."""

PLAIN = frozenset(
    {
        *(
            "address",
            "bands",
            "base_url",
            "campaign",
            "class_",
            "column",
            "columns",
            "encoder",
            "format_",
            "from_",
            "head",
            "id_column",
            "ids",
        ),
        *(
            "layer",
            "measure",
            "method",
            "nuisance",
            "metric",
            "missing_label",
            "on",
            "other_id",
            "settings",
            "split",
        ),
        *(
            "strategy",
            "suffix",
            "survey",
            "target",
            "tracking_uri",
            "vector",
            "view",
            "pixel_scale",
            "petrosian",
            "sizes",
            "part",
        ),
        *(
            "image_stretch",
            "image_bands",
            "image_science",
            "image_prefer",
            "image_ids_from",
            "words",
        ),
    }
)
"""Parameters whose text never names a file."""


def writes(
    *files: str,
    folder: str | None = None,
    beside: Derived = lambda given: (),
    verb: str | None = None,
    known: bool = True,
    resumes: str | None = None,
) -> Callable[[Verb], Verb]:
    """Declare which files a command writes; every other path in its arguments is an input.

    Parameters
    ----------
    *files : str
        Names of the command's parameters whose values are files to write.
    folder : str, optional
        Name of the parameter whose value is a folder to write into.
    beside : callable
        Function that returns further files to write, given the command's arguments, such as files
        with derived names.
    verb : str, optional
        Command whose files this command may replace, if two commands write the same files; by
        default its own name.
    known : bool
        Whether the values of `files` are the files to write. If not, `beside` returns them, or the
        command calls `outputs.allow`.
    resumes : str, optional
        Name of the parameter whose value may be a folder with earlier work of this command; such a
        folder is not protected as an input.

    Raises
    ------
    OutputError
        Raised by a call of the command, before it reads or writes: a file to write is an input, or
        exists and was not written by this command.
    """

    def declare(function: Verb) -> Verb:
        signature = inspect.signature(function)
        written = {*files, *([folder] if folder else ())}
        name = verb or function.__name__.strip("_")

        @functools.wraps(function)
        def guarded(*words: Any, overwrite: bool = False, **options: Any) -> None:
            bound = signature.bind(*words, **options)
            bound.apply_defaults()
            values = bound.arguments
            named = [values[each] for each in files if values[each] is not None] if known else []
            resumed = values.get(resumes or "")
            with outputs.guarded(
                name,
                inputs=[
                    path
                    for path in _inputs(values, written)
                    if path is not resumed or path.is_file()
                ],
                files=[*named, *beside(values)],
                folders=[values[folder]] if folder else [],
                overwrite=overwrite,
                progress=Terminal(),
            ):
                function(*words, **options)

        guarded.writes = frozenset(written)  # type: ignore[attr-defined]
        if written:
            hints = get_type_hints(function, include_extras=True)
            parameters = [
                each.replace(annotation=hints[each.name]) for each in signature.parameters.values()
            ]
            option = inspect.Parameter(
                "overwrite", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Overwrite
            )
            shown = signature.replace(parameters=[*parameters, option])
            guarded.__signature__ = shown  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return declare


def _inputs(values: Given, written: set[str]) -> Iterator[Path]:
    """Yield the paths of input files among the arguments of a command."""
    for name, value in values.items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if name in written or each is None:
                continue
            if isinstance(each, Path):
                yield from _on_this_machine(each)
            elif isinstance(each, str) and name in NAMED and NAMED[name](each):
                yield from _files_of(each)


def _files_of(text: str) -> Iterator[Path]:
    """Yield the file in an argument such as `onnx:encoder.onnx`, and files that a TOML names."""
    from gzfeatures.features.backbones import foreign_kind

    path = Path(text.partition(":")[2] if foreign_kind(text) else text)
    yield path
    if path.suffix.lower() == ".toml":
        from gzfeatures.networks.encoders.backbone_table import files_named

        yield from files_named(path)


def _on_this_machine(path: Path) -> Iterator[Path]:
    """Yield the path on this machine that an argument names; nothing for a web address."""
    if ":/" not in str(path):
        yield path
        return
    from gzfeatures.images.sources.remote import address, local_path

    url = address(path)
    if url is None:
        yield path
    elif url.lower().startswith("file:"):
        yield local_path(url)
