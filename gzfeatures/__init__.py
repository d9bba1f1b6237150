"""Turn galaxy images into embedding tables and classifiers, and compare them with networks."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gzfeatures import _moved

__version__ = "0.1.0"

if TYPE_CHECKING:
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
    from gzfeatures.galaxies.splits.split import Split as Split
    from gzfeatures.heads.estimators.registry import HEADS as HEADS
    from gzfeatures.heads.fit import Head as Head
    from gzfeatures.heads.fit import fit as fit
    from gzfeatures.images.image_set import ImageSet as ImageSet
    from gzfeatures.images.reading import Reading as Reading
    from gzfeatures.images.view import View as View
    from gzfeatures.maps.umap import project as project
    from gzfeatures.networks.extraction.extract import extract as extract

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
    "evaluate": "evaluation.metrics",
    "extract": "networks.extraction.extract",
    "fit": "heads.fit",
    "project": "maps.umap",
    "run": "experiment.run",
}

__all__ = sorted(_HOME)
_moved.install()


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562), so that importing the package is fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'gzfeatures' has no attribute '{name}'")
    return getattr(importlib.import_module(f"gzfeatures.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
