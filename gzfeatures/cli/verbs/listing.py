"""Define the commands that show names (`list`) and stored embeddings (`store`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gzfeatures.cli.console import app, say, say_next, show, show_markdown
from gzfeatures.cli.options import Json
from gzfeatures.cli.writing import writes

Kind = Literal["backbones", "heads", "schemes", "networks"]
NEXT = {
    "backbones": "gzfeatures extract images/ --backbone NAME -o table.parquet",
    "heads": "gzfeatures fit table.parquet --labels labels.csv --head NAME -o heads/",
    "schemes": "gzfeatures label CATALOG --scheme NAME -o labels.csv",
    "networks": "gzfeatures finetune images/ --labels labels.csv --network NAME -o tuned/",
}
"""Next command for a user who has chosen a name from a list."""
BRIEF = {
    "backbones": ("name", "architecture", "dim", "layer", "licence", "source"),
    "heads": ("name", "task", "about"),
    "schemes": ("name", "target", "classes"),
    "networks": ("name", "size", "bands", "source"),
}
"""Columns that help to choose a name; all others are shown only with --verbose."""


@app.command("list", epilog="Example: gzfeatures list backbones --verbose")
@writes()
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all fields.")] = False,
    as_json: Json = False,
) -> None:
    """List backbones, heads, class schemes or networks with licence, source and dimension."""
    from gzfeatures.verbs.listing import entries

    items = entries(kind)
    if kind == "backbones" and not as_json:
        say("and every classifier of torchvision by its name there, such as vit-b-16")
        say("and encoders of others: timm:NAME, zoobot:NAME, hf:FOLDER, onnx:FILE, torch:FILE.pt2")
    if kind == "networks" and not as_json:
        # only mention torchvision's classifiers, which are too many to list
        say("and every classifier of torchvision by its name there, such as resnet18 or googlenet")
    # show only the few columns that help to choose a name, because all would not fit the terminal
    if not (verbose or as_json):
        items = [{key: item[key] for key in BRIEF[kind]} for item in items]
    show({"items": items}, as_json)
    if verbose and kind == "backbones" and not as_json:
        # skip backbones without a model card: only those that come with gzfeatures have one
        for card in [item["card"] for item in items if item["card"]]:
            show_markdown(card.read_text(encoding="utf-8"))
    if not as_json:
        say_next(NEXT[kind])


@app.command(epilog="Example: gzfeatures store prune --unused-days 90")
@writes()
def store(
    action: Annotated[
        Literal["show", "prune", "import"],
        typer.Argument(help="Show entries, remove some, or import the entries of another store."),
    ],
    source: Annotated[
        Path | None, typer.Argument(help="With import: folder of the other store.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="With prune: remove entries of this backbone.")
    ] = None,
    unused_days: Annotated[
        float | None,
        typer.Option(min=0, help="With prune: remove entries unused for this many days; 0 = all."),
    ] = None,
    max_gb: Annotated[
        float | None,
        typer.Option(
            min=0, help="With prune: remove the least recently used entries above this size."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which embeddings are cached, remove some, or import those of another store.

    An import reads embeddings only, never code.
    """
    from gzfeatures import user_folders
    from gzfeatures.features.store import Store
    from gzfeatures.features.store_import import import_vectors
    from gzfeatures.networks.compilation import code_folder

    # an option without effect hides a mistake of the user, so refuse it
    if (source is None) == (action == "import"):
        raise typer.BadParameter("it goes with import, which needs it", param_hint="SOURCE")
    if action != "prune" and (backbone, unused_days, max_gb) != (None, None, None):
        raise typer.BadParameter(
            "it goes with prune", param_hint="--backbone, --unused-days or --max-gb"
        )
    cached, code = Store.default(), user_folders.compiled()
    result: dict[str, Any] = {}
    if source is not None:
        imported = import_vectors(cached, source)
        for line in (line for each in imported for line in each.refused):
            say(f"left out: {line}")
        result["imported"] = [dataclasses.asdict(each) for each in imported]
    if action == "prune":
        size = None if max_gb is None else int(max_gb * 1e9)
        removed = cached.prune(backbone=backbone, unused_days=unused_days, max_bytes=size)
        result["removed"] = [dataclasses.asdict(entry) for entry in removed]
        # remove compiled networks together with the embeddings that they computed: nothing else
        # uses them
        number, freed = code_folder.prune(
            code, [entry.fingerprint for entry in removed], unused_days
        )
        result["removed_code"] = {"files": number, "bytes": freed}
    result["entries"] = [dataclasses.asdict(entry) for entry in cached.show()]
    number, space = code_folder.disk_use(code)
    result["compiled"] = {"folder": code, "files": number, "bytes": space}
    show({"store": cached.root, **result}, as_json)
    say_next("gzfeatures store prune --unused-days 90")
