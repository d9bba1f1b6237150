"""The verbs on catalogs and tables, in one process that has no PyTorch, Lightning or MLflow.

    python core_verbs.py FOLDER            # refuses to start where torch is installed
    python core_verbs.py FOLDER --blocked  # makes it absent, and what else the core lacks

It draws its own galaxies, and prints one JSON object: the exit code and last line of each verb.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ABSENT = ("torch", "torchvision", "lightning", "pytorch_lightning", "mlflow", "captum")
"""Modules that `requirements-core.txt` does not bring."""
ALSO_ABSENT = ("torchmetrics", "timm", "transformers", "onnx", "onnxruntime", "openvino", "nncf")
"""Modules that ordinary environments of developers have, and that one neither."""


class Absence(MetaPathFinder):
    """Make modules that are installed look as if they were not."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise what Python raises for a module that is not there."""
        if name.partition(".")[0] in (*ABSENT, *ALSO_ABSENT):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def galaxies(folder: Path) -> list[str]:
    """Draw a survey, and a table of vectors in which its classes lie apart; return the ids."""
    import numpy as np

    from gzfeatures import EmbeddingTable, label
    from gzfeatures.experiment.prediction import find_head
    from gzfeatures.synthetic.survey import draw_survey

    drawn = draw_survey(folder / "survey", 120, size=32)
    labels = label(drawn.catalog, "zhu-5class")
    # the vectors claim to be those that `find` reads
    extractor = find_head("googlenet-gz2", "votes-37").extractors[0]
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(len(labels.ids), extractor.dim))
    vectors[np.arange(len(vectors)), labels.values] += 30
    digests = np.array([f"{row:064x}" for row in range(len(vectors))], dtype=object)
    table = EmbeddingTable(labels.ids, digests, vectors.astype(np.float32), extractor)
    table.write(folder / "table.parquet")
    return [str(name) for name in labels.ids]


def on_tables(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each verb that works here."""
    catalog, images, hart = "survey/catalog.csv", "survey/images", "survey/hart.csv"
    yield ["check", catalog, "--images", images]
    yield ["label", catalog, "--scheme", "zhu-5class", "-o", "labels.csv"]
    yield ["join", catalog, hart, "--on", "GalaxyID=asset_id", "-o", "joined.csv"]
    yield ["sample", catalog, "--scheme", "zhu-5class", "-o", "sample.csv"]
    heads = [word for name in ("svm", "xgboost", "logistic") for word in ("--head", name)]
    yield ["fit", "table.parquet", "--labels", "labels.csv", *heads, "-o", "heads/"]
    yield ["predict", "heads/svm.skops", "table.parquet", "-o", "predictions.csv"]
    yield ["predict", "heads/xgboost.skops", "table.parquet", "-o", "by-trees.csv"]
    yield ["map", "table.parquet", "--labels", "labels.csv", "--images", images, "-o", "map.html"]
    yield ["similar", "table.parquet", ids[0], "--images", images, "--gallery", "similar.png"]
    yield ["odd", "table.parquet", "-o", "odd.csv"]
    yield ["duplicates", "table.parquet", "-o", "duplicates.csv"]
    yield ["doubt", "table.parquet", "--labels", "labels.csv", "-o", "doubt.csv"]
    audited = ["--catalog", hart, "--id", "asset_id", "--images", images]
    yield ["audit", "table.parquet", *audited, "-o", "audit/"]
    yield ["find", "table.parquet", "edge-on, no bulge", "-o", "found.csv"]
    yield ["table", "info", "table.parquet"]
    yield ["table", "export", "table.parquet", "-o", "vectors.csv"]
    yield ["store", "show"]
    for kind in ("heads", "backbones", "schemes"):
        yield ["list", kind]


def on_networks(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of each verb that has to say what it lacks."""
    images, labelled = "survey/images", ("--labels", "labels.csv")
    yield ["extract", images, "-o", "other.parquet"]
    yield ["finetune", images, *labelled, "--network", "engel", "-o", "tuned/"]
    yield ["predict", "googlenet-gz2", images, "-o", "classes.csv"]
    yield ["predict", "heads/", images, "-o", "classes.csv"]
    yield ["explain", "googlenet-gz2", ids[0], "--images", images, "-o", "why.html"]
    yield ["plan", images]
    yield ["demo", "-o", "demo/", "--galaxies", "200"]
    yield ["run", "experiment.toml"]
    yield ["list", "networks"]


EXPERIMENT = """
name = "core"
[galaxies]
catalog = "survey/catalog.csv"
images = "survey/images"
scheme = "zhu-5class"
[[backbones]]
name = "googlenet-gz2"
[[heads]]
name = "svm"
"""


def main(folder: Path, *, blocked: bool) -> None:
    """Run every verb in a folder, and print how each ended."""
    if blocked:
        sys.meta_path.insert(0, Absence())
    elif there := [name for name in ABSENT if importlib.util.find_spec(name)]:
        sys.exit(f"{', '.join(there)}: installed here; --blocked makes them absent")
    sys.path.append(str(Path(__file__).parents[2] / "support"))
    from verbs import called

    os.chdir(folder)
    ids = galaxies(folder)
    Path("experiment.toml").write_text(EXPERIMENT, encoding="utf-8")
    ended: dict[str, list[tuple[list[str], int, str]]] = {"worked": [], "refused": []}
    for kind, every in (("worked", on_tables(ids)), ("refused", on_networks(ids))):
        for words in every:
            done = called(*words)
            said = [line for line in done.stderr.splitlines() if not line.startswith("googlenet")]
            ended[kind].append((words, done.returncode, (said or [""])[-1]))
    print(json.dumps(ended, indent=1))
    wrong = [each for each in ended["worked"] if each[1] != 0]
    wrong += [each for each in ended["refused"] if each[1] != 1 or "pip install" not in each[2]]
    if wrong:
        sys.exit("\n".join(f"{' '.join(words)}: exit code {c}: {said}" for words, c, said in wrong))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), blocked="--blocked" in sys.argv)
