"""The demo: the whole main job on a synthetic survey, without a download."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from gzfeatures.config import Experiment, load
from gzfeatures.images.sky import draw_survey


def experiment(folder: Path, galaxies: int = 1000, seed: int = 0) -> Experiment:
    """Draw the survey into `folder` and give the experiment to run on it (`demo.toml` of the package).

    Parameters
    ----------
    folder : Path
        Where the survey's images and catalogs go.
    galaxies : int
        How many to draw.
    seed : int
        Of the drawing.
    """
    survey = draw_survey(folder, n=galaxies, seed=seed)
    with as_file(files("gzfeatures") / "demo.toml") as path:
        return load(path, [f"galaxies.catalog={survey.catalog}", f"galaxies.images={survey.images}"])
