"""Galaxy morphology: images to embedding tables to classifiers, compared fairly with end-to-end CNNs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gzfeatures.errors import GzError as GzError
    from gzfeatures.experiment import run as run
    from gzfeatures.features.backbones import BACKBONES as BACKBONES
    from gzfeatures.features.backbones import Backbone as Backbone
    from gzfeatures.features.store import Store as Store
    from gzfeatures.features.table import EmbeddingTable as EmbeddingTable
    from gzfeatures.features.table import Extractor as Extractor
    from gzfeatures.galaxies.catalog import Catalog as Catalog
    from gzfeatures.galaxies.labels import Labels as Labels
    from gzfeatures.galaxies.labelscheme import LabelScheme as LabelScheme
    from gzfeatures.galaxies.schemes import SCHEMES as SCHEMES
    from gzfeatures.galaxies.splits import Split as Split
    from gzfeatures.heads.fit import Head as Head
    from gzfeatures.heads.fit import fit as fit
    from gzfeatures.heads.zoo import HEADS as HEADS
    from gzfeatures.images.imageset import ImageSet as ImageSet
    from gzfeatures.images.reading import Reading as Reading
    from gzfeatures.images.views import View as View
    from gzfeatures.networks.extract import extract as extract
    from gzfeatures.results.maps import project as project
    from gzfeatures.results.metrics import evaluate as evaluate
    from gzfeatures.results.predictions import Predictions as Predictions

_HOME = {
    "BACKBONES": "features.backbones",
    "Backbone": "features.backbones",
    "Catalog": "galaxies.catalog",
    "EmbeddingTable": "features.table",
    "Extractor": "features.table",
    "GzError": "errors",
    "HEADS": "heads.zoo",
    "Head": "heads.fit",
    "ImageSet": "images.imageset",
    "LabelScheme": "galaxies.labelscheme",
    "Labels": "galaxies.labels",
    "Predictions": "results.predictions",
    "Reading": "images.reading",
    "SCHEMES": "galaxies.schemes",
    "Split": "galaxies.splits",
    "Store": "features.store",
    "View": "images.views",
    "evaluate": "results.metrics",
    "extract": "networks.extract",
    "fit": "heads.fit",
    "project": "results.maps",
    "run": "experiment",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package loads nothing heavy (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'gzfeatures' has no attribute '{name}'")
    return getattr(importlib.import_module(f"gzfeatures.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names."""
    return sorted([*__all__, "__version__"])
