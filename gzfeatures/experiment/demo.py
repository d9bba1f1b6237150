"""Simulate a galaxy survey, and load an experiment that runs on its images."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from gzfeatures import __version__, outputs
from gzfeatures.errors import NETWORK, require_packages
from gzfeatures.experiment.config import Experiment, load
from gzfeatures.figures.contact_sheet import contact_sheet
from gzfeatures.files import read_sidecar, write_sidecar, written_whole
from gzfeatures.images.image_set import ImageSet
from gzfeatures.progress import SILENT, Progress
from gzfeatures.synthetic.survey import draw_survey


def experiment(
    folder: Path, galaxies: int = 1000, seed: int = 0, progress: Progress = SILENT
) -> Experiment:
    """Simulate a survey in a folder, if it is not there yet, and return the demo experiment.

    The settings of the experiment come from `demo.toml`.

    Parameters
    ----------
    folder : Path
        Folder for the survey's images and catalogs, and for `contact.jpg`, a picture of the first
        sixty galaxies.
    galaxies : int
        Number of galaxies to simulate.
    seed : int
        Seed of the simulation.
    progress : Progress
        Object that shows a progress bar; shows nothing by default.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    # check for the packages of the experiment now, not after half a minute of simulating
    require_packages("the demo", *NETWORK, "lightning")
    note, drawn = (
        folder / "survey.json",
        {"galaxies": galaxies, "seed": seed, "version": __version__},
    )
    # simulating is slow, and equal settings give an equal survey: simulate only if
    # the settings differ
    if read_sidecar(note) != drawn:
        outputs.allow(
            folder / name
            for name in ("catalog.csv", "hart.csv", "truth.csv", "contact.jpg", note.name)
        )
        survey = draw_survey(folder, n=galaxies, seed=seed, progress=progress)
        images = ImageSet.of(survey.images)
        with written_whole(folder / "contact.jpg") as temporary:
            contact_sheet(images.select(images.ids[:60])).save(temporary, "JPEG")
        write_sidecar(note, drawn)
    with as_file(files("gzfeatures.experiment") / "demo.toml") as path:
        return load(
            path,
            [f"galaxies.catalog={folder / 'catalog.csv'}", f"galaxies.images={folder / 'images'}"],
        )
