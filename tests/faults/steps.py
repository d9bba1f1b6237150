"""The steps of the job and the verbs beside it, each on a desk of forty galaxies."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from gzfeatures.galaxies.catalogs.catalog import Catalog
from gzfeatures.galaxies.labels.schemes import SCHEMES
from gzfeatures.galaxies.splits.label_file import write_labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.report.report import UNRECORDED
from gzfeatures.synthetic.survey import draw_survey

JUDGE = ".table.parquet"
"""A table that no fault touches, for heads to be asked about."""
EAGER = ".eager.parquet"
"""What the network of the step `compiled` gives without being compiled."""
LIBRARIES = ".libraries"
"""Names the folder, beside the desks, with what the compiler made once: a fault meets our files,
not its minute."""
STATE, COMPILED = "state", "compiled"
TAUGHT = "taught.csv"
"""Name of the label file of the step `teach`."""
NOWHERE = ("--tracking-uri", "http://127.0.0.1:9")
"""Words of a call that can record nothing: no server listens there."""
WAITING = "waiting"
"""A run whose server could not be reached, for the step `record`."""

TOML = """
name = "small"
[galaxies]
catalog = "catalog.csv"
images = "images"
labels = "labels.csv"
[[backbones]]
name = "resnet18"
weights = "none"
view = "size=32"
[[networks]]
name = "engel"
view = "size=32"
epochs = 2
options = {batch_size = 8}
[[heads]]
name = "prototype"
"""


@dataclasses.dataclass(frozen=True)
class Step:
    """A verb as it is called on the desk.

    Parameters
    ----------
    words : str
        The command line; `{url}` is the address of a server of cutouts.
    reads : tuple of str
        Inputs: one that may vanish or change while it runs, first.
    writes : tuple of str
        Files and folders that it makes. With `STATE` among them the record of written files lies on
        the desk, and so the faults meet it too.
    needs : tuple of str
        Inputs of `MADE`.
    compiles : bool
        Compile the network from the first image on.
    clicks : bool
        It serves a page, on which every galaxy gets a label (see `zygote.volunteer`).
    changes : tuple of str
        Inputs that it writes back, and has to keep.
    once : bool
        Its result is a folder, which is never replaced: the same call again is refused, and the
        remedy is to remove the folder.
    needed : str
        A package; without it the step is left out.
    goes_on : bool
        Where nothing can be recorded in MLflow it says so, goes on, and leaves what waits to be
        recorded in its folder.
    """

    words: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    compiles: bool = False
    clicks: bool = False
    changes: tuple[str, ...] = ()
    once: bool = False
    needed: str = ""
    goes_on: bool = False

    def command(self, url: str) -> tuple[str, ...]:
        return (*self.words.format(url=url).split(), "--json")


_NETWORK = "--backbone resnet18 --weights none --view size=32"
_FINETUNE = "finetune images --labels labels.csv --network engel --view size=32 --set batch_size=8"
MADE = {
    "heads": "fit table.parquet --labels labels.csv -H prototype -o heads",
    "checkpoint": f"{_FINETUNE} --epochs 1 -o checkpoint",
    "another": f"extract images {_NETWORK} -o another.parquet",
    EAGER: f"extract images {_NETWORK} --precision float32 -o {EAGER}",
    LIBRARIES: f"extract images {_NETWORK} --precision float32 -o out/table.parquet",
    "sky.hats": "check sky.csv -o sky.hats",
    WAITING: f"run small.toml -o {WAITING} {' '.join(NOWHERE)}",
}
"""Inputs that a verb makes, by the verb; the store is cleared of them, or is the input
(`another`)."""

STEPS = {
    "cutouts": Step(
        "cutouts positions.csv -o out --base-url {url} --pixels 32 --workers 4",
        ("positions.csv",),
        ("out",),
    ),
    "extract": Step(
        f"extract images {_NETWORK} -o out/table.parquet",
        ("images/10000007.jpg",),
        ("out", "store"),
    ),
    "extract, compiled": Step(
        MADE[LIBRARIES],
        ("images/10000007.jpg",),
        ("out", "store", COMPILED, STATE),
        (EAGER, LIBRARIES),
        compiles=True,
    ),
    "finetune": Step(
        f"{_FINETUNE} --epochs 3 --resume -o out",
        ("images/10000007.jpg", "labels.csv"),
        ("out", "mlruns"),
        goes_on=True,
    ),
    "fit": Step(
        "fit table.parquet --labels labels.csv -H logistic -H prototype -H knn -o out",
        ("table.parquet", "labels.csv"),
        ("out",),
    ),
    "fit, split drawn": Step(
        "fit table.parquet --labels mine.csv -H prototype -o out",
        ("table.parquet", "mine.csv"),
        ("mine.split.csv", "out"),
    ),
    "run": Step(
        "run small.toml -o out",
        ("images/10000007.jpg", "small.toml", "labels.csv"),
        ("out", "store", "mlruns"),
        goes_on=True,
    ),
    "map": Step(
        "map table.parquet --labels labels.csv --images images -o out/map.html",
        ("images/10000007.jpg", "table.parquet", "labels.csv"),
        ("out",),
    ),
    "label, recorded": Step(
        "label catalog.csv --scheme smooth-featured -o out/labels.csv",
        ("catalog.csv",),
        ("out", STATE),
    ),
    "predict": Step(
        "predict heads/prototype.skops table.parquet -o out/classes.parquet",
        ("table.parquet", "heads/prototype.skops"),
        ("out",),
        ("heads",),
    ),
    "predict, network": Step(
        "predict checkpoint images -o out/classes.fits",
        ("images/10000007.jpg", "checkpoint/backbone.json"),
        ("out",),
        ("checkpoint",),
    ),
    "store import": Step(
        "store import another",
        ("catalog.csv",),
        ("store",),
        ("another",),
    ),
    "doubt": Step(
        "doubt table.parquet --labels some.csv -H prototype --images images -o out/doubt.csv "
        "--next out/next.csv --gallery out/gallery.html",
        ("table.parquet", "some.csv"),
        ("out",),
    ),
    "sample": Step(
        "sample catalog.csv --scheme smooth-featured -o out/sample.csv",
        ("catalog.csv",),
        ("out",),
    ),
    "join": Step(
        "join catalog.csv labels.csv --on GalaxyID=galaxy_id -o out/joined.parquet",
        ("catalog.csv", "labels.csv"),
        ("out",),
    ),
    "table export": Step(
        "table export table.parquet -o out/vectors.npz",
        ("table.parquet",),
        ("out",),
    ),
    "table index": Step(
        "table index table.parquet -o out/table.index",
        ("table.parquet",),
        ("out",),
    ),
    "odd": Step(
        "odd table.parquet --images images -o out/odd.csv --gallery out/odd.html",
        ("images/10000007.jpg", "table.parquet"),
        ("out",),
    ),
    "fit, sizes": Step(
        "fit table.parquet --labels labels.csv -H prototype --sizes 8,16 -o out",
        ("table.parquet", "labels.csv"),
        ("out",),
    ),
    "explain": Step(
        "explain checkpoint 10000007 --images images --method grad-cam -o out/why.html",
        ("images/10000007.jpg",),
        ("out",),
        ("checkpoint",),
    ),
    "teach": Step(
        f"teach table.parquet --labels out/{TAUGHT}",
        ("table.parquet",),
        ("out",),
        clicks=True,
    ),
    "similar": Step(
        "similar table.parquet 10000007 --images images -o out/similar.csv --gallery out/near.png",
        ("images/10000008.jpg", "table.parquet"),
        ("out",),
    ),
    "export": Step(
        "export heads/prototype.skops --from vectors --check-on table.parquet -o out/head.onnx",
        ("table.parquet", "heads/prototype.skops"),
        ("out",),
        ("heads",),
        needed="onnx",
    ),
    "join, HATS": Step(
        "join sky.hats sky.csv --on galaxy_id -o out/joined.hats",
        ("sky.csv", "sky.hats/hats.properties"),
        ("out",),
        ("sky.hats",),
        once=True,
        needed="hats",
    ),
    "audit": Step(
        "audit table.parquet --catalog catalog.csv --images images --sample 2 --draws 19 -o out",
        ("images/10000007.jpg", "table.parquet", "catalog.csv"),
        ("out",),
    ),
    "record": Step(
        f"record {WAITING}",
        (f"{WAITING}/heads/00-resnet18/prototype.skops", f"{WAITING}/{UNRECORDED}"),
        ("mlruns",),
        (WAITING,),
        changes=(f"{WAITING}/{UNRECORDED}",),
    ),
}


def lay(desk: Path) -> Path:
    """Draw the inputs of all steps."""
    survey = draw_survey(desk, n=42, seed=3, size=40, progress=False)
    catalog = Catalog.read(survey.catalog)
    labels = SCHEMES["smooth-featured"].label(catalog)
    write_labels(desk / "labels.csv", labels, Split.draw(labels, (0.6, 0.15, 0.25), seed=0))
    lines = (desk / "labels.csv").read_text().splitlines()
    (desk / "mine.csv").write_text("".join(",".join(line.split(",")[:2]) + "\n" for line in lines))
    (desk / "some.csv").write_text("".join(f"{line}\n" for line in lines[:32]))
    table = extract(
        ImageSet.of(survey.images), "resnet18", weights="none", view=View(size=32), progress=False
    )
    for name in ("table.parquet", JUDGE):
        table.write(desk / name)
    ra = np.round(np.arange(60) * 0.1 + 10, 4)
    pd.DataFrame({"galaxy_id": [f"g{k}" for k in range(60)], "ra": ra, "dec": 0.0}).to_csv(
        desk / "positions.csv", index=False
    )
    (desk / "small.toml").write_text(TOML)
    rng = np.random.default_rng(5)  # the whole sky: partitions of HATS
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, 60))).round(6)
    sky = {"galaxy_id": [f"s{k}" for k in range(60)], "ra": rng.uniform(0, 360, 60).round(6)}
    pd.DataFrame({**sky, "dec": dec, "petro": np.arange(60)}).to_csv(desk / "sky.csv", index=False)
    return desk


def confirmed_on(desk: Path) -> Path:
    """The file, beside a desk, with the galaxies whose click was said to be kept."""
    return desk.with_name(f"{desk.name}-confirmed")


def clear(desk: Path, step: Step) -> None:
    """Take the results away; the inputs stay (see `Case.fresh` for those that are changed)."""
    confirmed_on(desk).unlink(missing_ok=True)
    for place in step.writes:
        if (desk / place).is_file():
            (desk / place).unlink()
        shutil.rmtree(desk / place, ignore_errors=True)
