"""Turn galaxy images into embedding tables and classifiers, and compare them with networks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gzfeatures import _moved

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gzfeatures import plot as plot
    from gzfeatures.errors import GzError as GzError
    from gzfeatures.evaluation.metrics import evaluate as evaluate
    from gzfeatures.evaluation.predictions import Predictions as Predictions
    from gzfeatures.experiment.run import run as run
    from gzfeatures.features.backbones import BACKBONES as BACKBONES
    from gzfeatures.features.backbones import Backbone as Backbone
    from gzfeatures.features.store import Store as Store
    from gzfeatures.features.table import EmbeddingTable as EmbeddingTable
    from gzfeatures.features.table import Extractor as Extractor
    from gzfeatures.galaxies.catalogs.catalog import Catalog as Catalog
    from gzfeatures.galaxies.labels.label_scheme import LabelScheme as LabelScheme
    from gzfeatures.galaxies.labels.labels import Labels as Labels
    from gzfeatures.galaxies.labels.schemes import SCHEMES as SCHEMES
    from gzfeatures.galaxies.splits.label_file import read_labels as read_labels
    from gzfeatures.galaxies.splits.label_file import write_labels as write_labels
    from gzfeatures.galaxies.splits.split import Split as Split
    from gzfeatures.heads.estimators.registry import HEADS as HEADS
    from gzfeatures.heads.estimators.scikit_learn import estimator as estimator
    from gzfeatures.heads.fit import Head as Head
    from gzfeatures.heads.fit import fit as fit
    from gzfeatures.images.image_set import ImageSet as ImageSet
    from gzfeatures.images.reading import Reading as Reading
    from gzfeatures.images.view import View as View
    from gzfeatures.maps.umap import project as project
    from gzfeatures.networks.extraction.extract import extract as extract
    from gzfeatures.verbs.audits import audit as audit
    from gzfeatures.verbs.catalogs import check as check
    from gzfeatures.verbs.catalogs import cutouts as cutouts
    from gzfeatures.verbs.catalogs import join as join
    from gzfeatures.verbs.catalogs import label as label
    from gzfeatures.verbs.catalogs import sample as sample
    from gzfeatures.verbs.experiments import compare as compare
    from gzfeatures.verbs.experiments import demo as demo
    from gzfeatures.verbs.experiments import new as new
    from gzfeatures.verbs.experiments import record as record
    from gzfeatures.verbs.experiments import ui as ui
    from gzfeatures.verbs.explore import doubt as doubt
    from gzfeatures.verbs.explore import duplicates as duplicates
    from gzfeatures.verbs.explore import explain as explain
    from gzfeatures.verbs.explore import label_next as label_next
    from gzfeatures.verbs.explore import odd as odd
    from gzfeatures.verbs.explore import similar as similar
    from gzfeatures.verbs.listing import list_ as list  # noqa: F401
    from gzfeatures.verbs.listing import store as store
    from gzfeatures.verbs.models import finetune as finetune
    from gzfeatures.verbs.models import map_ as map  # noqa: F401
    from gzfeatures.verbs.models import predict as predict
    from gzfeatures.verbs.papers import cite as cite
    from gzfeatures.verbs.papers import figure as figure
    from gzfeatures.verbs.papers import methods as methods
    from gzfeatures.verbs.portable import export as export
    from gzfeatures.verbs.teaching import find as find
    from gzfeatures.verbs.teaching import teach as teach

_HOME = {
    "BACKBONES": "features.backbones",
    "Backbone": "features.backbones",
    "Catalog": "galaxies.catalogs.catalog",
    "EmbeddingTable": "features.table",
    "Extractor": "features.table",
    "GzError": "errors",
    "HEADS": "heads.estimators.registry",
    "Head": "heads.fit",
    "ImageSet": "images.image_set",
    "LabelScheme": "galaxies.labels.label_scheme",
    "Labels": "galaxies.labels.labels",
    "Predictions": "evaluation.predictions",
    "Reading": "images.reading",
    "SCHEMES": "galaxies.labels.schemes",
    "Split": "galaxies.splits.split",
    "Store": "features.store",
    "View": "images.view",
    "audit": "verbs.audits",
    "check": "verbs.catalogs",
    "cite": "verbs.papers",
    "compare": "verbs.experiments",
    "cutouts": "verbs.catalogs",
    "demo": "verbs.experiments",
    "doubt": "verbs.explore",
    "duplicates": "verbs.explore",
    "estimator": "heads.estimators.scikit_learn",
    "evaluate": "evaluation.metrics",
    "explain": "verbs.explore",
    "export": "verbs.portable",
    "extract": "networks.extraction.extract",
    "figure": "verbs.papers",
    "finetune": "verbs.models",
    "find": "verbs.teaching",
    "fit": "heads.fit",
    "join": "verbs.catalogs",
    "label": "verbs.catalogs",
    "label_next": "verbs.explore",
    "list": "verbs.listing",
    "map": "verbs.models",
    "methods": "verbs.papers",
    "new": "verbs.experiments",
    "odd": "verbs.explore",
    "predict": "verbs.models",
    "project": "maps.umap",
    "read_labels": "galaxies.splits.label_file",
    "record": "verbs.experiments",
    "run": "experiment.run",
    "sample": "verbs.catalogs",
    "similar": "verbs.explore",
    "store": "verbs.listing",
    "teach": "verbs.teaching",
    "ui": "verbs.experiments",
    "write_labels": "galaxies.splits.label_file",
}
"""Module of each public name; `list` and `map` end with an underscore there."""

__all__ = sorted([*_HOME, "plot"])
_moved.install()


class _Package(ModuleType):
    """Stop an imported module from replacing a public function of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Python stores each imported module in its package: without this check, the old module
        # gzfeatures.demo would replace the function gzfeatures.demo
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that importing the package is fast."""
    if name == "plot":
        return importlib.import_module("gzfeatures.plot")
    if name not in _HOME:
        raise AttributeError(f"module 'gzfeatures' has no attribute '{name}'")
    module = importlib.import_module(f"gzfeatures.{_HOME[name]}")
    # the functions gzfeatures.list and gzfeatures.map have an underscore in their own modules,
    # which also need Python's list and map
    return getattr(module, f"{name}_" if name in ("list", "map") else name)


def __dir__() -> Sequence[str]:
    """Return the public names of gzfeatures, which completion in a shell or notebook shows."""
    return sorted([*__all__, "__version__"])
